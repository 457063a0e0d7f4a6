"""How text, amounts and timestamps are to be read, one value at a time in plain Python: as the oracle reads them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.values.numbers import NumberFormat

_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space; `str.strip()` alone would take off the separators 0x1C to 0x1F as well."""
_ZERO: Final = Decimal("0.0000")
_MAX_AMOUNT: Final = Decimal(10) ** 14


def clean_text(text: str | None) -> str | None:
    """NFKC, stripped, freed from `="…"` and from an apostrophe before a digit; empty is None."""
    if text is None:
        return None
    text = unicodedata.normalize("NFKC", text).strip(_WHITE_SPACE)
    if len(text) >= len('=""') and text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    if text.startswith("'") and text[1:2].isdecimal():
        text = text[1:]
    return text.strip(_WHITE_SPACE) or None


def clean_name(text: str | None) -> str | None:
    """A cleaned name; a masked one names nobody."""
    text = clean_text(text)
    return None if text is None or "*" in text else text


def fold(text: str | None) -> str | None:
    """Cleaned text for comparisons that ignore case."""
    cleaned = clean_text(text)
    return cleaned.lower() if cleaned else None


def read_amount(text: str | None, numbers: NumberFormat) -> Decimal | None:
    """Read an amount of money with 4 decimals.

    Raises:
        ValueError: the text is not an amount or is beyond numeric(18,4).
    """
    bare = clean_text(text)
    if bare is None:
        return None
    space = f"[{re.escape(_WHITE_SPACE)}]*"
    signs = "|".join(re.escape(sign) for sign in sorted(numbers.currency_signs, key=len, reverse=True))
    if signs:
        bare = re.sub(rf"(?i)\A([+-]?){space}(?:{signs}){space}", r"\1", bare, count=1)
        bare = re.sub(rf"(?i){space}(?:{signs})\Z", "", bare, count=1)

    match = re.fullmatch(rf"([+-]?)(.*?)(?:{re.escape(numbers.decimal)}([0-9]*))?", bare, re.DOTALL)
    sign, whole, decimals = match.groups() if match else ("", "", None)
    groups = whole.split(numbers.thousands) if numbers.thousands else [whole]
    if len(groups) > 1 and not (1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])):
        msg = "incomplete groups of thousands"
        raise ValueError(msg)
    digits = "".join(groups)
    if not re.fullmatch("[0-9]*", digits) or not (digits or decimals):
        msg = "not an amount"
        raise ValueError(msg)
    with localcontext(prec=len(bare) + 10):
        amount = Decimal(f"{sign}{digits}.{decimals or ''}").quantize(_ZERO, ROUND_HALF_EVEN)
    if abs(amount) >= _MAX_AMOUNT:
        msg = "beyond numeric(18,4)"
        raise ValueError(msg)
    return amount


_ISO: Final = re.compile(
    r"([0-9]{4})([-/])([0-9]{2})\2([0-9]{2})"
    r"(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?(?: ?(Z|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_SHORTHANDS: Final = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%e": "%d", "%:z": "%z"}
"""Directives that strftime knows and Python's strptime doesn't."""


def read_timestamp(text: str | None, formats: Sequence[str], zone: tzinfo) -> datetime | None:
    """Read a moment, in UTC. A naive one is in the zone: the first of a repeated hour, a skipped one counted on.

    Raises:
        ValueError: no format fits, or the moment is outside the years 1 to 9999 in UTC.
    """
    cleaned = clean_text(text)
    if cleaned is None or cleaned.startswith("0000-00-00"):
        return None
    moment = _read_by_formats(cleaned, formats) or _read_iso(cleaned)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone, fold=0)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        msg = "outside the years 1 to 9999"
        raise ValueError(msg) from None


def _read_by_formats(text: str, formats: Sequence[str]) -> datetime | None:
    for strftime_format in formats:
        known = strftime_format
        for shorthand, spelled_out in _SHORTHANDS.items():
            known = known.replace(shorthand, spelled_out)
        try:
            return datetime.strptime(text, known)  # noqa: DTZ007 - the caller adds the zone
        except ValueError as error:
            if "directive" in str(error):
                msg = f"the oracle cannot read with {strftime_format!r}"
                raise NotImplementedError(msg) from None
    return None


def _read_iso(text: str) -> datetime:
    match = _ISO.fullmatch(text)
    if match is None:
        msg = "not a timestamp"
        raise ValueError(msg)
    year, _, month, day, hour, minute, second, fraction, offset = match.groups()
    zone: tzinfo | None = None
    if offset == "Z":
        zone = UTC
    elif offset:
        minutes = int(offset[-2:])
        if minutes > 59:
            msg = "not an offset"
            raise ValueError(msg)
        ahead = timedelta(hours=int(offset[1:3]), minutes=minutes)
        zone = timezone(ahead if offset[0] == "+" else -ahead)
    return datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
        int((fraction or "").ljust(6, "0")), tzinfo=zone,
    )  # fmt: skip
