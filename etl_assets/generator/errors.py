"""Errors of rows, as real exports have them, and their placing in generated exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_AMOUNT: Final = "abc"
BAD_TIMESTAMP: Final = "2024-13-45"
BAD_ITEMS: Final = '[{"name":"定制马克杯","quantity":'
BAD_PROCESSES: Final = '[{"process":"刺绣","position":'

Places = Mapping[str, Mapping[str, str | None]]
"""For each kind of error, the columns that it replaces and their texts."""

GENERIC_ERRORS: Final[Places] = {
    "amount": {"amount": BAD_AMOUNT},
    "timestamp": {"ordered_at": BAD_TIMESTAMP},
    "order_id": {"order_id": None},
    "shop": {"shop": None},
    "items": {"items": BAD_ITEMS},
    "processes": {"processes": BAD_PROCESSES},
}


def draw_errors(
    rng: np.random.Generator, kinds: Sequence[str], share: float, size: int, *, each_kind: bool = False
) -> pl.Series:
    """Draw the kind of error of each row; null for a good one.

    Exactly ``share`` of the rows, rounded, are bad, the kinds in turn; with ``each_kind`` the number is rounded up so
    that all kinds occur equally often.
    """
    count = round(share * size)
    if each_kind and share > 0:
        count = -(-max(count, 1) // len(kinds)) * len(kinds)
    rows = rng.choice(size, size=min(count, size), replace=False)
    codes = np.zeros(size, dtype=np.int64)
    codes[rows] = (np.arange(len(rows)) + rng.integers(len(kinds))) % len(kinds) + 1
    return pl.Series("errors", [None, *kinds], dtype=pl.String).gather(pl.Series(codes))


def corrupt(frame: pl.DataFrame, errors: pl.Series, places: Places) -> pl.DataFrame:
    """Put the errors into the columns of their kinds; rows with none stay as they are."""
    for kind, columns in places.items():
        is_of_kind = pl.lit(errors == kind)
        frame = frame.with_columns(
            pl.when(is_of_kind).then(pl.lit(text, dtype=pl.String)).otherwise(column).alias(column)
            for column, text in columns.items()
        )
    return frame
