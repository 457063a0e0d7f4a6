"""Ledgers kept by hand, for drafts of mappings: their rows are numbered, so it is measured which of them are orders.

A draft reads them as the import will: without totals and empty rows. Choosing columns by their headers belongs to
`choice`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.drafts.choice import candidates, choose
from etl_assets.drafts.profile import ColumnProfile, FileProfile
from etl_assets.presets.model import ITEM_COLUMNS, RAW_COLUMNS, Preset
from etl_assets.raw_orders.left_out_rows import without_left_out_rows
from etl_assets.raw_orders.row_numbers import NumberedRows
from etl_assets.values.text import is_not_blank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.drafts.choice import Choice
    from etl_assets.raw_orders.readers.file_reader import FileContent

Found = dict[str, list[tuple[float, str]]]
_PAID: Final = ("已付", "实付", "预付", "定金", "未付", "欠")
"""Parts of headers of amounts that are not those of an order but what is paid of it."""


@dataclass
class LedgerFacts:
    """Facts about a ledger."""

    sheets: tuple[str, ...] = ()
    """The sheets that were read; none of a file without sheets."""
    other_sheets: int = 0
    """Filled sheets that have other headers."""
    empty: Counter[str] = field(default_factory=Counter)
    """Rows in which the date is empty but the customer is not (``date``), and in which both are (``both``)."""


def ledger_candidates(headers: tuple[str, ...]) -> Found:
    """Return the headers that fit each target: none is the order number, and what is paid is not the amount."""
    found = candidates(headers)
    amounts = [one for one in found["amount"] if not any(word in one[1] for word in _PAID)]
    return {**found, "order_id": [], "amount": amounts or found["amount"]}


def order_rows(path: Path, content: FileContent, found: Found) -> Iterator[pl.DataFrame]:
    """Yield the rows that are orders, or lines of them, by the headers alone."""
    chosen = choose(found, FileProfile({header: ColumnProfile() for header in content.headers})).columns
    mapped = {target: {"columns": headers} for target, headers in chosen.items()}
    columns = {column: mapped[column] for column in RAW_COLUMNS if column in mapped}
    if "line_total" in mapped:
        columns.setdefault("amount", mapped["line_total"])
    item = {column: mapped[f"item.{column}"] for column in ITEM_COLUMNS if f"item.{column}" in mapped}
    keys = {"item": item, "shape": "line_item"} if item else {}
    fields = {"name": "draft", "columns": {**columns, "order_id": {"number_rows_by": ["row"]}}, **keys}
    preset = Preset.model_validate(fields)
    numbered = NumberedRows(path, content, preset)
    rows = numbered.numbered(without_left_out_rows(numbered.noted(content.frames), preset, []))
    yield from numbered.filled(rows, [])


def measure_empty(facts: LedgerFacts, frame: pl.DataFrame, found: Found) -> None:
    """Count the rows of a frame without a date, and those without a customer besides."""
    chosen = choose(found, FileProfile({header: ColumnProfile() for header in frame.columns})).columns
    if "ordered_at" in chosen and "customer_name" in chosen:
        has_date, has_customer = (
            is_not_blank(pl.col(chosen[column][0])).fill_null(value=False) for column in ("ordered_at", "customer_name")
        )
        counts = frame.select(date=(~has_date & has_customer).sum(), both=(~has_date & ~has_customer).sum())
        facts.empty.update(counts.row(0, named=True))


def ledger_choice(choice: Choice, facts: LedgerFacts) -> Choice:
    """Return the choice with the shape of a ledger: one header for each column, lines where rows continue an order."""
    columns = {
        target: headers[:1] if target in {"customer_name", "ordered_at"} else headers
        for target, headers in choice.columns.items()
    }
    continues = facts.empty["both"] > 0 and any(target.startswith("item.") for target in columns)
    shape = "line_item" if continues else choice.shape
    return replace(choice, columns=columns, shape=shape, is_line_amount=False)


def continued_by(choice: Choice, facts: LedgerFacts) -> tuple[str, ...]:
    """Return the headers whose cells are empty in a row that continues the order above it; none where no row does."""
    named = [choice.columns[column][0] for column in ("ordered_at", "customer_name") if column in choice.columns]
    return tuple(named) if facts.empty["both"] and choice.shape == "line_item" else ()
