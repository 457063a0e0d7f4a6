"""Unmapped columns of lines, packed into the JSON object of their order (`raw_orders.extra`).

An order has the first value of each of these columns in its lines. Lines that follow one another are packed at once,
before lines are spilled or grouped: a file may have a hundred such columns, and one text of each order is less than all
of them on each line. Parts of an order that lie apart in the file are put together at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.raw_orders.json_text import json_objects, look_through, write_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKED: Final = "extra"
"""Column of the objects."""


def pack_runs(lines: pl.DataFrame, headers: Sequence[str], is_start: pl.Series) -> pl.Series:
    """Pack the first value that is not blank in each run of lines; null but on its first line.

    Args:
        lines: rows as the readers make them.
        headers: the columns to pack.
        is_start: true on the first line of each run.
    """
    texts, odd = look_through(lines, {header: header for header in headers}, blank_is_null=True)
    starts = is_start.arg_true()
    packed = write_objects(_first_of_runs(texts, starts), odd)
    if starts.len() == lines.height:
        return packed
    return pl.Series([None], dtype=pl.String).new_from_index(0, lines.height).scatter(starts, packed)


def _first_of_runs(texts: pl.DataFrame, starts: pl.Series) -> pl.DataFrame:
    """Return the first value of each run that is not null; nearly always that of its first line."""
    if starts.len() == texts.height:
        return texts
    first = texts[starts]
    ends = starts.shift(-1, fill_value=texts.height)
    further = [
        _first_in(texts[name], starts, ends).alias(name)
        for name in texts.columns
        if first[name].null_count() and texts[name].count() > first[name].count()
    ]
    return first.with_columns(further)


def _first_in(values: pl.Series, starts: pl.Series, ends: pl.Series) -> pl.Series:
    """Return the first value that is not null in each range of rows."""
    rows = pl.int_range(pl.len(), dtype=pl.UInt32)
    next_filled = values.to_frame("value").select(pl.when(pl.col("value").is_not_null()).then(rows).backward_fill())
    at = next_filled.to_series()[starts]
    return values[at.set(at >= ends, None)]


def merge_packed(parts: pl.DataFrame, key: Sequence[str], headers: Sequence[str]) -> pl.DataFrame:
    """Return the object of each order of several parts: of each column the first value.

    Args:
        parts: the key and the objects (`PACKED`) of the parts, sorted by line.
        key: columns that the parts of an order have in common.
        headers: the columns that were packed, in their order.
    """
    columns = {header: f"{PACKED}.{header}" for header in headers}
    objects = pl.col(PACKED).str.json_decode(pl.Struct(dict.fromkeys(headers, pl.String())))
    values = parts.select(*key, objects.struct.rename_fields(list(columns.values()))).unnest(PACKED)
    first = values.group_by(key, maintain_order=True).agg(pl.col(columns.values()).first(ignore_nulls=True))
    return first.select(*key, json_objects(first, columns).alias(PACKED))
