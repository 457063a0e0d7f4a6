"""Text of a drafted mapping: YAML with a comment for all that was decided, assumed or left open.

No value of a row is written but statuses, currencies and currency signs. Deciding does not belong here.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import yaml

from etl_assets.presets.catalog import TO_DECIDE
from etl_assets.values.numbers import NumberFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.drafts.choice import Choice
    from etl_assets.drafts.notation import TimeNotation

WIDTH: Final = 110
COMMENT_AT: Final = 34
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
_PLAIN: Final = re.compile(r"[^\W\d][\w. -]*[\w.]|[^\W\d]")


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


@dataclass
class Draft:
    """Drafted mapping."""

    text: str
    columns: dict[str, tuple[str, ...]]
    """Of each column of the mapping (``item.…`` of lines) the headers it is taken from."""
    questions: list[str] = field(default_factory=list)
    """What has to be decided before the mapping can be used."""
    notes: list[str] = field(default_factory=list)
    """What was assumed, or has to be named at the import."""

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


def scalar(text: str) -> str:
    """Write a text as a YAML scalar on one line, quoted where it has to be."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))
    return quoted.strip()


def _line(text: str, comment: str = "") -> str:
    return f"{text:<{COMMENT_AT}}  # {comment}" if comment else text


def _comment(text: str, indent: str = "") -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
    )


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(scalar, texts))}]"


def _headers(headers: Sequence[str]) -> str:
    return scalar(headers[0]) if len(headers) == 1 else _listed(headers)


def _head(found: FileFacts) -> list[str]:
    choice = found.choice
    shape = "a row per line item" if choice.shape == "line_item" else "a row per order"
    repeats = (
        f"order numbers that stand in several rows: {found.repeated:,}" if found.repeated else "no order number repeats"
    )
    lines = _comment(
        f"A mapping drafted from a file of {found.rows:,} rows. Check it; docs/importing.md describes the keys. "
        "Import a file with it with `etl-assets import FILE --mapping THIS`, or keep it as a preset of your own with "
        "`etl-assets presets add THIS`."
    )
    lines += [f"name: {found.name}", _line(f"shape: {choice.shape}", f"{shape}: {repeats}")]
    lines += [f"encodings: {_listed(found.encodings)}"]
    if found.delimiter != ",":
        lines.append(f"delimiter: {scalar(found.delimiter)}")
    if found.explanation is not None:
        pattern = re.sub(r"[^\w\s]", r"\\\g<0>", found.explanation)
        lines.append(_line(f"skip_rows_matching: {_listed([pattern])}", "the row under the headers explains them"))
    return lines


def _order_columns(found: FileFacts, draft: Draft) -> list[str]:
    lines = ["columns:"]
    if found.platform is not None:
        lines.append(f"  platform: {{constant: {scalar(found.platform)}}}")
    lines += _shop(found, draft)
    for column in _ORDER_COLUMNS:
        lines += _ORDER_WRITERS.get(column, _plain_column)(column, found, draft)
    if found.choice.shape == "order" and "item.name" in found.choice.columns:
        lines.append(f"  items: {_headers(found.choice.columns['item.name'])}")
    return lines


def _plain_column(column: str, found: FileFacts, draft: Draft) -> list[str]:
    headers = found.choice.columns.get(column)
    if headers is None:
        if column not in _MISSED:
            return []
        draft.notes.append(f"no column gives {column}: {_MISSED[column]}")
        return [_line(f"  # {column}: COLUMN", f"no column gives it: {_MISSED[column]}")]
    return [_line(f"  {column}: {_headers(headers)}", "the first that is not empty" if len(headers) > 1 else "")]


def _shop(found: FileFacts, draft: Draft) -> list[str]:
    headers = found.choice.columns.get("shop")
    if found.shop is not None:
        draft.columns["shop"] = ()
        return [f"  shop: {{constant: {scalar(found.shop)}}}"]
    if headers is not None:
        return [f"  shop: {_headers(headers)}"]
    draft.notes.append("the file does not name the shop: name it in the mapping, or with --shop at each import")
    return [_line("  # shop: {constant: NAME}", "not in the file: name it here, or with --shop at each import")]


def _order_id(column: str, found: FileFacts, draft: Draft) -> list[str]:
    if column in found.choice.columns:
        lines = [f"  order_id: {_headers(found.choice.columns[column])}"]
        if found.without_number:
            warning = f"{found.without_number:,} rows have no order number: they will wait in quarantine"
            draft.notes.append(warning)
            lines = [*_comment(warning, "  "), *lines]
        return lines
    draft.questions.append("order_id: no header says that it is the order number")
    seen = f" The headers are: {', '.join(map(scalar, found.headers))}." if found.shown else ""
    return [*_comment(f"Which column has the order number?{seen}", "  "), f"  order_id: {TO_DECIDE}"]


def _order_status(column: str, found: FileFacts, draft: Draft) -> list[str]:
    when = found.choice.columns.get("cancelled_at")
    if when is None:
        return _plain_column(column, found, draft)
    rule = rf"{{when: {scalar(when[0])}, matches: '\S', value: cancelled}}"
    status = found.choice.columns.get(column)
    return [
        "  order_status:", f"    rules: [{rule}]", *([f"    columns: {_listed(status)}"] if status else []),
    ]  # fmt: skip


def _amount(column: str, found: FileFacts, draft: Draft) -> list[str]:
    choice = found.choice
    if choice.amount_from_items:
        return _comment("amount: the sum of quantity × unit price of the lines, see amount_from_items", "  ")
    if not choice.is_line_amount:
        return _plain_column(column, found, draft)
    header = scalar(choice.columns[column][0])
    draft.questions.append(f"amount: {header} seems to be the amount of a line, not of the order")
    return [
        *_comment(
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
        return [_line(f"  currency: {{constant: {scalar(found.currency)}}}", found.currency_reason)]
    draft.notes.append("the file does not name the currency: name it in the mapping, or with --currency at each import")
    return [_line("  # currency: {constant: EUR}", "not in the file: name it here, or with --currency at each import")]


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
    lines = ["item:", *(f"  {column}: {_headers(headers)}" for column, headers in sorted(items.items()))]
    return [*lines, *(["amount_from_items: true"] if found.choice.amount_from_items else [])]


def _notation(found: FileFacts, draft: Draft) -> list[str]:
    return [*_numbers(found, draft), *_times(found, draft), *_timezone(found, draft)]


def _numbers(found: FileFacts, draft: Draft) -> list[str]:
    numbers = found.numbers
    if numbers is None:
        draft.questions.append(f"numbers: {found.numbers_reason}")
        return [
            *_comment(
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
        texts.append(f"currency_signs: {_listed(numbers.currency_signs)}")
    return f"numbers: {{{', '.join(texts)}}}"


def _times(found: FileFacts, draft: Draft) -> list[str]:
    times = found.times
    lines = []
    if times.unread:
        unread = f"no format reads times of the form {', '.join(times.unread)}: such rows wait in quarantine"
        draft.notes.append(unread)
        lines += _comment(unread)
    if times.undecided:
        draft.questions.append(
            f"timestamp_formats: {times.reason}. Name --day-first or --month-first, or edit the draft"
        )
        day, month = _listed(times.formats), _listed(times.undecided)
        text = (
            f"Times: {times.reason}. Day first: `timestamp_formats: {day}`; month first: `timestamp_formats: {month}`."
        )
        return [*lines, *_comment(text), f"timestamp_formats: {TO_DECIDE}"]
    if times.formats:
        lines.append(_line(f"timestamp_formats: {_listed(times.formats)}", times.reason))
    return lines


def _timezone(found: FileFacts, draft: Draft) -> list[str]:
    if found.timezone is not None:
        return [f"timezone: {found.timezone}"]
    if found.times.has_offset or "ordered_at" not in found.choice.columns:
        return []
    draft.notes.append("the times have no offset from UTC and are read as UTC: put the shop's time zone in timezone")
    return [_line("timezone: UTC", "assumed: the times have no offset; put the shop's zone, such as Europe/Berlin")]


def _statuses(found: FileFacts, draft: Draft) -> list[str]:
    rule = ("cancelled",) if "cancelled_at" in found.choice.columns else ()
    cancelled = tuple(dict.fromkeys((*rule, *found.cancelled)))
    lines = []
    if cancelled:
        lines.append(_line(f"cancelled_statuses: {_listed(cancelled)}", "by their words: check them"))
    elif found.statuses:
        lines.append(_line("cancelled_statuses: []", "no status of this file says it: name those that mean cancelled"))
    known = [status for status in found.statuses if status not in cancelled]
    if known:
        lines.append(_line(f"known_statuses: {_listed(known)}", "those of this file; others will be reported"))
    if found.cancelled:
        draft.notes.append(f"orders with the status {' or '.join(map(scalar, found.cancelled))} count as cancelled")
    return lines


def _tail(found: FileFacts) -> list[str]:
    telling = [found.choice.columns[column][0] for column in _TELLING if column in found.choice.columns]
    lines = [f"detect_headers: {_listed(telling)}"] if telling else []
    used = {header for headers in found.choice.columns.values() for header in headers}
    left = [header for header in found.headers if header not in used]
    if left and found.shown:
        lines += _comment(f"Not mapped, and kept in raw_orders.extra: {', '.join(map(scalar, left))}")
    return lines


_TELLING: Final = (
    "order_id", "customer_name", "order_status", "amount", "ordered_at", "item.name", "item.sku", "item.quantity",
)  # fmt: skip
"""Columns whose headers tell that a file is of this format."""
