"""Frames written out as literals: what the tests of rules give to a rule and what they expect of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]


def frame_of(schema: Mapping[str, Any], rows: Sequence[Mapping[str, Any] | Sequence[Any]]) -> pl.DataFrame:
    """Make a frame of rows: tuples in the order of the schema, or dicts, in which a column left out is null."""
    for row in rows:
        names = set(row) if isinstance(row, dict) else set()
        assert names <= set(schema), f"no such column: {names - set(schema)}"
        assert isinstance(row, dict) or len(row) == len(schema)
    return pl.DataFrame(list(rows), schema=dict(schema), orient="row")


def january(day: int, hour: int = 0) -> datetime:
    """Return a moment of January 2024 in UTC: the times of the tests of rules are told apart by their day."""
    return datetime(2024, 1, day, hour, tzinfo=UTC)
