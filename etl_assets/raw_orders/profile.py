"""Profile of an import: how many orders fill each column, which of several headers gave a value, unknown statuses.

Counted while the rows pass, frame by frame, so that nothing is read twice; `drift` compares profiles of two imports.
Values themselves do not belong here, but for statuses that the preset does not know, cut to `STATUS_CHARACTERS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import polars as pl

from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.raw_orders.findings import Finding
from etl_assets.values.text import clean_text, fits_an_index, normalize_case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.presets.model import Preset

MAX_SHOPS: Final = 1_000
"""Shops of an import whose arrival is recorded."""
MAX_STATUSES: Final = 20
"""Unknown statuses of an import that have a finding of their own."""
STATUS_CHARACTERS: Final = 60
_SHOPS: Final = {"platform": pl.String(), "shop": pl.String()}
_STATUSES: Final = {"key": pl.String(), "status": pl.String(), "rows": pl.Int64(), "first_line": pl.Int32()}


@dataclass(slots=True)
class Profile:
    """Counts of one import."""

    orders: int = 0
    filled: dict[str, int] = field(default_factory=dict)
    """Column of `raw_orders` → orders that have a value in it."""
    taken: dict[str, dict[str, int]] = field(default_factory=dict)
    """Column whose mapping names alternatives → header that is there → lines whose value it gave."""
    _shops: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SHOPS))
    _unknown: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_STATUSES))
    _more_unknown: int = 0

    def count_lines(self, lines: pl.DataFrame, preset: Preset) -> None:
        """Count which of alternative headers gave a value; a text of blanks counts as one."""
        for column, mapping in preset.columns.items():
            if len(mapping.columns) > 1:
                self._count_alternatives(lines, column, [name for name in mapping.columns if name in lines.columns])

    def count_orders(self, orders: pl.DataFrame, preset: Preset) -> None:
        """Count filled columns and unknown statuses of raw orders."""
        self.orders += orders.height
        for column in RAW_COLUMNS:
            if column in orders.columns:
                filled = orders.height - orders[column].null_count()
                self.filled[column] = self.filled.get(column, 0) + filled
        if self._shops.height < MAX_SHOPS and set(_SHOPS) <= set(orders.columns):
            self._shops = pl.concat([self._shops, orders.select(*_SHOPS).unique()]).unique().head(MAX_SHOPS)
        known = preset.all_known_statuses()
        if known and {"order_status", "row_no"} <= set(orders.columns):
            self._count_unknown(orders, pl.Series(known).to_frame("s").select(normalize_case(pl.col("s"))).to_series())

    def shops(self) -> list[tuple[str, str]]:
        """Return platform and name of the first shops that the orders name, in bytewise order."""
        shops = self._shops.select(clean_text(pl.col(*_SHOPS))).drop_nulls().unique()
        return sorted(shops.filter(fits_an_index(*map(pl.col, _SHOPS))).iter_rows())

    def status_findings(self) -> list[Finding]:
        """Return a finding for each unknown status, and one for those beyond `MAX_STATUSES`."""
        rows = self._unknown.select("status", "rows", "first_line").iter_rows()
        findings = [Finding("UNKNOWN_STATUS", status, count, line) for status, count, line in rows]
        if self._more_unknown:
            findings.append(Finding("MORE_UNKNOWN_STATUSES", "", self._more_unknown))
        return findings

    def as_dict(self) -> dict[str, Any]:
        """Return what is stored with the import."""
        return {"orders": self.orders, "filled": self.filled, "taken": self.taken}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Return the profile that an import was stored with."""
        return cls(stored["orders"], stored["filled"], stored["taken"])

    def _count_alternatives(self, lines: pl.DataFrame, column: str, headers: list[str]) -> None:
        has_text = [pl.col(header).str.len_bytes().fill_null(0) > 0 for header in headers]
        gives = [
            (filled & ~pl.any_horizontal(has_text[:at]) if at else filled).sum().alias(str(at))
            for at, filled in enumerate(has_text)
        ]
        counts = self.taken.setdefault(column, {})
        for header, count in zip(headers, lines.select(gives).row(0) if gives else (), strict=True):
            counts[header] = counts.get(header, 0) + count

    def _count_unknown(self, orders: pl.DataFrame, known: pl.Series) -> None:
        """Add the unknown statuses of a frame; the first ones are kept, of the others only the orders are counted."""
        line = pl.col("row_no").min()
        texts = orders.group_by(status="order_status").agg(rows=pl.len().cast(pl.Int64), first_line=line)
        compared = texts.with_columns(key=normalize_case(pl.col("status"))).drop_nulls("key")
        unknown = compared.filter(~pl.col("key").is_in(known.implode()))
        if unknown.is_empty():
            return
        shown = clean_text(pl.col("status")).str.slice(0, STATUS_CHARACTERS)
        both = pl.concat([self._unknown, unknown.with_columns(shown).select(*_STATUSES)]).sort("first_line", "status")
        first = pl.col("status", "first_line").first()
        merged = both.group_by("key", maintain_order=True).agg(first, pl.col("rows").sum()).select(*_STATUSES)
        self._unknown = merged.head(MAX_STATUSES)
        self._more_unknown += int(merged["rows"].slice(MAX_STATUSES).sum())
