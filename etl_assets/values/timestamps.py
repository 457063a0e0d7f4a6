"""Reading of timestamps from text: explicit formats only, naive ones in a given time zone.

The rules for clocks that are set forward or back, leap seconds and fractions are in docs/decisions.md ("Orders").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.month_names import has_words, in_english
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMESTAMP_UTC: Final = pl.Datetime("us", "UTC")
_LOCAL: Final = pl.Datetime("us")

ISO_FORMATS: Final = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)
"""Formats of every export, with ``T`` or a blank before the time, ``-`` or ``/`` in the date, ``Z`` or an offset."""

EXCEL_SERIAL: Final = "excel"
"""Format of a number of days since 1899-12-30, as spreadsheets store times (45292.5 is noon of 2024-01-01)."""
_SERIAL: Final = r"^\d{2,7}(?:\.\d+)?$"
_EXCEL_DAY_0: Final = pl.datetime(1899, 12, 30)
_MS_PER_DAY: Final = 86_400_000
_FIRST_EXACT_DAY: Final = 61
"""1900-03-01; spreadsheets count a 29th of February 1900 before it."""

_SECONDS: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_SECONDS_LENGTH: Final = 19
_NO_DATE: Final = "0000-00-00"
"""Begin of MySQL's empty dates."""
_EARLIEST: Final = pl.datetime(1, 1, 1, time_zone="UTC")
_AFTER_LATEST: Final = pl.datetime(9999, 12, 31, 23, 59, 59, 999_999, time_zone="UTC")
_LONGEST_GAP: Final = pl.duration(hours=3)


def has_timestamp(text: pl.Expr) -> pl.Expr:
    """Test that the text has a timestamp, readable or not: empty ones and ``0000-00-00 …`` have none."""
    cleaned = clean_text(text)
    return cleaned.is_not_null() & ~cleaned.str.starts_with(_NO_DATE)


def parse_timestamps(texts: pl.Series, zones: pl.Series, formats: Sequence[str], year: int | None = None) -> pl.Series:
    """Read instants (UTC, microseconds); null where there is none or it can't be read.

    A local time that occurs twice (clocks set back) is the earlier one; one that does not occur (clocks set forward) is
    read with the offset before the change, as PEP 495 does for fold=0.

    Args:
        texts: the texts.
        zones: the time zone's name for each of them, used where the text has no offset.
        formats: strftime formats of the export, or `EXCEL_SERIAL`, tried before `ISO_FORMATS`.
        year: that of texts without a year, which a format without one reads.
    """
    column = pl.col("text")
    frame = (
        pl.DataFrame({"text": texts, "zone": zones})
        .with_row_index("row")
        .with_columns(clean_text(column))
        .with_columns(pl.when(~column.str.starts_with(_NO_DATE)).then(column))
    )
    found = frame.with_columns(instant=pl.lit(None, TIMESTAMP_UTC))
    for strptime in formats:
        found = _try_format(found, strptime, column, year)
    for strptime in _SECONDS:
        found = _try_utc(found, strptime)
    found = _with_late(found, _read_iso(found.filter(pl.col("instant").is_null() & column.is_not_null())))
    instant = pl.col("instant")
    return found.select(pl.when(instant.is_between(_EARLIEST, _AFTER_LATEST)).then(instant)).to_series()


def reads(texts: pl.Series, formats: Sequence[str], year: int | None = None) -> pl.Series:
    """Test of each text that one of the formats, and no ISO one, reads it (never null)."""
    frame = pl.DataFrame({"text": texts}).with_columns(
        zone=pl.lit("UTC"), instant=pl.lit(None, TIMESTAMP_UTC), text=clean_text(pl.col("text"))
    )
    for strptime in formats:
        frame = _try_format(frame, strptime, pl.col("text"), year)
    return frame["instant"].is_not_null()


def has_year(strptime: str) -> bool:
    """Test that a format reads a year, or what has one."""
    return any(code in strptime for code in ("%Y", "%y", "%G", "%C", "%s", "%D", "%F", "%c", "%x", EXCEL_SERIAL))


def _try_utc(frame: pl.DataFrame, strptime: str) -> pl.DataFrame:
    """Fill the instants still missing that are whole seconds in UTC: Polars reads those seven times as fast."""
    text = pl.col("text")
    missing = pl.col("instant").is_null() & text.str.slice(_SECONDS_LENGTH).is_in(["Z", "+00:00"])
    if not frame.select(missing.any()).item():
        return frame
    seconds = pl.when(missing).then(text.str.slice(0, _SECONDS_LENGTH))
    read = seconds.str.to_datetime(strptime, time_unit="us", strict=False, exact=True).dt.replace_time_zone("UTC")
    return frame.with_columns(pl.coalesce("instant", read))


def _read_iso(frame: pl.DataFrame) -> pl.DataFrame:
    """Read the texts that no other format fits: in most columns none, or a few."""
    if frame.is_empty():
        return frame
    found = _with_iso(frame)
    for strptime in ISO_FORMATS:
        found = _try_format(found, strptime, pl.col("iso"))
    return found


def _with_late(frame: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    """Put the instants of some rows, found by their ``row``, into the frame."""
    if late.is_empty():
        return frame
    read = late.select("row", late="instant")
    return frame.join(read, on="row", how="left", maintain_order="left").with_columns(pl.coalesce("instant", "late"))


def _with_iso(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``iso``: the text with ``-`` in the date, a blank before the time and an offset for ``Z``."""
    text, iso = pl.col("text"), pl.col("iso")
    has_t = text.str.slice(10, 1).is_in(["T", "t"])
    with_blank = pl.concat_str(text.str.slice(0, 10), pl.lit(" "), text.str.slice(11))
    spaced = frame.with_columns(iso=pl.when(has_t).then(with_blank).otherwise(text))
    if not spaced.select(iso.str.contains("[/TtZz]").any()).item():
        return spaced  # as nearly all exports write it: regular expressions would take five times as long
    return spaced.with_columns(
        iso.str.replace(r"^(\d{4})/(\d{1,2})/(\d{1,2})", "${1}-${2}-${3}")
        .str.replace(r"^(\d{4}-\d{1,2}-\d{1,2})[Tt]", "${1} ")
        .str.replace(r"[Zz]$", "+00:00")
    )


def _try_format(frame: pl.DataFrame, strptime: str, text: pl.Expr, year: int | None = None) -> pl.DataFrame:
    """Fill the instants still missing that this format reads."""
    missing = pl.col("instant").is_null() & pl.col("text").is_not_null()
    if not frame.select(missing.any()).item():
        return frame
    unread: pl.Expr = pl.when(missing).then(text)
    if not has_year(strptime):
        if year is None:
            return frame
        strptime, unread = f"{strptime} %Y", unread + f" {year}"
    frame = _read_format(frame, strptime, unread)
    if has_words(strptime) and frame.select(missing.any()).item():
        return _read_format(frame, strptime, in_english(pl.when(missing).then(unread), strptime))
    return frame


def _read_format(frame: pl.DataFrame, strptime: str, unread: pl.Expr) -> pl.DataFrame:
    """Fill the instants of the texts that this format reads; texts without an offset are local times of their zone."""
    if "z" in strptime:
        read = unread.str.to_datetime(strptime, time_unit="us", time_zone="UTC", strict=False, exact=True)
        return frame.with_columns(pl.coalesce("instant", read))
    if strptime == EXCEL_SERIAL:
        local = _read_serial(unread)
    else:
        local = unread.str.to_datetime(strptime, time_unit="us", strict=False, exact=True).cast(_LOCAL)
    frame = frame.with_columns(local=local)
    for zone in frame.filter(pl.col("local").is_not_null())["zone"].unique().drop_nulls():
        frame = frame.with_columns(
            pl.when(pl.col("zone") == zone)
            .then(pl.coalesce("instant", _in_zone(zone)))
            .otherwise("instant")
            .alias("instant")
        )
    return frame.drop("local")


def _read_serial(text: pl.Expr) -> pl.Expr:
    """Read the days of a spreadsheet, to the millisecond: their fractions are no exact seconds."""
    days = pl.when(text.str.contains(_SERIAL)).then(text).cast(pl.Float64, strict=False)
    milliseconds = pl.when(days >= _FIRST_EXACT_DAY).then((days * _MS_PER_DAY).round()).cast(pl.Int64)
    return (_EXCEL_DAY_0 + pl.duration(milliseconds=milliseconds)).cast(_LOCAL)


def _in_zone(zone: str) -> pl.Expr:
    def read(local: pl.Expr) -> pl.Expr:
        return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")

    return pl.coalesce(read(pl.col("local")), read(pl.col("local") - _LONGEST_GAP) + _LONGEST_GAP)
