"""Text of a drafted mapping: YAML with a comment for all that was decided, assumed or left open.

No value of a row is written but statuses, currencies and currency signs. Deciding does not belong here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from etl_assets.drafts.ledger import continued_by
from etl_assets.drafts.yaml_lines import comment, line, listed, one_or_listed, scalar
from etl_assets.presets.catalog import TO_DECIDE
from etl_assets.raw_orders.date_order import years_in
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.timestamps import has_year

if TYPE_CHECKING:
    from etl_assets.drafts.choice import Choice
    from etl_assets.drafts.ledger import LedgerFacts
    from etl_assets.drafts.notation import TimeNotation

_ORDER_COLUMNS: Final = (
    "order_id",
    "customer_name",
    "order_status",
    "amount",
    "currency",
    "ordered_at",
    "updated_at",
    "remark",
)


@dataclass(frozen=True)
class FileFacts:
    """Facts about a file that a draft is written from."""

    name: str
    rows: int
    headers: tuple[str, ...]
    shown: bool
    """The headers are no values, so that they may be listed."""
    choice: Choice
    times: TimeNotation
    numbers: NumberFormat | None
    numbers_reason: str
    encodings: tuple[str, ...] = ("utf-8",)
    delimiter: str = ","
    statuses: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    platform: str | None = None
    shop: str | None = None
    currency: str | None = None
    currency_reason: str = ""
    timezone: str | None = None
    explanation: str | None = None
    repeated: int = 0
    without_number: int = 0
    year_of_name: bool = False
    """The file's name has one year."""
    ledger: LedgerFacts | None = None
    """Facts about a file whose rows are numbered."""


@dataclass
class Draft:
    """Drafted mapping."""

    text: str
    columns: dict[str, tuple[str, ...]]
    """Of each column of the mapping (``item.…`` of lines) the headers it is taken from."""
    questions: list[str] = field(default_factory=list)
    """Decisions to make before the mapping can be used."""
    notes: list[str] = field(default_factory=list)
    """Assumptions, and settings to name at the import."""

    def as_dict(self) -> dict[str, object]:
        """Return the draft for JSON."""
        return {"mapping": self.text, "columns": self.columns, "to_decide": self.questions, "notes": self.notes}


def write_draft(found: FileFacts) -> Draft:
    """Write the mapping for what was found about a file."""
    draft = Draft("", dict(found.choice.columns))
    blocks = (
        _head(found),
        _order_columns(found, draft),
        _item_columns(found),
        _notation(found, draft),
        _statuses(found, draft),
        _tail(found),
    )
    draft.text = "\n".join(line for block in blocks for line in block) + "\n"
    return draft


def _head(found: FileFacts) -> list[str]:
    choice = found.choice
    shape = "a row per line item" if choice.shape == "line_item" else "a row per order"
    repeats = (
        f"order numbers that stand in several rows: {found.repeated:,}" if found.repeated else "no order number repeats"
    )
    lines = comment(
        f"A mapping drafted from a file of {found.rows:,} rows. Check it; docs/importing.md describes the keys. "
        "Import a file with it with `etl-assets import FILE --mapping THIS`, or keep it as a preset of your own with "
        "`etl-assets presets add THIS`."
    )
    lines += [f"name: {found.name}", line(f"shape: {choice.shape}", f"{shape}: {repeats}")]
    lines += [f"encodings: {listed(found.encodings)}"]
    if found.delimiter != ",":
        lines.append(f"delimiter: {scalar(found.delimiter)}")
    if found.explanation is not None:
        pattern = re.sub(r"[^\w\s]", r"\\\g<0>", found.explanation)
        lines.append(line(f"skip_rows_matching: {listed([pattern])}", "the row under the headers explains them"))
    return [*lines, *_ledger_keys(found)]


def _ledger_keys(found: FileFacts) -> list[str]:
    if found.ledger is None:
        return []
    lines = []
    if found.ledger.sheets:
        lines.append(line("each_sheet: true", f"sheets with these headers: {len(found.ledger.sheets)}"))
    undated = found.ledger.empty["date"] + found.ledger.empty["both"]
    if undated and "ordered_at" in found.choice.columns:
        date = listed(found.choice.columns["ordered_at"])
        lines.append(line(f"fill_down: {date}", f"{undated:,} rows have no date: it is that of the row above"))
    return lines


def _order_columns(found: FileFacts, draft: Draft) -> list[str]:
    lines = ["columns:"]
    if found.platform is not None:
        lines.append(f"  platform: {{constant: {scalar(found.platform)}}}")
    lines += _shop(found, draft)
    for column in _ORDER_COLUMNS:
        lines += _ORDER_WRITERS.get(column, _plain_column)(column, found, draft)
    if found.choice.shape == "order" and "item.name" in found.choice.columns:
        lines.append(f"  items: {one_or_listed(found.choice.columns['item.name'])}")
    return lines


def _plain_column(column: str, found: FileFacts, draft: Draft) -> list[str]:
    headers = found.choice.columns.get(column)
    if headers is None:
        if column not in _MISSED:
            return []
        draft.notes.append(f"no column gives {column}: {_MISSED[column]}")
        return [line(f"  # {column}: COLUMN", f"no column gives it: {_MISSED[column]}")]
    return [line(f"  {column}: {one_or_listed(headers)}", "the first that is not empty" if len(headers) > 1 else "")]


def _shop(found: FileFacts, draft: Draft) -> list[str]:
    headers = found.choice.columns.get("shop")
    if found.shop is not None:
        draft.columns["shop"] = ()
        return [f"  shop: {{constant: {scalar(found.shop)}}}"]
    if headers is not None:
        return [f"  shop: {one_or_listed(headers)}"]
    draft.notes.append("the file does not name the shop: name it in the mapping, or with --shop at each import")
    return [line("  # shop: {constant: NAME}", "not in the file: name it here, or with --shop at each import")]


def _numbered_rows(found: FileFacts, ledger: LedgerFacts, draft: Draft) -> list[str]:
    parts = ["file", *(["sheet"] if ledger.sheets else []), "row"]
    keys = f"number_rows_by: {listed(parts)}"
    lines = comment(
        "The order number is the place of the row. Append new rows at the end: a row that is inserted or deleted moves "
        "the numbers of those below it. Keep the names of the file and of its sheets.",
        "  ",
    )
    continued = continued_by(found.choice, ledger)
    if continued:
        told = f"{ledger.empty['both']:,} rows have neither {' nor '.join(continued)}: they continue the order above"
        draft.notes.append(told)
        lines += comment(f"{told}. Delete continued_where_empty if they are orders of their own.", "  ")
        keys += f", continued_where_empty: {listed(continued)}"
    if ledger.other_sheets:
        draft.notes.append(f"{ledger.other_sheets:,} filled sheets have other headers: they are not read")
    return [*lines, f"  order_id: {{{keys}}}"]


def _order_id(column: str, found: FileFacts, draft: Draft) -> list[str]:
    if found.ledger is not None:
        return _numbered_rows(found, found.ledger, draft)
    if column in found.choice.columns:
        lines = [f"  order_id: {one_or_listed(found.choice.columns[column])}"]
        if found.without_number:
            warning = f"{found.without_number:,} rows have no order number: they will wait in quarantine"
            draft.notes.append(warning)
            lines = [*comment(warning, "  "), *lines]
        return lines
    draft.questions.append("order_id: no header says that it is the order number")
    draft.notes.append("for a ledger without order numbers, draft again with --number-rows")
    seen = f" The headers are: {', '.join(map(scalar, found.headers))}." if found.shown else ""
    return [*comment(f"Which column has the order number?{seen}", "  "), f"  order_id: {TO_DECIDE}"]


def _order_status(column: str, found: FileFacts, draft: Draft) -> list[str]:
    when = found.choice.columns.get("cancelled_at")
    if when is None:
        return _plain_column(column, found, draft)
    rule = rf"{{when: {scalar(when[0])}, matches: '\S', value: cancelled}}"
    status = found.choice.columns.get(column)
    return [
        "  order_status:", f"    rules: [{rule}]", *([f"    columns: {listed(status)}"] if status else []),
    ]  # fmt: skip


def _amount(column: str, found: FileFacts, draft: Draft) -> list[str]:
    choice = found.choice
    if found.ledger is not None and choice.shape == "line_item" and column in choice.columns:
        return [f"  amount: {{sum: {{plus_rows: {listed(choice.columns[column])}}}}}"]
    if choice.amount_from_items:
        return comment("amount: the sum of quantity × unit price of the lines, see amount_from_items", "  ")
    if not choice.is_line_amount:
        return _plain_column(column, found, draft)
    header = scalar(choice.columns[column][0])
    draft.questions.append(f"amount: {header} seems to be the amount of a line, not of the order")
    return [
        *comment(
            f"{header} seems to be the amount of a line. If it is the total of the whole order: `amount: {header}`. If "
            f"it is the price of one piece: delete this key, write `unit_price: {header}` under item, with the "
            "quantity there, and `amount_from_items: true`.",
            "  ",
        ),
        f"  amount: {TO_DECIDE}",
    ]


def _currency(column: str, found: FileFacts, draft: Draft) -> list[str]:
    if column in found.choice.columns:
        return _plain_column(column, found, draft)
    if found.currency is not None:
        draft.columns["currency"] = ()
        return [line(f"  currency: {{constant: {scalar(found.currency)}}}", found.currency_reason)]
    draft.notes.append("the file does not name the currency: name it in the mapping, or with --currency at each import")
    return [line("  # currency: {constant: EUR}", "not in the file: name it here, or with --currency at each import")]


_MISSED: Final = {
    "customer_name": "the orders will have no customers, and make no leads",
    "amount": "the orders will have no amounts",
    "ordered_at": "the orders will have no times",
}
_ORDER_WRITERS: Final = {
    "order_id": _order_id, "order_status": _order_status, "amount": _amount, "currency": _currency,
}  # fmt: skip


def _item_columns(found: FileFacts) -> list[str]:
    if found.choice.shape == "order":
        return []
    items = {
        column.removeprefix("item."): headers
        for column, headers in found.choice.columns.items()
        if column.startswith("item.")
    }
    lines = ["item:", *(f"  {column}: {one_or_listed(headers)}" for column, headers in sorted(items.items()))]
    return [*lines, *(["amount_from_items: true"] if found.choice.amount_from_items else [])]


def _notation(found: FileFacts, draft: Draft) -> list[str]:
    return [*_numbers(found, draft), *_times(found, draft), *_timezone(found, draft)]


def _numbers(found: FileFacts, draft: Draft) -> list[str]:
    numbers = found.numbers
    if numbers is None:
        draft.questions.append(f"numbers: {found.numbers_reason}")
        return [
            *comment(
                f"Numbers: {found.numbers_reason}. Write `numbers: {{decimal: '.'}}` or `numbers: {{decimal: ','}}` "
                "for the mark of decimals; the other one is that of thousands."
            ),
            f"numbers: {TO_DECIDE}",
        ]
    return [numbers_line(numbers)] if numbers != NumberFormat() else []


def numbers_line(numbers: NumberFormat) -> str:
    """Return the line of a mapping that has this notation of numbers."""
    keys = {"decimal": numbers.decimal, "thousands": numbers.thousands}
    texts = [f"{key}: {scalar(value)}" for key, value in keys.items()]
    if numbers.currency_signs != NumberFormat().currency_signs:
        texts.append(f"currency_signs: {listed(numbers.currency_signs)}")
    return f"numbers: {{{', '.join(texts)}}}"


def _times(found: FileFacts, draft: Draft) -> list[str]:
    times = found.times
    lines = []
    if times.unread:
        unread = f"no format reads times of the form {', '.join(times.unread)}: such rows wait in quarantine"
        draft.notes.append(unread)
        lines += comment(unread)
    if times.undecided:
        draft.questions.append(
            f"timestamp_formats: {times.reason}. Name --day-first or --month-first, or edit the draft"
        )
        day, month = listed(times.formats), listed(times.undecided)
        text = (
            f"Times: {times.reason}. Day first: `timestamp_formats: {day}`; month first: `timestamp_formats: {month}`."
        )
        return [*lines, *comment(text), f"timestamp_formats: {TO_DECIDE}", *_year(found, draft)]
    if times.formats:
        lines.append(line(f"timestamp_formats: {listed(times.formats)}", times.reason))
    return [*lines, *_year(found, draft)]


def _year(found: FileFacts, draft: Draft) -> list[str]:
    if all(map(has_year, found.times.formats)):
        return []
    sheets = found.ledger.sheets if found.ledger else ()
    if sheets and all(len(years_in(name)) == 1 for name in sheets):
        return [line("year: sheet_name", "dates without a year have the one in the name of the sheet")]
    if found.year_of_name:
        return [line("year: file_name", "dates without a year have the one in the name of the file")]
    draft.questions.append("year: some dates have none, and neither has the name of the file")
    text = (
        "Some dates have no year. Write that of these orders, such as `year: 2026`; or `year: file_name`, and put it "
        "into the name of the file."
    )
    return [*comment(text), f"year: {TO_DECIDE}"]


def _timezone(found: FileFacts, draft: Draft) -> list[str]:
    if found.timezone is not None:
        return [f"timezone: {found.timezone}"]
    if found.times.has_offset or "ordered_at" not in found.choice.columns:
        return []
    draft.notes.append("the times have no offset from UTC and are read as UTC: put the shop's time zone in timezone")
    return [line("timezone: UTC", "assumed: the times have no offset; put the shop's zone, such as Europe/Berlin")]


def _statuses(found: FileFacts, draft: Draft) -> list[str]:
    rule = ("cancelled",) if "cancelled_at" in found.choice.columns else ()
    cancelled = tuple(dict.fromkeys((*rule, *found.cancelled)))
    lines = []
    if cancelled:
        lines.append(line(f"cancelled_statuses: {listed(cancelled)}", "by their words: check them"))
    elif found.statuses:
        lines.append(line("cancelled_statuses: []", "no status of this file says it: name those that mean cancelled"))
    known = [status for status in found.statuses if status not in cancelled]
    if known:
        lines.append(line(f"known_statuses: {listed(known)}", "those of this file; others will be reported"))
    if found.cancelled:
        draft.notes.append(f"orders with the status {' or '.join(map(scalar, found.cancelled))} count as cancelled")
    return lines


def _tail(found: FileFacts) -> list[str]:
    telling = [found.choice.columns[column][0] for column in _TELLING if column in found.choice.columns]
    lines = [f"detect_headers: {listed(telling)}"] if telling else []
    used = {header for headers in found.choice.columns.values() for header in headers}
    left = [header for header in found.headers if header not in used]
    if left and found.shown:
        lines += comment(f"Not mapped, and kept in raw_orders.extra: {', '.join(map(scalar, left))}")
    return lines


_TELLING: Final = (
    "order_id", "customer_name", "order_status", "amount", "ordered_at", "item.name", "item.sku", "item.quantity",
)  # fmt: skip
"""Columns whose headers tell that a file is of this format."""
