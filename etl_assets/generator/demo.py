"""Demo exports: files of five platforms in their exact layouts, and one of a seller's own system, faults included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from etl_assets.generator import generic
from etl_assets.generator.platforms.registry import LAYOUTS
from etl_assets.generator.platforms.write import CHUNK_ORDERS, write_export

if TYPE_CHECKING:
    from pathlib import Path

BAD_SHARE: Final = 0.01
"""Share of faulty orders in each file; every kind of fault occurs, so small files have more."""
GENERIC_PRESET: Final = "generic"
MIN_ORDERS: Final = 10
"""Each file needs some."""


class DemoFile(NamedTuple):
    """Written export and its import options, each None where the file or its preset says it."""

    path: Path
    preset: str
    shop: str | None = None
    currency: str | None = None
    timezone: str | None = None


class _Part(NamedTuple):
    layout: str
    percent: int
    """Share of all orders."""
    shop: str | None = None
    currency: str | None = None


_PARTS: Final = (
    _Part("taobao-old", 25, "刻刻时光礼品店"),
    _Part("taobao_items-old", 0, "刻刻时光礼品店"),
    _Part("etsy_orders-us", 20, "Maple & Thread"),
    _Part("etsy_items-us", 0, "Maple & Thread"),
    _Part("shopify-79", 20, "North Stitch"),
    _Part("ebay-us", 10, "Kiln & Co", "USD"),
    _Part("alibaba1688-merged", 5),
)
"""Files of platforms; those of lines, without a share of their own, describe the orders of the file before."""


def write_demo_files(directory: Path, *, orders: int = 3000, seed: int = 7) -> list[DemoFile]:
    """Write exports of Taobao, Etsy (orders and items each), Shopify, eBay, 1688 and a seller's own system.

    The same arguments give the same bytes. Memory does not grow with the number of orders, but for that of 1688.

    Args:
        directory: Where the files go; made if it does not exist. Files of the same names are replaced.
        orders: How many orders all files together hold, later versions of an order not counted; at least `MIN_ORDERS`.
        seed: Another seed gives other orders.

    Returns:
        The files, in the order in which they are to be imported.

    Raises:
        ValueError: If fewer orders are asked for.

    """
    if orders < MIN_ORDERS:
        msg = f"orders must be at least {MIN_ORDERS}, not {orders}"
        raise ValueError(msg)
    directory.mkdir(parents=True, exist_ok=True)
    layouts = {layout.name: layout for layout in LAYOUTS}
    files, left, share = [], orders, 0
    for part in _PARTS:
        layout = layouts[part.layout]
        if part.percent:
            share = max(1, orders * part.percent // 100)
            left -= share
        path = write_export(layout, directory, orders=share, seed=seed, bad_share=BAD_SHARE).path
        files.append(DemoFile(path, layout.preset, part.shop, part.currency, layout.market.timezone))
    own = DemoFile(directory / "generic_orders.csv", GENERIC_PRESET)
    with own.path.open("wb") as file:
        for number, frame in enumerate(generic.order_chunks(left, seed, CHUNK_ORDERS, BAD_SHARE)):
            file.write(frame.write_csv(include_header=number == 0).encode())
    return [*files, own]
