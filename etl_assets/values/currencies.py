"""Currencies as text: the ISO 4217 code of what an export writes, a code, a symbol or a word.

No other module knows a symbol of a currency. The notation of amounts, which may carry such a symbol, is in
`values.numbers`; conversion between currencies does not belong here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Final

import polars as pl
from pydantic import AfterValidator

from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

DOLLARS: Final = ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "MXN", "ARS", "CLP", "COP")
AMBIGUOUS: Final[Mapping[str, tuple[str, ...]]] = {
    "$": DOLLARS,
    "DOLLAR": DOLLARS,
    "¥": ("CNY", "JPY"),
    "KR": ("SEK", "NOK", "DKK", "ISK"),
}
"""Symbols of several currencies, and the codes of these."""

SYMBOLS: Final[Mapping[str, str]] = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₺": "TRY", "฿": "THB", "₫": "VND", "₴": "UAH", "₽": "RUB",
    "₪": "ILS", "₱": "PHP", "₦": "NGN", "₸": "KZT", "ZŁ": "PLN", "KČ": "CZK", "FT": "HUF", "RP": "IDR", "R$": "BRL",
    "US$": "USD", "$US": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD", "SG$": "SGD", "NT$": "TWD", "MX$": "MXN", "CN¥": "CNY", "JP¥": "JPY",
    "RMB": "CNY", "元": "CNY", "人民币": "CNY", "人民币元": "CNY", "円": "JPY", "日元": "JPY", "美元": "USD",
    "欧元": "EUR", "英镑": "GBP", "港币": "HKD", "港元": "HKD", "新台币": "TWD", "韩元": "KRW",
    "EURO": "EUR", "EUROS": "EUR",
}  # fmt: skip
"""Code of each symbol and word of one currency; keys as `_meanings` matches them."""

_CODE: Final = re.compile("[A-Z]{3}")
_NUMERIC: Final = r"[0-9.,'\s+-]"
_NO_NUMBER: Final = r"[^0-9.,'\s+-]"
"""Patterns of the characters of an amount that belong to its number, and of all others."""


def currency_code(text: str) -> str:
    """Return the ISO code that a user means by a code, symbol or word; `ValueError` unless it means a single one."""
    code = str(currency_codes(pl.Series([text], dtype=pl.String)).item())
    if not _CODE.fullmatch(code):
        meant = AMBIGUOUS.get(code)
        reason = f"it may be {', '.join(meant)}" if meant else "use an ISO code such as EUR, USD or CNY"
        msg = f"{text!r} names no single currency: {reason}"
        raise ValueError(msg)
    return code


CurrencyCode = Annotated[str, AfterValidator(currency_code)]


def currency_codes(
    texts: pl.Series,
    amounts: pl.Series | None = None,
    defaults: pl.Series | None = None,
    symbols: Mapping[str, str] | None = None,
) -> pl.Series:
    """Return the currency of each order.

    It is the ISO code that the text means; where that is blank, the one that the symbol beside the amount means; where
    there is no symbol, the default. A symbol of several currencies means the default if that is one of them. If not, it
    stays as it is, in capitals, and counts as a currency of its own; beside an amount, it leaves the order without one.

    Args:
        texts: the currencies of an export.
        amounts: its amounts, as text.
        defaults: the currency that users set for the shop of each.
        symbols: codes of symbols by the word of the mapping (`currency_symbols`), before all that is known here.
    """
    meanings = _meanings(symbols)
    # A file names few currencies, each of which is decided once. Most files leave no row open.
    distinct = texts.unique().alias("text").to_frame().with_columns(code=_meant(pl.col("text"), meanings))
    codes = texts.replace_strict(distinct["text"], distinct["code"], return_dtype=pl.String).alias("code")
    if not distinct.select((pl.col("code").is_null() | pl.col("code").is_in(list(AMBIGUOUS))).any()).item():
        return codes
    rows = codes.to_frame().with_columns(
        pl.lit(None, pl.String).alias(name) if column is None else column.alias(name)
        for name, column in (("amount", amounts), ("default", defaults))
    )
    return rows.with_columns(beside=_beside(rows, meanings)).select(_decided()).to_series()


def ambiguous_symbols(texts: pl.Series, symbols: Mapping[str, str] | None = None) -> list[str]:
    """Return the distinct texts, as they are, that mean several currencies."""
    distinct = texts.drop_nulls().unique()
    return distinct.filter(currency_codes(distinct, symbols=symbols).is_in(list(AMBIGUOUS))).to_list()


def _meanings(symbols: Mapping[str, str] | None) -> dict[str, str]:
    """Return what symbols and words mean, by their form without blanks and dots: a code, or the symbol itself."""
    bare = {
        re.sub(r"[\s.]", "", unicodedata.normalize("NFKC", one)).upper(): code for one, code in (symbols or {}).items()
    }
    return {**{symbol: symbol for symbol in AMBIGUOUS}, **SYMBOLS, **bare}


def _meant(text: pl.Expr, meanings: Mapping[str, str]) -> pl.Expr:
    """Return what texts mean; in capitals those of no known meaning, among them nearly all codes."""
    capitals = clean_text(text).str.to_uppercase()
    return pl.coalesce(_looked_up(capitals.str.replace_all(r"[\s.]", ""), meanings), capitals)


def _beside(rows: pl.DataFrame, meanings: Mapping[str, str]) -> pl.Series:
    """Return what the symbols beside amounts mean where the currency is blank; null for all other rows."""
    is_written = pl.col("code").is_null() & pl.col("amount").str.contains(_NO_NUMBER)
    if not rows.select(is_written.any()).item():
        return pl.Series([None], dtype=pl.String).new_from_index(0, rows.height)
    symbol = clean_text(pl.col("amount")).str.to_uppercase().str.replace_all(_NUMERIC, "")
    codes = {code: code for code in meanings.values()}
    written = rows.select(pl.when(is_written).then("amount").alias("amount"))
    return written.select(_looked_up(symbol, {**codes, **meanings})).to_series()


def _looked_up(text: pl.Expr, meanings: Mapping[str, str]) -> pl.Expr:
    return text.replace_strict(meanings, default=None, return_dtype=pl.String)


def _decided() -> pl.Expr:
    """Return the currency of rows of `code`, `beside` and `default`."""
    code, beside, default = map(pl.col, ("code", "beside", "default"))
    symbol = pl.coalesce(code, beside)
    is_meant = pl.any_horizontal((symbol == one) & default.is_in(codes) for one, codes in AMBIGUOUS.items())
    return (
        pl.when(is_meant).then(default)
        .when(code.is_not_null()).then(code)
        .when(beside.is_null()).then(default)
        .when(~beside.is_in(list(AMBIGUOUS))).then(beside)
    )  # fmt: skip
