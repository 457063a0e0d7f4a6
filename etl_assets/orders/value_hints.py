"""Hints about values that can't be read: what they look like, and the key of the mapping that reads them.

Pure functions. A hint is shown in messages and logs, so it holds shapes of values only, never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.numbers import NumberFormat, parse_money
from etl_assets.values.shapes import value_shape
from etl_assets.values.text import clean_text
from etl_assets.values.timestamp_formats import fitting_formats
from etl_assets.values.timestamps import has_timestamp, parse_timestamps

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset

HINT_COLUMNS: Final = ("amount", "ordered_at", "updated_at")
"""Columns of raw orders whose values have a notation."""
_NOTATIONS: Final = {
    "{decimal: ','}": {"decimal": ","},
    "{decimal: ',', thousands: ' '}": {"decimal": ",", "thousands": " "},
    "{decimal: '.'}": {"decimal": ".", "thousands": ","},
    """{thousands: "'"}""": {"decimal": ".", "thousands": "'"},
}
"""Usual notations of numbers, as they are typed in a mapping."""


def unreadable_values_hint(rows: pl.DataFrame, preset: Preset) -> str | None:
    """Return a hint about the unreadable values of a sample of rows; None where all can be read.

    Args:
        rows: `HINT_COLUMNS` of raw orders.
        preset: the mapping that they were read with.

    Returns:
        For each column with unreadable values, the commonest shape and what to try; most faults first.
    """
    unreadable = {"amount": _bad_amounts(rows, preset)} | {
        column: _bad_times(rows, column, preset) for column in ("ordered_at", "updated_at")
    }
    worst_first = sorted(unreadable, key=lambda column: -unreadable[column].len())
    hints = [_hint(column, unreadable[column], preset) for column in worst_first if not unreadable[column].is_empty()]
    return "; ".join(hints) or None


def _bad_amounts(rows: pl.DataFrame, preset: Preset) -> pl.Series:
    text = clean_text(pl.col("amount"))
    is_bad = text.is_not_null() & parse_money(pl.col("amount"), preset.numbers).is_null()
    return rows.filter(is_bad).select(text).to_series()


def _bad_times(rows: pl.DataFrame, column: str, preset: Preset) -> pl.Series:
    zones = pl.Series([preset.timezone], dtype=pl.String).new_from_index(0, rows.height)
    read = rows.with_columns(instant=parse_timestamps(rows[column], zones, preset.timestamp_formats))
    is_bad = has_timestamp(pl.col(column)) & pl.col("instant").is_null()
    return read.filter(is_bad).select(clean_text(pl.col(column))).to_series()


def _hint(column: str, texts: pl.Series, preset: Preset) -> str:
    shapes = texts.to_frame("text").select(shape=value_shape(pl.col("text")))["shape"].mode().sort()
    looks = f"{column} looks like {shapes[0]}"
    remedy = _notation_to_try(texts, preset) if column == "amount" else _format_to_try(texts)
    return f"{looks}, {remedy}" if remedy else looks


def _format_to_try(texts: pl.Series) -> str | None:
    match fitting_formats(texts):
        case [one]:
            return f"try {one!r} in timestamp_formats of the mapping"
        case [one, other]:
            return (
                f"try {one!r} or {other!r} in timestamp_formats of the mapping"
                " (these rows do not show whether the day or the month comes first)"
            )
        case _:
            return None


def _notation_to_try(texts: pl.Series, preset: Preset) -> str | None:
    amounts = texts.to_frame("text")
    for typed, keys in _NOTATIONS.items():
        numbers = NumberFormat.model_validate({**keys, "currency_signs": preset.numbers.currency_signs})
        if not amounts.select(parse_money(pl.col("text"), numbers).is_null().any()).item():
            return f"try numbers: {typed} in the mapping"
    return None
