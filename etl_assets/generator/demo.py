"""Demo exports: files of several shops in the real formats of the platforms, faulty rows included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from etl_assets.generator import generic, shopify, taobao
from etl_assets.generator.catalogue import SHOPIFY_SHOPS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl

BAD_SHARE: Final = 0.01
"""Share of faulty orders in each file; every kind of fault occurs, so small files have more."""
CHUNK_ORDERS: Final = 50_000
TAOBAO_PRESET: Final = "taobao"
SHOPIFY_PRESET: Final = "shopify"
GENERIC_PRESET: Final = "generic"


class DemoFile(NamedTuple):
    """Written export and its import options; ``shop`` where the file does not name its shop."""

    path: Path
    preset: str
    shop: str | None


def write_demo_files(directory: Path, *, orders: int = 3000, seed: int = 7) -> list[DemoFile]:
    """Write exports of Taobao (two fifths of the orders), two Shopify shops (three tenths) and a seller's own system.

    The same arguments give the same bytes. Memory does not grow with the number of orders.

    Args:
        directory: Where the files go; made if it does not exist. Files of the same names are replaced.
        orders: How many orders all files together hold, later versions of an order not counted; at least 10.
        seed: Another seed gives other orders.

    Returns:
        The files, in the order in which they are to be imported.

    Raises:
        ValueError: If fewer than ten orders are asked for.

    """
    if orders < 10:  # noqa: PLR2004  # each of the four files needs some
        msg = f"orders must be at least 10, not {orders}"
        raise ValueError(msg)
    directory.mkdir(parents=True, exist_ok=True)
    from_taobao, per_shopify_shop, from_generic = _shares(orders)
    files = [DemoFile(directory / "taobao_orders.csv", TAOBAO_PRESET, None)]
    _write(files[0].path, taobao.order_chunks(from_taobao, seed, CHUNK_ORDERS, BAD_SHARE), "gbk")
    for number, (shop, how_many) in enumerate(zip(SHOPIFY_SHOPS, per_shopify_shop, strict=True), start=1):
        path = directory / ("shopify_orders.csv" if number == 1 else f"shopify_orders_{number}.csv")
        _write(path, shopify.order_chunks(shop, how_many, seed, CHUNK_ORDERS, BAD_SHARE))
        files.append(DemoFile(path, SHOPIFY_PRESET, shop.name))
    files.append(DemoFile(directory / "generic_orders.csv", GENERIC_PRESET, None))
    _write(files[-1].path, generic.order_chunks(from_generic, seed, CHUNK_ORDERS, BAD_SHARE))
    return files


def _shares(orders: int) -> tuple[int, tuple[int, int], int]:
    from_taobao, first_shop, second_shop = orders * 4 // 10, orders * 2 // 10, orders // 10
    return from_taobao, (first_shop, second_shop), orders - from_taobao - first_shop - second_shop


def _write(path: Path, frames: Iterable[pl.DataFrame], encoding: str = "utf-8") -> None:
    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            file.write(frame.write_csv(include_header=number == 0).encode(encoding))
