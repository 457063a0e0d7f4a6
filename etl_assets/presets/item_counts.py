"""Counts beside the titles of an order's items, in an export with a row per order."""

from __future__ import annotations

from etl_assets.presets.column_mapping import ColumnMapping  # noqa: TC001  # Pydantic reads the annotations
from etl_assets.presets.field_types import StrictModel


class ItemCounts(StrictModel):
    """Counts of an order whose items are titles in one cell (shape `order` only)."""

    kinds: ColumnMapping
    """Number of different products of the order."""
    pieces: ColumnMapping
    """Number of its pieces, of all products together."""
