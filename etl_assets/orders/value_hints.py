"""Hints about values that can't be read: what they look like, and the key of the mapping that reads them.

Pure functions. A hint is shown in messages and logs, so it holds shapes of values only, never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.drafts.notation import decide_numbers, decide_times
from etl_assets.drafts.profile import ColumnProfile, measure_column
from etl_assets.drafts.text import numbers_line
from etl_assets.values.numbers import parse_money
from etl_assets.values.shapes import value_shape
from etl_assets.values.text import clean_text
from etl_assets.values.timestamps import has_timestamp, parse_timestamps
from etl_assets.values.unreadable_parts import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.presets.model import Preset

_AMOUNTS: Final = ("amount", "refunded_amount")
_TIMES: Final = ("ordered_at", "updated_at")
HINT_COLUMNS: Final = (*_AMOUNTS, *_TIMES)
"""Columns of raw orders whose values have a notation."""


def unreadable_values_hint(rows: pl.DataFrame, preset: Preset) -> str | None:
    """Return a hint about the unreadable values of a sample of rows; None where all can be read.

    Args:
        rows: `HINT_COLUMNS` of raw orders.
        preset: the mapping that they were read with.

    Returns:
        For each column with unreadable values, the commonest shape and what to try; most faults first.
    """
    unreadable = {column: _bad_amounts(rows, column, preset) for column in _AMOUNTS} | {
        column: _bad_times(rows, column, preset) for column in _TIMES
    }
    worst_first = sorted(unreadable, key=lambda column: -unreadable[column].len())
    hints = [_hint(column, unreadable[column]) for column in worst_first if not unreadable[column].is_empty()]
    return "; ".join(hints) or None


def _bad_amounts(rows: pl.DataFrame, column: str, preset: Preset) -> pl.Series:
    text = clean_text(pl.col(column))
    shown = text_of(text) if column in preset.summed_columns else text
    is_bad = text.is_not_null() & parse_money(pl.col(column), preset.numbers).is_null()
    return rows.filter(is_bad).select(shown).to_series()


def _bad_times(rows: pl.DataFrame, column: str, preset: Preset) -> pl.Series:
    read = rows.with_columns(instant=_read_times(rows[column], preset.time_formats, preset.known_year))
    is_bad = has_timestamp(pl.col(column)) & pl.col("instant").is_null()
    return read.filter(is_bad).select(clean_text(pl.col(column))).to_series()


def _hint(column: str, texts: pl.Series) -> str:
    shapes = texts.to_frame("text").select(shape=value_shape(pl.col("text")))["shape"].mode().sort()
    looks = f"{column} looks like {shapes[0]}"
    remedy = _numbers_to_try(texts) if column in _AMOUNTS else _formats_to_try(texts)
    return f"{looks}, {remedy}" if remedy else looks


def _formats_to_try(texts: pl.Series) -> str | None:
    """Return the formats that read all texts, as a draft of a mapping has them; None where there are none."""
    profile = ColumnProfile()
    measure_column(profile, texts, {"time"})
    notation = decide_times([profile], None)
    if not notation.formats or _read_times(texts, notation.formats).has_nulls():
        return None
    typed = [", ".join(map(repr, formats)) for formats in (notation.formats, notation.undecided) if formats]
    undecided = " (these rows do not show whether the day or the month comes first)" if notation.undecided else ""
    return f"try {' or '.join(typed)} in timestamp_formats of the mapping{undecided}"


def _numbers_to_try(texts: pl.Series) -> str | None:
    """Return the notation that reads all texts but words, as a draft of a mapping has it; None where there is none."""
    texts = texts.filter(texts.str.contains(r"\d"))
    if texts.is_empty():
        return None
    profile = ColumnProfile()
    measure_column(profile, texts, {"number"})
    numbers, _ = decide_numbers([profile])
    if numbers is None or texts.to_frame("text").select(parse_money(pl.col("text"), numbers).has_nulls()).item():
        return None
    return f"try {numbers_line(numbers)} in the mapping"


def _read_times(texts: pl.Series, formats: Sequence[str], year: int | None = None) -> pl.Series:
    zones = pl.Series(["UTC"], dtype=pl.String).new_from_index(0, texts.len())
    return parse_timestamps(texts, zones, formats, year)
