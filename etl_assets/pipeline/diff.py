"""Comparison of rows with the stored ones (inserted, updated, unchanged), and their counts for the ledger.

Reading and writing either is elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from etl_assets.ledger.batches import BatchCounts

if TYPE_CHECKING:
    from collections.abc import Sequence


def diff_rows(rows: pl.DataFrame, stored: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return `rows`, sorted by key, with their `change`: inserted, updated or unchanged."""
    if stored.is_empty():
        return rows.with_columns(change=pl.lit("inserted")).sort(key)
    values = [name for name in rows.columns if name not in key]
    known = stored.with_columns(is_known=pl.lit(value=True))
    both = rows.join(known, on=list(key), how="left", suffix="_stored", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in values)
    change = (
        pl.when(pl.col("is_known").is_null()).then(pl.lit("inserted"))
        .when(differs).then(pl.lit("updated"))
        .otherwise(pl.lit("unchanged"))
    )  # fmt: skip
    return both.select(*rows.columns, change=change).sort(key)


def count_changes(decided: pl.DataFrame, **extra_counts: int) -> BatchCounts:
    """Count a batch for the ledger: rows per `change`, plus `extra_counts` by the names of `BatchCounts`."""
    changes = BatchCounts(**dict(decided.group_by("change").len().iter_rows()))
    return changes + BatchCounts(**extra_counts)
