"""How numbers are read from text: amounts of money and quantities, exact, never through a float."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from etl_assets.values.text import clean_text

MONEY: Final = pl.Decimal(18, 4)
"""The type of every amount and price, `numeric(18,4)` in the store. Further decimals are rounded half to even."""

TOTAL: Final = pl.Decimal(38, 4)
"""The type of sums of amounts, `numeric(38,4)` in the store: no number of orders overflows it."""


class NumberFormat(BaseModel):
    """How an export writes its numbers. Characters are compared after NFKC (``￥`` is ``¥``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str = Field(default=",", max_length=1)
    currency_signs: tuple[str, ...] = (
        "US$", "CN¥", "HK$", "NT$", "C$", "A$", "$", "¥", "€", "£", "元", "CNY", "RMB", "USD", "EUR", "GBP",
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _swap_with_decimal_comma(cls, value: object) -> object:
        """Where only a decimal comma is named, the point groups the thousands."""
        if isinstance(value, dict) and value.get("decimal") == "," and "thousands" not in value:
            return {**value, "thousands": "."}
        return value

    @model_validator(mode="after")
    def _tells_them_apart(self) -> NumberFormat:
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


def parse_money(text: pl.Expr, number_format: NumberFormat) -> pl.Expr:
    """Read an amount as `MONEY`; null where the text is empty or not an amount.

    Accepts a sign, a currency sign before or after, and complete groups of thousands (``1,234.50``, never ``1,2``).
    An exponent is refused: it is a spreadsheet's rounding of a longer number. So is anything beyond ``numeric(18,4)``.
    """
    bare = clean_text(text)
    is_plain = bare.str.contains(r"^[+-]?\d+(?:\.\d{1,4})?$") if number_format.decimal == "." else pl.lit(value=False)
    written = pl.when(~is_plain).then(bare)
    return pl.when(is_plain).then(bare).otherwise(_plain_digits(written, number_format)).cast(MONEY, strict=False)


def _plain_digits(bare: pl.Expr, number_format: NumberFormat) -> pl.Expr:
    """Digits with a point, from a number written with signs and groups; null where it is no number."""
    signs = "|".join(re.escape(sign) for sign in sorted(number_format.currency_signs, key=len, reverse=True))
    if signs:
        bare = bare.str.replace(rf"(?i)^([+-]?)\s*(?:{signs})\s*", "${1}").str.replace(rf"(?i)\s*(?:{signs})$", "")
    point = re.escape(number_format.decimal)
    digits = r"\d+"
    if number_format.thousands:
        group = re.escape(number_format.thousands)
        digits = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)"
    valid = bare.str.contains(rf"^[+-]?(?:{digits}(?:{point}\d*)?|{point}\d+)$")
    plain = bare.str.replace_all(number_format.thousands, "", literal=True) if number_format.thousands else bare
    return pl.when(valid).then(plain.str.replace(number_format.decimal, ".", literal=True))


def parse_quantity(text: pl.Expr) -> pl.Expr:
    """Read a whole number (``3``, ``-2``, ``3.0``) as Int32; null where the text is empty or anything else."""
    bare = clean_text(text).str.replace(r"\.0+$", "")
    return pl.when(bare.str.contains(r"^[+-]?\d+$")).then(bare).cast(pl.Int32, strict=False)
