"""Patterns that are searched in a whole row: needed by the parent and, for rows with too few cells, by the child."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

CELL_SEPARATOR: Final = "\t"
"""Between the cells of the text in which patterns are searched."""


def is_any_in(text: pl.Expr, patterns: Sequence[str]) -> pl.Expr:
    """Test that a text has any of the patterns."""
    return reduce(or_, (text.str.contains(pattern) for pattern in patterns))
