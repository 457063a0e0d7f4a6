"""Ranges of rows that lie anywhere: of orders that are decided anew, or whose lines another file brings."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.ledger.queue import RawIdRange

MAX_RANGES: Final = 1_000
"""Rows lie anywhere in `raw_orders`: so many ranges leave out the widest gaps between them."""


def narrow_ranges(batch_id: int, raw_ids: pl.Series, at_most: int = MAX_RANGES) -> list[RawIdRange]:
    """Return at most so many ranges that hold all these rows of a batch, without the widest gaps between them."""
    ids = raw_ids.unique().sort()
    if ids.is_empty():
        return []
    gaps = ids.diff().fill_null(1)
    widest = gaps.top_k(min(at_most, gaps.len()))
    smallest = int(widest.min())  # type: ignore[arg-type]  # of integers
    is_apart = gaps > smallest if gaps.len() > at_most else gaps > 1
    parts = pl.DataFrame({"raw_id": ids, "part": is_apart.cum_sum()}).group_by("part", maintain_order=True)
    bounds = parts.agg(low=pl.col("raw_id").first(), high=pl.col("raw_id").last())
    return [RawIdRange(batch_id, low, high) for low, high in bounds["low", "high"].iter_rows()]
