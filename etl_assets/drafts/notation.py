"""Notation of a file's times and numbers, decided from the profiles of whole columns.

The hazard is a date that reads as well with the day first as with the month first: it is decided by a number above 12
or asked, never guessed (docs/decisions.md, "Drafts of mappings").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.drafts.profile import MONTHS
from etl_assets.values.currencies import currency_code
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.timestamp_formats import fitting_formats
from etl_assets.values.timestamps import has_year, parse_timestamps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.drafts.profile import ColumnProfile
    from etl_assets.values.date_order import DateOrder

_YEAR_FIRST: Final = re.compile(r"\d{4}[-/]")
_OFFSET: Final = re.compile(r":\d\d(?:\.\d+)? ?(?:[+-]\d\d:?\d\d|Z|UTC)$")
_TWO_DIGIT_YEAR: Final = "%y"
_DAY_FIRST: Final = re.compile(r"(?<![./-])%d([./-])%m(?:\1%[yY])?")
_MONTH_FIRST: Final = re.compile(r"(?<![./-])%m([./-])%d(?:\1%[yY])?")


@dataclass(frozen=True)
class TimeNotation:
    """Formats of some columns of times."""

    formats: tuple[str, ...]
    """strftime formats, beyond the ISO ones; with the order that is decided, or day first."""
    order: DateOrder | None
    """Order of dates that need one; None if none does, or if it is not decided."""
    undecided: tuple[str, ...] = ()
    """The formats of the other order, where the values allow both."""
    reason: str = ""
    unread: tuple[str, ...] = ()
    """Shapes that no format reads."""
    has_offset: bool = False
    """All times have an offset from UTC."""


def decide_times(profiles: Sequence[ColumnProfile], asked: DateOrder | None) -> TimeNotation:
    """Decide the formats of columns of times that share one list of formats.

    Args:
        profiles: of the columns.
        asked: the order that the user names.
    """
    examples = {shape: texts for profile in profiles for shape, texts in profile.examples.items()}
    read = {shape: strptime for shape, texts in examples.items() if (strptime := format_of(texts)) is not None}
    unread = tuple(shape for shape in examples if shape not in read)
    short = [strptime for strptime in read.values() if _DAY_FIRST.search(strptime)]
    order, reason = _decide_order(profiles, short, asked) if short else (None, "")
    offsets = [_OFFSET.search(texts[0]) is not None for texts in examples.values()]
    return TimeNotation(
        _in_order(read.values(), order or "day"),
        order,
        _in_order(read.values(), "month") if short and order is None else (),
        reason,
        unread,
        has_offset=bool(offsets) and all(offsets),
    )


def format_of(texts: Iterable[str]) -> str | None:
    """Return the format of times of one shape: with the day first where it may be, empty where ISO reads them.

    None where no format reads any of them.
    """
    return next((found for text in texts if (found := _format_of(text)) is not None), None)


@lru_cache(maxsize=4096)
def _format_of(text: str) -> str | None:
    if _YEAR_FIRST.match(text) and parse_timestamps(pl.Series([text]), pl.Series(["UTC"]), ())[0] is not None:
        return ""
    found = fitting_formats(pl.Series([text]))
    return _with_day_first(found[0]) if found else None


def decide_numbers(profiles: Iterable[ColumnProfile]) -> tuple[NumberFormat | None, str]:
    """Decide the notation of the numbers of some columns, with the reason; None where the values allow several."""
    profiles = list(profiles)
    counts = {kind: sum(profile.notations[kind] for profile in profiles) for kind in ("point", "comma", "point3")}
    marks = {mark for profile in profiles for mark in profile.marks}
    keys: dict[str, object] = {}
    if counts["point"] and counts["comma"]:
        return None, "some numbers have a decimal point, others a decimal comma"
    if counts["point3"] and not counts["point"] and not counts["comma"]:
        return None, "every point is followed by three digits, as a mark of thousands is"
    if counts["comma"]:
        keys["decimal"] = ","
    if len(marks) == 1:
        keys["thousands"] = marks.pop()
    default = NumberFormat()
    signs = {sign for profile in profiles for sign in profile.signs} - set(default.currency_signs)
    known = tuple(sorted(sign for sign in signs if is_sign(sign)))
    if known:
        keys["currency_signs"] = (*default.currency_signs, *known)
    return NumberFormat.model_validate(keys), ""


def is_sign(text: str) -> bool:
    """Test that a text beside a number is a currency sign or code."""
    return bool(re.fullmatch(r"[^\W\d_]{1,3}\.?|[^\W\d_]{0,2}[$€£¥₩₫₱฿₹元]", text))


def currency_of(text: str) -> str | None:
    """Return the ISO code that a code, symbol or word means; None where it means none, or one of several."""
    try:
        return currency_code(text)
    except ValueError:
        return None


def _decide_order(
    profiles: Sequence[ColumnProfile], formats: Sequence[str], asked: DateOrder | None
) -> tuple[DateOrder | None, str]:
    first = max(profile.first_most for profile in profiles)
    second = max(profile.second_most for profile in profiles)
    if first > MONTHS and second > MONTHS:
        return None, f"the first number of the dates goes up to {first}, and so does the second, to {second}"
    if first > MONTHS:
        return "day", f"day first: the first number of the dates goes up to {first}"
    if second > MONTHS:
        return "month", f"month first: the second number of the dates goes up to {second}"
    if asked is not None:
        return asked, f"{asked} first, as you said: no number of the dates is above {MONTHS}"
    if all(strptime.startswith("%d.") and has_year(strptime) for strptime in formats):
        return "day", "day first, as dates with points are"
    return None, f"no value decides it: both numbers of the dates stay below {MONTHS + 1}"


def _in_order(formats: Iterable[str], order: DateOrder) -> tuple[str, ...]:
    """Return the formats that a mapping has to name, with day and month in this order."""
    chosen = [_with_month_first(one) if order == "month" else one for one in formats if one]
    # "%Y" reads a year of two digits too, as one of the first century: the formats with "%y" come first.
    return tuple(sorted(dict.fromkeys(chosen), key=lambda one: _TWO_DIGIT_YEAR not in one))


def _with_day_first(strptime: str) -> str:
    return _MONTH_FIRST.sub(lambda found: _swapped(found.group()), strptime)


def _with_month_first(strptime: str) -> str:
    return _DAY_FIRST.sub(lambda found: _swapped(found.group()), strptime)


def _swapped(date: str) -> str:
    return date.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")
