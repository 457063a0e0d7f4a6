"""Time of change of an order whose export has none: the latest of its several times (`latest_of` of a mapping).

Pure rules on frames of text (docs/decisions.md, "Time of change"). What timestamps look like is in `values.timestamps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.text import is_not_blank
from etl_assets.values.timestamps import has_timestamp, parse_timestamps

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset

_UNREADABLE: Final = (1 << 63) - 1
_SECONDS: Final = "%Y-%m-%d %H:%M:%S"
_SECONDS_LENGTH: Final = 19


def latest_texts(times: pl.DataFrame, preset: Preset) -> pl.Series:
    """Return the text of the latest time of each row, untouched; null where it has none.

    A text that can't be read counts as the latest, so that the row is held back instead of being taken for an older
    version. Times without offset are compared as those of the preset's time zone; of equal ones, the first counts.

    Args:
        times: columns of text, one for each of the mapping's headers, in its order.
        preset: the notation of its timestamps.
    """
    texts = times.select(pl.when(is_not_blank(pl.col(name))).then(pl.col(name)).alias(name) for name in times.columns)
    first = texts.select(pl.coalesce(pl.all()).alias("latest")).to_series()
    differs = texts.select(pl.any_horizontal((pl.all() != first).fill_null(value=False))).to_series()
    found = first
    for read in (_seconds, _instants):
        rows = differs.arg_true()
        if rows.is_empty():
            break
        several = texts[rows]
        instants = read(several, preset)
        newest = instants.max_horizontal()
        is_newest = [(instants[name] == newest).fill_null(value=False) for name in instants.columns]
        latest = several.select(pl.coalesce(pl.when(flag).then(flag.name) for flag in is_newest)).to_series()
        found = found.scatter(rows, latest.fill_null(first[rows]))
        differs = differs.scatter(rows, newest.is_null()) if read is _seconds else differs
    return found


def _seconds(texts: pl.DataFrame, preset: Preset) -> pl.DataFrame:
    """Return times that differ in their first 19 characters only, whole seconds before one offset: the usual ones.

    Polars reads those many times as fast as other ones. All times of any other row are null: read it by `_instants`.
    Formats with a slash read none of them, as long as there is no slash behind the seconds.
    """
    tail = texts.select(pl.coalesce(pl.all().str.slice(_SECONDS_LENGTH))).to_series()
    seconds = texts.select(
        pl.all().str.slice(0, _SECONDS_LENGTH).str.to_datetime(_SECONDS, time_unit="us", strict=False).to_physical()
    )
    is_usual = seconds.select(
        pl.all_horizontal(
            (texts[name].is_null() | ((texts[name].str.slice(_SECONDS_LENGTH) == tail) & seconds[name].is_not_null()))
            for name in texts.columns
        )
        & (tail != "")
        & ~tail.str.contains("/", literal=True)
        & all(strptime.startswith(_SECONDS) or "/" in strptime for strptime in preset.time_formats)
    ).to_series()
    return seconds.select(pl.when(is_usual).then(pl.all()))


def _instants(texts: pl.DataFrame, preset: Preset) -> pl.DataFrame:
    """Return times as integers; null where there is none, above all others where the text can't be read."""
    zones = pl.Series([preset.timezone], dtype=pl.String).new_from_index(0, texts.height)

    def read(column: pl.Series) -> pl.Series:
        instants = (
            parse_timestamps(column, zones, preset.time_formats, preset.known_year).to_physical().alias("instant")
        )
        is_unreadable = has_timestamp(pl.col(column.name)) & pl.col("instant").is_null()
        known = pl.when(is_unreadable).then(_UNREADABLE).otherwise("instant").alias(column.name)
        return pl.DataFrame([column, instants]).select(known).to_series()

    return pl.DataFrame([read(column) for column in texts])
