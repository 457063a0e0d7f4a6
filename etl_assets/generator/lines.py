"""Line items of generated orders: products, quantities, and their texts as JSON or as free text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from etl_assets.generator.random_columns import Indices, chance, money, pick

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextStyle(NamedTuple):
    """Notation of free text: separators of items (one per order), forms of quantities (``{}`` is the number)."""

    separators: Sequence[str]
    quantities: Sequence[str]


def draw_lines(
    rng: np.random.Generator, products: pl.DataFrame, line_counts: Indices, most_of_each: Indices
) -> pl.DataFrame:
    """Draw the line items of some orders.

    Args:
        rng: The random stream.
        products: ``name, variant, sku, cents``.
        line_counts: How many lines each order has, at least one.
        most_of_each: The greatest quantity that a line of the order may have.

    Returns:
        A row per line, an order's lines together: ``order`` (position of the order, Int64), ``line`` (from 0),
        the columns of ``products``, ``quantity``, ``line_cents`` (quantity times price).

    """
    orders = np.repeat(np.arange(len(line_counts), dtype=np.int64), line_counts)
    firsts = np.repeat(np.cumsum(line_counts) - line_counts, line_counts)
    rows = products[rng.integers(products.height, size=len(orders))]
    return rows.with_columns(
        pl.Series("order", orders),
        pl.Series("line", np.arange(len(orders), dtype=np.int64) - firsts),
        pl.Series("quantity", rng.integers(1, most_of_each[orders] + 1)),
    ).with_columns(line_cents=pl.col("quantity") * pl.col("cents"))


def order_totals(lines: pl.DataFrame) -> pl.DataFrame:
    """Return a row per order in their order: ``cents, pieces, kinds`` (Int64)."""
    return (
        lines.group_by("order", maintain_order=True)
        .agg(cents=pl.col("line_cents").sum(), pieces=pl.col("quantity").sum(), kinds=pl.len().cast(pl.Int64))
        .drop("order")
    )


def joined(lines: pl.DataFrame, text: pl.Expr, separator: pl.Expr) -> pl.Series:
    """Return one text per order: those of its lines, with the separator of each line before it except the first."""
    parts = lines.select("order", text=pl.when(pl.col("line") > 0).then(separator).otherwise(pl.lit("")) + text)
    return parts.group_by("order", maintain_order=True).agg(pl.col("text").str.join("")).get_column("text")


def json_items(
    rng: np.random.Generator, lines: pl.DataFrame, processes: Sequence[str], positions: Sequence[str]
) -> pl.Series:
    """Write one JSON array per order, each item with none, one or two processes."""
    size = lines.height
    works = json_processes(processes, positions)
    first, second = pick(rng, works, size), pick(rng, works, size)
    count = pl.Series("count", rng.choice(3, size=size, p=(0.2, 0.6, 0.2)))
    work = pl.when(count == 0).then(pl.lit("")).when(count == 1).then(first).otherwise(first + "," + second)
    is_personalised = pl.col("quantity") * pl.col("order") % 10 == 1
    personalisation = (
        pl.when(is_personalised).then(pl.lit(',"personalisation":"Anna ♥ Ben; 12.8.*2"')).otherwise(pl.lit(""))
    )
    item = pl.concat_str(
        pl.lit('{"name":'), _json_text(pl.col("name")), pl.lit(',"variant":'), _json_text(pl.col("variant")),
        pl.lit(',"sku":"'), pl.col("sku"), pl.lit('","quantity":'), pl.col("quantity").cast(pl.String),
        pl.lit(',"unit_price":"'), money(pl.col("cents")), pl.lit('","processes":['), work, pl.lit("]"),
        personalisation, pl.lit("}"),
    )  # fmt: skip
    return "[" + joined(lines, item, pl.lit(",")) + "]"


def free_text_items(rng: np.random.Generator, lines: pl.DataFrame, style: TextStyle) -> pl.Series:
    """Write one free text per order, such as ``定制马克杯 颜色分类:白色;尺码:L*3；刺绣帽子×2``."""
    orders = lines.get_column("order").to_numpy()
    how_many = int(orders[-1]) + 1 if len(orders) else 0
    separator = pick(rng, style.separators, how_many).gather(pl.Series(orders))
    times = pick(rng, style.quantities, lines.height)
    quantity = pl.lit(times).str.replace("{}", pl.col("quantity").cast(pl.String), literal=True)
    with_variant = pl.lit(chance(rng, 0.5, lines.height))
    variant = pl.when(with_variant).then(" " + pl.col("variant")).otherwise(pl.lit(""))
    number = pl.when(pl.col("quantity") > 1).then(quantity).otherwise(pl.lit(""))
    return joined(lines, pl.concat_str(pl.col("name"), variant, number), pl.lit(separator))


def json_processes(processes: Sequence[str], positions: Sequence[str]) -> list[str]:
    """Return every process at every position with one to three pictures, as JSON objects."""
    return [
        json.dumps(
            {"process": process, "position": position, "pictures": pictures}, ensure_ascii=False, separators=(",", ":")
        )
        for process in processes
        for position in positions
        for pictures in (1, 2, 3)
    ]


def free_text_processes(
    rng: np.random.Generator, size: int, processes: Sequence[str], positions: Sequence[str]
) -> pl.Series:
    """Draw the processes of whole orders: one or two, such as ``刺绣:左胸*2;丝印:后背``."""
    options = [
        f"{process}:{position}{pictures}"
        for process in processes
        for position in positions
        for pictures in ("", "*2", "*3")
    ]
    first, second = pick(rng, options, size), pick(rng, options, size)
    two = chance(rng, 0.4, size)
    return pl.select(pl.when(two).then(first + ";" + second).otherwise(first)).to_series()


def _json_text(text: pl.Expr) -> pl.Expr:
    escaped = text.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    return pl.concat_str(pl.lit('"'), escaped, pl.lit('"'))
