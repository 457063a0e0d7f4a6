"""Masking of sample rows: applies `ETL_SAMPLE_ROWS` to every text of a row that is shown in the UI.

Hazard: Dagster stores its events permanently and in clear text, so every value of a row in metadata must pass through
this module (docs/decisions.md, "Masked samples"). Numbers, times and the ids that the pipeline makes are kept: with
them, a user who may read the tables finds the row.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from etl_assets.settings import SampleRows

LONGEST: Final = 200
LONGEST_MASKED: Final = 40
OUR_WORDS: Final = frozenset(("reason_code", "reason", "file"))
"""Columns whose texts are not a customer's: a reason quotes no value, and names of files are always shown."""

_KEPT: Final = frozenset(("Zs", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sc", "Sm"))


def shown_row(row: Mapping[str, Any], mode: SampleRows) -> dict[str, str]:
    """Return the cells of a row as texts that may be shown; empty for null and for hidden values."""
    return {name: _shown_text(value, "on" if name in OUR_WORDS else mode) for name, value in row.items()}


def without_names(by_shop: pl.DataFrame, mode: SampleRows) -> pl.DataFrame:
    """Replace `platform` and `shop_name` by the shop's id, unless texts are shown as they are."""
    if mode == "on":
        return by_shop
    return by_shop.with_columns(platform=pl.lit(None, pl.String), shop_name=pl.format("shop {}", "shop_id"))


def without_free_currencies(funnel: pl.DataFrame, mode: SampleRows) -> pl.DataFrame:
    """Hide currencies that are no codes such as EUR (exports may have any text there), unless texts are shown."""
    if mode == "on":
        return funnel
    is_code = pl.col("currency").str.contains("^[A-Z]{3}$")
    return funnel.with_columns(currency=pl.when(~is_code).then(pl.lit("?")).otherwise("currency"))


def masked(text: str) -> str:
    """Return the shape of a text: letters are x, digits 9, other scripts 某; blanks, punctuation and signs stay.

    The shape is cut after 40 characters.
    """
    shape = "".join(map(_masked_character, text[:LONGEST_MASKED]))
    return f"{shape}…" if len(text) > LONGEST_MASKED else shape


def _shown_text(value: object, mode: SampleRows) -> str:
    if value is None:
        return ""
    if mode == "on":
        return str(value)[:LONGEST]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"[{', '.join(_shown_text(one, mode) for one in value)}]"[:LONGEST]
    if not isinstance(value, str | bytes | Mapping):
        return str(value)[:LONGEST]
    return masked(str(value)) if mode == "masked" else ""


def _masked_character(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("N"):
        return "9"
    if category in {"Lu", "Ll", "Lt"}:
        return "x"
    return character if category in _KEPT else "某"
