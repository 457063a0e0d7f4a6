"""Choice of the columns of a draft: which headers of a file give which values, and the shape of its rows.

Headers are chosen by their words (`words`), and dropped where their values are none of the kind. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from etl_assets.drafts.notation import currency_of, format_of
from etl_assets.drafts.words import fit_of
from etl_assets.values.currencies import AMBIGUOUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from etl_assets.drafts.profile import ColumnProfile, FileProfile, Kind

TARGETS: Final[dict[str, tuple[Kind, ...]]] = {
    "order_id": (),
    "shop": (),
    "customer_name": (),
    "order_status": ("value",),
    "amount": ("number",),
    "line_total": ("number",),
    "currency": ("value",),
    "ordered_at": ("time",),
    "updated_at": ("time",),
    "cancelled_at": ("time",),
    "remark": (),
    "item.name": (),
    "item.variant": (),
    "item.sku": (),
    "item.quantity": ("number",),
    "item.unit_price": ("number",),
}
"""Roles of a header: columns of the mapping, `line_total` and `cancelled_at`; and the measures that tell it."""
_OF_LINES: Final = ("item.variant", "item.sku", "item.quantity", "item.unit_price")
WITH_FALLBACK: Final = ("customer_name", "ordered_at")
MOST_COLUMNS: Final = 3
MOST: Final = 0.8
"""Share of the values that must be of the kind; a file may have a line of explanations or a total."""
HALF: Final = 0.5
NEARLY: Final = 0.9
LEAST_EXPLAINED: Final = 2
MOST_UNREPEATED: Final = 8
_CODE_OF_STATE: Final = re.compile("[A-Z]{2}")
_LIKE_DATA: Final = re.compile(r"@|\d{4}")
_WORDS: Final = re.compile(r"[^\W\d_]\D{2,199}")


@dataclass(frozen=True)
class Choice:
    """Headers chosen for a mapping."""

    columns: dict[str, tuple[str, ...]]
    """Of each target its headers: the first that is not empty counts."""
    shape: Literal["order", "line_item"]
    amount_from_items: bool = False
    is_line_amount: bool = False
    """The only column of amounts is that of a line."""


def candidates(headers: Sequence[str]) -> dict[str, list[tuple[float, str]]]:
    """Return the headers that fit each target, with how well they do."""
    fits = {target: [(fit_of(target, header), header) for header in headers] for target in TARGETS}
    return {target: [one for one in found if one[0] > 0] for target, found in fits.items()}


def kinds_of_columns(found: dict[str, list[tuple[float, str]]]) -> dict[str, set[Kind]]:
    """Return the headers to be measured, and the measures of each."""
    kinds: dict[str, set[Kind]] = {}
    for target, fits in found.items():
        for _, header in fits:
            kinds.setdefault(header, set()).update(TARGETS[target])
    return kinds


def choose(found: dict[str, list[tuple[float, str]]], profile: FileProfile) -> Choice:
    """Choose the headers of each target from the candidates and the profile of the file's values."""
    fitting = {
        target: [one for one in fits if _has_values(target, profile.columns[one[1]], profile.rows)]
        for target, fits in found.items()
    }
    fitting["order_id"] = _fullest(fitting["order_id"], profile)
    chosen = _assign(fitting)
    for target in WITH_FALLBACK:
        if target in chosen and profile.columns[chosen[target][0]].filled < profile.rows:
            chosen[target] += _fallbacks(fitting[target], chosen)
    return _with_shape(chosen, fitting["amount"], profile)


def find_explanation(first: Mapping[str, str | None], found: dict[str, list[tuple[float, str]]]) -> str | None:
    """Return the text that stands for the order number in a first row that explains the headers; None if none does.

    It has words where the order number, the amount or the time would be: at least the first and another of them.
    """
    chosen = _assign(found)
    cells = [first[chosen[target][0]] or "" for target in ("order_id", "amount", "ordered_at") if target in chosen]
    words = [cell for cell in cells if _WORDS.fullmatch(cell.strip())]
    return cells[0].strip() if "order_id" in chosen and len(words) == len(cells) >= LEAST_EXPLAINED else None


def _assign(fitting: dict[str, list[tuple[float, str]]]) -> dict[str, tuple[str, ...]]:
    """Give each target one header, each header to one target: the best fits first."""
    pairs = [(fit, target, header) for target, fits in fitting.items() for fit, header in fits]
    chosen: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for _, target, header in sorted(pairs, key=lambda one: -one[0]):
        if target not in chosen and header not in taken:
            chosen[target] = (header,)
            taken.add(header)
    return chosen


def _fullest(fits: list[tuple[float, str]], profile: FileProfile) -> list[tuple[float, str]]:
    """Keep the headers that have about the most values: an id that further lines of an order lack is not its number."""
    most = max((profile.columns[header].filled for _, header in fits), default=0)
    return [one for one in fits if profile.columns[one[1]].filled >= NEARLY * most]


def _fallbacks(fits: list[tuple[float, str]], chosen: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    taken = {header for headers in chosen.values() for header in headers}
    ranked = [header for _, header in sorted(fits, key=lambda one: -one[0]) if header not in taken]
    return tuple(ranked[: MOST_COLUMNS - 1])


def _with_shape(chosen: dict[str, tuple[str, ...]], amounts: list[tuple[float, str]], profile: FileProfile) -> Choice:
    """Decide the shape of the rows and, with it, where the amount of an order comes from."""
    has_item = "item.name" in chosen or "item.sku" in chosen
    has_line = "item.quantity" in chosen or "item.unit_price" in chosen
    if not (has_item and (has_line or profile.repeated)):
        amount = chosen.get("amount") or chosen.get("line_total")
        columns = _without(chosen, "line_total", *_OF_LINES) | ({"amount": amount} if amount else {})
        return Choice(columns, "order")
    taken = {header for target, headers in chosen.items() if target != "amount" for header in headers}
    steady = [one for one in amounts if not profile.differing[one[1]] and one[1] not in taken]
    if steady:
        return Choice(_without({**chosen, "amount": (max(steady)[1],)}, "line_total"), "line_item")
    if {"item.quantity", "item.unit_price"} <= chosen.keys():
        return Choice(_without(chosen, "line_total", "amount"), "line_item", amount_from_items=True)
    amount = chosen.get("line_total") or chosen.get("amount")
    columns = _without(chosen, "line_total", "amount") | ({"amount": amount} if amount else {})
    return Choice(columns, "line_item", is_line_amount=amount is not None)


def _without(chosen: dict[str, tuple[str, ...]], *targets: str) -> dict[str, tuple[str, ...]]:
    return {target: headers for target, headers in chosen.items() if target not in targets}


def _has_values(target: str, column: ColumnProfile, rows: int) -> bool:
    """Test that the values of a column are of the kind of a target; a file without rows has none to test."""
    if not rows:
        return True
    if not column.filled:
        return target in {"remark", "cancelled_at"}
    test = _TESTS.get(target)
    return test is None or test(column)


def _are_numbers(column: ColumnProfile) -> bool:
    return column.numbers >= MOST * column.filled


def _are_times(column: ColumnProfile) -> bool:
    times = sum(count for shape, count in column.shapes.items() if format_of(column.examples[shape]) is not None)
    return times >= HALF * column.filled


def _are_currencies(column: ColumnProfile) -> bool:
    known = [value for value in column.values if value in AMBIGUOUS or currency_of(value) is not None]
    return column.is_listed and len(known) >= HALF * len(column.values)


def _are_statuses(column: ColumnProfile) -> bool:
    """Test that values may be statuses: a few that repeat, none of them a code of a state or like a customer's data."""
    values = column.values
    are_few = len(values) <= MOST_UNREPEATED or len(values) <= HALF * column.filled
    return (
        column.is_listed
        and are_few
        and not all(_CODE_OF_STATE.fullmatch(value) for value in values)
        and not any(_LIKE_DATA.search(value) for value in values)
    )


_TESTS: Final[dict[str, Callable[[ColumnProfile], bool]]] = {
    "order_id": lambda column: column.with_digit >= MOST * column.filled,
    "customer_name": lambda column: column.masked <= HALF * column.filled,
    "order_status": _are_statuses,
    "currency": _are_currencies,
    **dict.fromkeys(("amount", "line_total", "item.quantity", "item.unit_price"), _are_numbers),
    **dict.fromkeys(("ordered_at", "updated_at", "cancelled_at"), _are_times),
}
