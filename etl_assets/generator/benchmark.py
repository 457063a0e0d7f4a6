"""Benchmark exports: any number of orders, written quickly as one Parquet file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from etl_assets.generator import generic, people
from etl_assets.generator.catalogue import (
    BENCHMARK_SHOPS,
    ENGLISH_POSITIONS,
    ENGLISH_PROCESSES,
    ENGLISH_PRODUCTS,
    product_table,
    shop_table,
)
from etl_assets.generator.errors import GENERIC_ERRORS, corrupt, draw_errors
from etl_assets.generator.lines import json_processes
from etl_assets.generator.random_columns import (
    Chunk,
    Indices,
    at,
    chance,
    chunks,
    instants,
    money,
    order_seconds,
    pick,
    returning_buyers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADERS: Final = tuple(header for header in generic.HEADERS if header != "refunded_amount")
"""The columns of the generic export without refunds, so that figures of earlier versions stay comparable."""
_STATUSES: Final = ("paid", "in production", "shipped", "completed", "cancelled")
_STATUS_WEIGHTS: Final = (15, 10, 10, 60, 5)
_ORDER_TYPES: Final = ("sample", "proof", "bulk", "reorder", None)
_ORDER_TYPE_WEIGHTS: Final = (20, 15, 50, 5, 10)
_QUANTITIES: Final = (1, 1, 2, 3, 5, 10, 24, 50)
_WITHOUT_CUSTOMER: Final = 0.05
_ISO_UTC: Final = "%Y-%m-%dT%H:%M:%S+00:00"


def write_benchmark_orders(  # noqa: PLR0913  # each is one measure of the benchmark
    path: Path,
    *,
    orders: int,
    seed: int = 1,
    items_per_order: int = 2,
    processes_per_item: int = 1,
    bad_share: float = 0.0,
    chunk_orders: int = 100_000,
) -> None:
    """Write orders in the columns of the generic export, all text, one row group per chunk.

    40 shops, three to four orders per customer with a long tail, 5 % without customer, 5 % cancelled, and just
    ``bad_share`` of each chunk with one thing wrong (a sixth each: amount, time, order id, shop, items, processes).
    The same arguments give the same orders. Memory grows with ``chunk_orders``, not with ``orders``.

    Args:
        path: The Parquet file; replaced if it exists.
        orders: How many orders, each one row.
        seed: Another seed gives other orders.
        items_per_order: How many items each order's JSON array has.
        processes_per_item: How many processes each item has.
        bad_share: Between 0 and 1.
        chunk_orders: How many orders are drawn at a time.

    """

    def scan(
        with_columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        for chunk in chunks(seed, "benchmark", orders, chunk_orders):
            frame = _orders(chunk, items_per_order, processes_per_item)
            errors = draw_errors(chunk.rng, tuple(GENERIC_ERRORS), bad_share, chunk.size)
            yield corrupt(frame, errors, GENERIC_ERRORS).select(with_columns or HEADERS)

    lazy = register_io_source(scan, schema=dict.fromkeys(HEADERS, pl.String()))
    lazy.sink_parquet(path, row_group_size=chunk_orders, compression="zstd", compression_level=1)


def _orders(chunk: Chunk, items_per_order: int, processes_per_item: int) -> pl.DataFrame:
    rng, size = chunk.rng, chunk.size
    buyers = returning_buyers(rng, chunk)
    items, cents = _items(rng, size, items_per_order, processes_per_item)
    numbers = np.arange(chunk.start, chunk.start + size, dtype=np.int64)
    ordered = order_seconds(rng, chunk)
    drawn = pl.DataFrame(
        {
            "order_id": pl.Series(20_000_000_000 + numbers).cast(pl.String),
            "customer_name": people.western_names(buyers),
            "order_status": pick(rng, _STATUSES, size, _STATUS_WEIGHTS),
            "order_type": pick(rng, _ORDER_TYPES, size, _ORDER_TYPE_WEIGHTS),
            "cents": cents,
            "ordered": ordered,
            "edited": ordered + rng.integers(60, 10 * 86_400, size=size),
            "items": items,
            "remark": pick(rng, (None, "rush", "repeat order", "加急"), size, (8, 1, 1, 1)),
        }
    )
    return (
        pl.concat([shop_table(BENCHMARK_SHOPS)[_shops(buyers)], drawn], how="horizontal")
        .with_columns(
            customer_name=pl.when(~pl.lit(chance(rng, _WITHOUT_CUSTOMER, size))).then("customer_name"),
            amount=money(pl.col("cents")),
            ordered_at=instants(pl.col("ordered")).dt.to_string(_ISO_UTC),
            updated_at=instants(pl.col("edited")).dt.to_string(_ISO_UTC),
            processes=pl.lit(None, dtype=pl.String),
        )
        .select(HEADERS)
    )


def _shops(buyers: Indices) -> Indices:
    """Return each buyer's shop, always the same one; the first shops are the larger ones."""
    spread = buyers.astype(np.uint64) * np.uint64(2_654_435_761) % np.uint64(1 << 32) / float(1 << 32)
    return np.asarray(len(BENCHMARK_SHOPS) * spread**1.5, dtype=np.int64)


def _items(
    rng: np.random.Generator, size: int, items_per_order: int, processes_per_item: int
) -> tuple[pl.Series, Indices]:
    """Write the JSON arrays of items and the orders' sums in cents.

    Item texts are put together from a small number of ready-made pieces, which is much faster than from single values.
    """
    products = product_table(ENGLISH_PRODUCTS)
    heads, tails = _pieces(products)
    prices = products.get_column("cents").to_numpy()
    works = json_processes(ENGLISH_PROCESSES, ENGLISH_POSITIONS)
    parts: list[pl.Series | str] = ["["]
    cents = np.zeros(size, dtype=np.int64)
    for item in range(items_per_order):
        product = rng.integers(products.height, size=size)
        quantity = np.asarray(_QUANTITIES)[rng.integers(len(_QUANTITIES), size=size)]
        cents += quantity * prices[product]
        parts += ["," if item else "", at(heads, product), pl.Series(quantity).cast(pl.String), at(tails, product)]
        for process in range(processes_per_item):
            parts += ["," if process else "", pick(rng, works, size)]
        parts.append("]}")
    return pl.select(pl.concat_str([pl.lit(part) for part in [*parts, "]"]])).to_series(), cents


def _pieces(products: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Return for each product the JSON text of an item before its quantity, and from there to its processes."""
    heads, tails = [], []
    for name, variant, sku, cents in products.rows():
        head = json.dumps({"name": name, "variant": variant, "sku": sku}, ensure_ascii=False, separators=(",", ":"))
        heads.append(head[:-1] + ',"quantity":')
        tails.append(f',"unit_price":"{cents // 100}.{cents % 100:02d}","processes":[')
    return heads, tails
