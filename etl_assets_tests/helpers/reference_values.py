"""Reference readers of texts, amounts and timestamps, one value at a time in plain Python, for the oracle."""

from __future__ import annotations

import re
import unicodedata
from datetime import MAXYEAR, UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.values.numbers import NumberFormat

_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space; `str.strip()` alone would take off the separators 0x1C to 0x1F as well."""
_ZERO: Final = Decimal("0.0000")
_MAX_AMOUNT: Final = Decimal(10) ** 14
LEAP_SECOND: Final = 60


def clean_text(text: str | None) -> str | None:
    """Clean a text: NFKC, stripped, without `="…"` and an apostrophe before a digit; None if empty."""
    if text is None:
        return None
    text = unicodedata.normalize("NFKC", text).strip(_WHITE_SPACE)
    if len(text) >= len('=""') and text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    if text.startswith("'") and text[1:2].isdecimal():
        text = text[1:]
    return text.strip(_WHITE_SPACE) or None


def clean_name(text: str | None) -> str | None:
    """Clean a name; None for a masked one. An e-mail address is in lower case."""
    text = clean_text(text)
    if text is None or "*" in text:
        return None
    return unicodedata.normalize("NFKC", text.lower()) if _is_email(text) else text


def _is_email(text: str) -> bool:
    local, _, domain = text.partition("@")
    host, _, top = domain.rpartition(".")
    has_blank = any(character in _WHITE_SPACE for character in text)
    return all((local, host, top)) and "@" not in domain and not has_blank


def fold(text: str | None) -> str | None:
    """Clean a text for comparisons that ignore case."""
    cleaned = clean_text(text)
    return cleaned.lower() if cleaned else None


def read_amount(text: str | None, numbers: NumberFormat) -> Decimal | None:
    """Read an amount of money with 4 decimals.

    Raises:
        ValueError: the text is not an amount or is beyond numeric(18,4).
    """
    bare = clean_text(text)
    return None if bare is None else _rounded(_exact(_without_currency(bare, numbers), numbers))


_DOLLARS: Final = ["USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "MXN", "ARS", "CLP", "COP"]
_CURRENCIES_OF: Final = {
    "$": _DOLLARS, "DOLLAR": _DOLLARS, "¥": ["CNY", "JPY"], "KR": ["SEK", "NOK", "DKK", "ISK"],
    **{
        symbol: [code]
        for line in (
            "EUR € EURO EUROS 欧元", "GBP £ 英镑", "INR ₹", "KRW ₩ 韩元", "TRY ₺", "THB ฿", "VND ₫", "UAH ₴", "RUB ₽",
            "ILS ₪", "PHP ₱", "NGN ₦", "KZT ₸", "PLN ZŁ", "CZK KČ", "HUF FT", "IDR RP", "BRL R$", "USD US$ $US 美元",
            "CAD C$ CA$", "AUD A$ AU$", "NZD NZ$", "HKD HK$ 港币 港元", "SGD S$ SG$", "TWD NT$ 新台币", "MXN MX$",
            "CNY CN¥ RMB 元 人民币 人民币元", "JPY JP¥ 円 日元",
        )
        for code, *symbols in (line.split(),)
        for symbol in symbols
    },
}  # fmt: skip
"""Currencies that each symbol or word may mean."""


def read_currency(
    text: str | None, amount: str | None, words: Mapping[str, str], default: str | None = None
) -> str | None:
    """Read the currency of an order: its own text, or the symbol beside the amount, or the shop's default."""
    own, bare = clean_text(text), clean_text(amount) or ""
    beside = "".join(character for character in bare if character not in "0123456789.,'+-" + _WHITE_SPACE)
    if own is None and not beside:
        return default
    codes = _meant(own or beside, words)
    if default is not None and len(codes) > 1 and default in codes:
        return default
    if own is not None:
        return codes[0] if len(codes) == 1 else _symbol(own) if codes else own.upper()
    known = {*words.values(), *(code for meant in _CURRENCIES_OF.values() for code in meant)}
    if not codes:
        return beside.upper() if beside.upper() in known else default
    return codes[0] if len(codes) == 1 else None


def _meant(text: str, words: Mapping[str, str]) -> Sequence[str]:
    own = {_symbol(word): [code] for word, code in words.items()}
    return (_CURRENCIES_OF | own).get(_symbol(text), [])


def _symbol(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).upper() if c not in _WHITE_SPACE and c != ".")


def read_quantity(text: str | None, numbers: NumberFormat) -> Decimal | None:
    """Read a quantity, which has 4 decimals at most and no currency.

    Raises:
        ValueError: the text is not a quantity or is beyond numeric(18,4).
    """
    bare = clean_text(text)
    if bare is None:
        return None
    exact = _exact(bare, numbers)
    rounded = _rounded(exact)
    if rounded != exact:
        msg = "too many decimals"
        raise ValueError(msg)
    return rounded


def write_amount(amount: Decimal, numbers: NumberFormat) -> str:
    """Write an amount without zeros at its end."""
    return f"{amount:.8f}".rstrip("0").rstrip(".").replace(".", numbers.decimal)


def _without_currency(bare: str, numbers: NumberFormat) -> str:
    space = f"[{re.escape(_WHITE_SPACE)}]*"
    signs = "|".join(re.escape(sign) for sign in sorted(numbers.currency_signs, key=len, reverse=True))
    if signs:
        bare = re.sub(rf"(?i)\A([+-]?){space}(?:{signs}){space}", r"\1", bare, count=1)
        bare = re.sub(rf"(?i){space}(?:{signs})\Z", "", bare, count=1)
    return bare


def _exact(bare: str, numbers: NumberFormat) -> Decimal:
    match = re.fullmatch(rf"([+-]?)(.*?)(?:{re.escape(numbers.decimal)}([0-9]*))?", bare, re.DOTALL)
    sign, whole, decimals = match.groups() if match else ("", "", None)
    groups = whole.split(numbers.thousands) if numbers.thousands else [whole]
    if len(groups) > 1 and not (1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])):
        msg = "incomplete groups of thousands"
        raise ValueError(msg)
    digits = "".join(groups)
    if not re.fullmatch("[0-9]*", digits) or not (digits or decimals):
        msg = "not a number"
        raise ValueError(msg)
    return Decimal(f"{sign}{digits}.{decimals or ''}")


def _rounded(exact: Decimal) -> Decimal:
    with localcontext(prec=len(exact.as_tuple().digits) + 10):
        amount = exact.quantize(_ZERO, ROUND_HALF_EVEN)
    if abs(amount) >= _MAX_AMOUNT:
        msg = "beyond numeric(18,4)"
        raise ValueError(msg)
    return amount


_DIGITS: Final = {"Y": r"\+[0-9]++|[0-9]{1,4}+", **dict.fromkeys("mdHMSI", "[0-9]{1,2}+")}
_HALVES: Final = {
    "AM": ("[Aa][Mm]", "上午", "午前", "오전", r"a\. ?m\."),
    "PM": ("[Pp][Mm]", "下午", "午後", "오후", r"p\. ?m\."),
}
"""Patterns of the halves of a day."""
_HALF: Final = "|".join(f"(?P<{half}>{'|'.join(patterns)})" for half, patterns in _HALVES.items())
_OFFSET: Final = rf"[{_WHITE_SPACE}]*(?P<z>[Zz]|[-+\u2212][0-9]{{2}}(?:[:{_WHITE_SPACE}]*[0-9]{{2}})?)"
_SHORTHANDS: Final = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%e": "%d", "%:z": "%z"}
_ISO: Final = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M%z", "%Y-%m-%d %H:%M", "%Y-%m-%d")


@lru_cache
def _pattern(strftime_format: str) -> re.Pattern[str]:
    """Return the pattern of a format: numbers may have fewer digits, blanks may be missing or repeated."""
    for shorthand, spelled_out in _SHORTHANDS.items():
        strftime_format = strftime_format.replace(shorthand, spelled_out)
    pattern = ""
    for piece in re.findall(r"%\.?.|\s+|.", strftime_format, re.DOTALL):
        if piece == "%.f":
            pattern += r"(?:\.(?P<f>[0-9]+))?"
        elif piece == "%z":
            pattern += _OFFSET
        elif piece == "%p":
            pattern += f"(?:{_HALF})"
        elif piece[0] == "%" and piece[1] in _DIGITS:
            pattern += f"[{_WHITE_SPACE}]*(?P<{piece[1]}>{_DIGITS[piece[1]]})"
        elif piece[0] == "%":
            msg = f"the oracle cannot read with {strftime_format!r}"
            raise NotImplementedError(msg)
        else:
            pattern += f"[{_WHITE_SPACE}]*" if piece.isspace() else re.escape(piece)
    return re.compile(pattern)


def read_timestamp(text: str | None, formats: Sequence[str], zone: tzinfo) -> datetime | None:
    """Read a timestamp, in UTC. A naive one is in the zone: the first of a repeated hour, a skipped one moved forward.

    Raises:
        ValueError: no format fits, or the timestamp is outside the years 1 to 9999 in UTC.
    """
    cleaned = clean_text(text)
    if cleaned is None or cleaned.startswith("0000-00-00"):
        return None
    parts = _parts(cleaned, tuple(formats))
    offset = parts.get("z")
    moment = _date_and_time(parts).replace(
        microsecond=int((parts.get("f") or "").ljust(6, "0")[:6]),  # further digits are cut
        tzinfo=_zone(offset) if offset else zone,
    )
    seconds = int(parts.get("S") or 0)
    if seconds > LEAP_SECOND:
        msg = "no second"
        raise ValueError(msg)
    try:
        # A leap second is the next minute's first, by the wall clock (which ends with the year 9999).
        if offset or moment.year == MAXYEAR:
            return moment.astimezone(UTC) + timedelta(seconds=seconds)
        return (moment + timedelta(seconds=seconds)).astimezone(UTC)
    except OverflowError:
        msg = "outside the years 1 to 9999"
        raise ValueError(msg) from None


def _parts(text: str, formats: tuple[str, ...]) -> dict[str, str | None]:
    for known in formats:
        match = _pattern(known).fullmatch(text)
        if match and _is_date(match.groupdict()):
            return match.groupdict()
    iso = re.sub(r"\A([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})", r"\1-\2-\3", text)
    iso = re.sub(r"\A([0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|(?s:.{10}))[Tt]", r"\1 ", iso)
    for known in _ISO:
        match = _pattern(known).fullmatch(iso)
        if match:
            return match.groupdict()
    msg = "not a timestamp"
    raise ValueError(msg)


def _is_date(parts: dict[str, str | None]) -> bool:
    """Return whether the parts are a valid timestamp; otherwise another format may read them."""
    try:
        _date_and_time(parts)
    except ValueError:
        return False
    return int(parts.get("S") or 0) <= LEAP_SECOND


def _date_and_time(parts: dict[str, str | None]) -> datetime:
    year, month, day, hour, minute, hour_of_half = (
        int(parts.get(name) or default) for name, default in zip("YmdHMI", (0, 1, 1, 0, 0, 12), strict=True)
    )
    if not 1 <= hour_of_half <= 12:
        msg = "no hour of a half of a day"
        raise ValueError(msg)
    hour += hour_of_half % 12 + 12 * bool(parts.get("PM"))
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001  # its zone is read apart


def _zone(offset: str) -> tzinfo:
    if offset in "Zz":
        return UTC
    digits = re.sub("[^0-9]", "", offset)
    if int(digits[2:] or 0) > 59:
        msg = "not an offset"
        raise ValueError(msg)
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(ahead if offset[0] == "+" else -ahead)
