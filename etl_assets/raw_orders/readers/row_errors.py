"""Errors of single rows, shared by the formats: rows with a NUL are marked, empty rows are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from etl_assets.raw_orders.readers.columns import BAD_TEXT, NUL, NUL_SYMBOL, ROW_ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


def with_row_errors(frame: pl.DataFrame, headers: Sequence[str]) -> pl.DataFrame:
    """Replace NUL, which PostgreSQL's text can't hold, by ``␀`` and mark such rows in `ROW_ERROR`.

    Where the frame has the column already, the rows that it marks stay marked.
    """
    known = pl.col(ROW_ERROR) if ROW_ERROR in frame.columns else pl.lit(None, pl.String)
    found = frame.select(pl.col(header).str.contains(NUL, literal=True).any() for header in headers).row(0)
    bad = [header for header, has_nul in zip(headers, found, strict=True) if has_nul]
    if not bad:
        return frame.with_columns(known.alias(ROW_ERROR))
    is_bad = pl.any_horizontal(pl.col(header).str.contains(NUL, literal=True).fill_null(value=False) for header in bad)
    return frame.with_columns(
        pl.when(is_bad).then(pl.lit(BAD_TEXT)).otherwise(known).alias(ROW_ERROR),
        *(pl.col(header).str.replace_all(NUL, NUL_SYMBOL, literal=True) for header in bad),
    )


def without_empty_rows(frame: pl.DataFrame, headers: Sequence[str]) -> pl.DataFrame:
    """Drop the rows that are empty in every column."""
    return frame.filter(pl.any_horizontal((pl.col(header) != "").fill_null(value=False) for header in headers))


def as_table(frame: pl.DataFrame) -> pa.Table:
    """Convert a frame to the Arrow table that goes through the pipe: each text once, and no buffer of other frames."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
