"""Numbers as text: their notation in an export, and reading and writing of amounts and quantities in it.

No other module has rules of notation: a new key of a preset's ``numbers`` is a field of `NumberFormat`, used here only.
All of it is exact: no number goes through a float. Sums and their overflow do not belong here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from etl_assets.values.text import clean_text

MONEY: Final = pl.Decimal(18, 4)
"""The type of every amount and price, `numeric(18,4)` in the store. Further decimals are rounded half to even."""

QUANTITY: Final = pl.Decimal(18, 4)
"""The type of a quantity as it is read; the quantity of an order line is a `whole_number` of it."""

TOTAL: Final = pl.Decimal(38, 4)
"""The type of sums of amounts, `numeric(38,4)` in the store: no number of orders overflows it."""


class NumberFormat(BaseModel):
    """Notation of numbers in an export. Characters are compared after NFKC (``￥`` is ``¥``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str = Field(default=",", max_length=1)
    currency_signs: tuple[str, ...] = (
        "US$", "CN¥", "JP¥", "HK$", "NT$", "NZ$", "CA$", "AU$", "MX$", "C$", "A$", "S$", "R$", "$", "¥", "€", "£", "₹",
        "₩", "₺", "฿", "₫", "₴", "₽", "₪", "₱", "元", "CNY", "RMB", "USD", "EUR", "GBP",
    )  # fmt: skip

    decimals: int | None = Field(default=None, ge=1, le=4)
    """Most decimals of an amount; one with more is no amount, such as ``50.000`` where the point marks thousands."""

    @model_validator(mode="before")
    @classmethod
    def _swap_with_decimal_comma(cls, value: object) -> object:
        """Make the point the mark of thousands where only a decimal comma is given."""
        if isinstance(value, dict) and value.get("decimal") == "," and "thousands" not in value:
            return {**value, "thousands": "."}
        return value

    @model_validator(mode="after")
    def _has_two_marks(self) -> NumberFormat:
        if self.decimal == self.thousands:
            msg = f"decimal and thousands are both {self.decimal!r}: name two different characters, or thousands: ''"
            raise ValueError(msg)
        return self

    @field_validator("decimal", "thousands", mode="after")
    @classmethod
    def _normalise(cls, character: str) -> str:
        return unicodedata.normalize("NFKC", character)

    @field_validator("currency_signs", mode="after")
    @classmethod
    def _normalise_all(cls, signs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unicodedata.normalize("NFKC", sign) for sign in signs)

    def price_pattern(self) -> str:
        """Pattern of a price in free text: ``@`` or a currency symbol, then an amount in this notation."""
        signs = self._sign_pattern or "@"
        symbols = "|".join(re.escape(sign) for sign in self._longest_first if not sign[-1].isalpha())
        start = f"@ ?(?i:{signs})?" + (f"|{symbols}" if symbols else "")
        amount = f"{self._whole_pattern}(?:{re.escape(self.decimal)}[0-9]+)?"
        return f"(?:{start}) ?[+-]?{amount}(?: ?(?i:{signs}))?"

    def with_decimal_point(self, bare: pl.Expr) -> pl.Expr:
        """Rewrite a number in this notation to digits with a decimal point; null where the text is no number."""
        point = re.escape(self.decimal)
        many, some = ("*", "+") if self.decimals is None else (f"{{0,{self.decimals}}}", f"{{1,{self.decimals}}}")
        is_number = bare.str.contains(rf"^[+-]?(?:{self._whole_pattern}(?:{point}[0-9]{many})?|{point}[0-9]{some})$")
        digits = bare.str.replace_all(self.thousands, "", literal=True) if self.thousands else bare
        return pl.when(is_number).then(digits.str.replace(self.decimal, ".", literal=True))

    def without_currency_sign(self, bare: pl.Expr) -> pl.Expr:
        """Take off a currency sign before or after a number."""
        signs = self._sign_pattern
        if not signs:
            return bare
        return bare.str.replace(rf"(?i)^([+-]?)\s*(?:{signs})\s*", "${1}").str.replace(rf"(?i)\s*(?:{signs})$", "")

    @property
    def quantity_pattern(self) -> str:
        """Pattern of a number with at most four decimals; zeros behind those do not count."""
        point = re.escape(self.decimal)
        return rf"[+-]?(?:{self._whole_pattern}(?:{point}[0-9]{{0,4}}0*)?|{point}[0-9]{{1,4}}0*)"

    @property
    def _whole_pattern(self) -> str:
        """Pattern of digits, alone or in complete groups of thousands."""
        if not self.thousands:
            return "[0-9]+"
        return rf"(?:[0-9]{{1,3}}(?:{re.escape(self.thousands)}[0-9]{{3}})+|[0-9]+)"

    @property
    def _longest_first(self) -> list[str]:
        return sorted(self.currency_signs, key=len, reverse=True)

    @property
    def _sign_pattern(self) -> str:
        return "|".join(re.escape(sign) for sign in self._longest_first)


PLAIN_NUMBERS: Final = NumberFormat(decimal=".", thousands="", currency_signs=())
"""Notation outside exports: a decimal point, no groups, no currency signs."""


ROUNDED_NUMBER: Final = r"(?i)^[+-]?[0-9]+(?:[.,][0-9]+e[+-]?|e\+)[0-9]+$"
"""Pattern of a number that a spreadsheet has rounded: ``1.23E+17``, ``1,23457E+17``, ``1E+17``. An order number such as
``12E5`` has neither a decimal mark nor a sign of the exponent, and is one like any other."""


def is_rounded_number(cleaned: pl.Expr) -> pl.Expr:
    """Test that a cleaned text is a number in a spreadsheet's exponential notation: its last digits are lost."""
    return cleaned.str.contains(ROUNDED_NUMBER)


def parse_money(text: pl.Expr, number_format: NumberFormat) -> pl.Expr:
    """Read an amount as `MONEY`; null where the text is empty or not an amount.

    Accepts a sign, a currency sign before or after, and complete groups of thousands (``1,234.50``, never ``1,2``).
    An exponent is refused: it is a spreadsheet's rounding of a longer number. So is anything beyond ``numeric(18,4)``.
    """
    bare = clean_text(text)
    plain = rf"^[+-]?\d+(?:\.\d{{1,{number_format.decimals or 4}}})?$"
    is_plain = bare.str.contains(plain) if number_format.decimal == "." else pl.lit(value=False)
    written = number_format.without_currency_sign(pl.when(~is_plain).then(bare))
    digits = pl.when(is_plain).then(bare).otherwise(number_format.with_decimal_point(written))
    return digits.cast(MONEY, strict=False)


def format_money(amount: pl.Expr, number_format: NumberFormat) -> pl.Expr:
    """Write an exact amount (a Decimal) as `parse_money` reads it, with no groups and no zeros at its end."""
    digits = amount.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
    return digits.str.replace(".", number_format.decimal, literal=True)


def parse_quantity(text: pl.Expr, number_format: NumberFormat) -> pl.Expr:
    """Read a quantity as `QUANTITY`; null where the text is empty, not a number, or has more than four decimals.

    The one reading of a line's quantity, for the line and for the amount of its order (docs/decisions.md,
    "Quantities"). A text with a currency sign is not a quantity: it belongs to another column.
    """
    # A chain that names each step once: an expression used twice is computed twice, which small batches would notice.
    digits = clean_text(text).str.extract(f"^({number_format.quantity_pattern})$")
    if number_format.thousands:
        digits = digits.str.replace_all(number_format.thousands, "", literal=True)
    return digits.str.replace(number_format.decimal, ".", literal=True).cast(QUANTITY, strict=False)


def whole_number(quantity: pl.Expr) -> pl.Expr:
    """Convert a `QUANTITY` to Int32; null where it has decimals or is out of range."""
    return quantity.cast(pl.String).str.strip_suffix(".0000").cast(pl.Int32, strict=False)
