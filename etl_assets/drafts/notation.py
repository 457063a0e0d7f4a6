"""Notation of a file's times and numbers, decided from the profiles of whole columns.

The hazard is a date that reads as well with the day first as with the month first: it is decided by a number above 12
or asked, never guessed (docs/decisions.md, "Drafts of mappings").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from etl_assets.drafts.profile import MONTHS
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.timestamps import parse_timestamps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.drafts.profile import ColumnProfile

DateOrder = Literal["day", "month"]

_SHAPE: Final = re.compile(
    r"(?P<date>9{4}(?:[-/.]9{1,2}){2}|9{4}年9{1,2}月9{1,2}日|9{8}"
    r"|9{1,2}(?P<mark>[-/.])9{1,2}(?P=mark)(?:9{4}|99)"
    r"|9{1,2}[ -]AAA[ -](?:9{4}|99)|AAA[ -]9{1,2},?[ -](?:9{4}|99))"
    r"(?P<gap>[ T,]*)(?P<time>9{1,2}:99(?::99(?P<fraction>\.9{1,9})?)?)?(?P<half> ?PM)?(?P<zone> ?(?:[+-]99:?99|Z))?"
)
_ISO_START: Final = re.compile("9{4}[-/]")
_TWO_DIGIT_YEAR: Final = "%y"


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
    examples = {shape: text for profile in profiles for shape, text in profile.examples.items()}
    order, reason = _decide_order(profiles, asked) if any(map(_needs_order, examples)) else (None, "")
    formats, unread = _formats(examples, order or "day")
    offsets = [bool((found := _SHAPE.fullmatch(shape)) and found["zone"]) for shape in examples]
    undecided = _formats(examples, "month")[0] if reason and order is None else ()
    return TimeNotation(formats, order, undecided, reason, unread, has_offset=bool(offsets) and all(offsets))


def is_time(shape: str) -> bool:
    """Test that a shape is that of a time."""
    return _SHAPE.fullmatch(shape) is not None


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


def _decide_order(profiles: Sequence[ColumnProfile], asked: DateOrder | None) -> tuple[DateOrder | None, str]:
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
    if all(
        set(filter(_needs_order, profile.examples)) <= set(filter(_has_dots, profile.examples)) for profile in profiles
    ):
        return "day", "day first, as dates with points are"
    return None, f"no value decides it: both numbers of the dates stay below {MONTHS + 1}"


def _needs_order(shape: str) -> bool:
    found = _SHAPE.fullmatch(shape)
    return found is not None and found["mark"] is not None


def _has_dots(shape: str) -> bool:
    found = _SHAPE.fullmatch(shape)
    return found is not None and found["mark"] == "."


def _formats(examples: dict[str, str], order: DateOrder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the formats of times, and the shapes that no format reads."""
    formats: list[str] = []
    unread: list[str] = []
    for shape, text in examples.items():
        if _ISO_START.match(shape) and _reads(text, ()):
            continue
        strptime = _format_of(shape, order)
        if strptime is not None and (_needs_order(shape) or _reads(text, (strptime,))):
            formats.append(strptime)
        else:
            unread.append(shape)
    # "%Y" reads a year of two digits too, as one of the first century: the formats with "%y" come first.
    ordered = sorted(dict.fromkeys(formats), key=lambda one: _TWO_DIGIT_YEAR not in one)
    return tuple(ordered), tuple(unread)


def _format_of(shape: str, order: DateOrder) -> str | None:
    found = _SHAPE.fullmatch(shape)
    if found is None:
        return None
    time = ""
    if found["time"]:
        seconds = found["time"].count(":") > 1
        time = (
            ("%I" if found["half"] else "%H")
            + ":%M"
            + (":%S" if seconds else "")
            + ("%.f" if found["fraction"] else "")
        )
    half = (found["half"] or "").replace("PM", "%p")
    zone = re.sub(r"[+-]99:?99", "%z", found["zone"] or "")
    return _date_format(found["date"], order) + found["gap"] + time + half + zone


def _date_format(date: str, order: DateOrder) -> str:
    year = "%Y" if re.search("9{4}", date) else "%y"
    if date == "99999999":
        return "%Y%m%d"
    if re.match("9{4}", date):
        return re.sub("9{1,2}(?=[^9]*$)", "%d", re.sub("9{4}(.)9{1,2}", r"%Y\1%m", date))
    if "AAA" in date:
        return re.sub("9+$", year, date.replace("AAA", "%B")).replace("99", "%d").replace("9", "%d")
    first, second = ("%d", "%m") if order == "day" else ("%m", "%d")
    return re.sub(r"^9+(.)9+(.)9+$", rf"{first}\1{second}\2{year}", date)


def _reads(text: str, formats: Sequence[str]) -> bool:
    read = parse_timestamps(pl.Series([text]), pl.Series(["UTC"]), formats)
    return read[0] is not None
