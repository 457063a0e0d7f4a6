"""Recognition of the strftime format of a column of times, for hints: no text is read by a guess of it.

Reading of times, with the ISO forms that are always understood, is in `timestamps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.text import clean_text
from etl_assets.values.timestamps import EXCEL_SERIAL, has_year

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATES: Final = (
    "%m/%d/%y", "%d/%m/%y", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%y", "%d.%m.%Y", "%m-%d-%y", "%d-%m-%y", "%m-%d-%Y",
    "%d-%m-%Y", "%Y.%m.%d", "%Y年%m月%d日", "%Y%m%d", "%b %d, %Y", "%b-%d-%y", "%b-%d-%Y", "%d %b %Y", "%d-%b-%y",
    "%d-%b-%Y",
)  # fmt: skip
"""Usual dates. Years of two digits come first: `%Y` reads those too, as years of the first century."""
_DATES_WITHOUT_YEAR: Final = ("%m月%d日", "%m月%d号", "%m.%d", "%d.%m", "%m/%d", "%d/%m", "%m-%d", "%d-%m")
_LEAP_YEAR: Final = 2024
_TIMES: Final = (
    "", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p", ", %H:%M", ", %H:%M:%S", ", %I:%M %p",
    ", %I:%M:%S %p", " %H时%M分%S秒", " %H:%M:%S %z", " %H:%M:%S UTC",
)  # fmt: skip


_RECENT_SERIAL: Final = r"^[2-7]\d{4}(?:\.\d+)?$"
"""Days of a spreadsheet from 1954 to 2118."""


def fitting_formats(texts: pl.Series) -> list[str]:
    """Return the formats that read every text: one; two where day and month may be the other way round; or none.

    Args:
        texts: the texts; null and blank ones are passed over.
    """
    cleaned = texts.to_frame("text").select(clean_text(pl.col("text"))).to_series().drop_nulls().unique()
    if cleaned.is_empty():
        return []
    found: list[str] = []
    for strptime in _candidates():
        if found and _swapped(found[0]) != strptime:
            continue
        if _reads_all(cleaned, strptime):
            found.append(strptime)
    return found


def _candidates() -> Iterator[str]:
    yield from (date + time for date in _DATES for time in _TIMES)
    yield from (date + time for date in _DATES_WITHOUT_YEAR for time in _TIMES[:2])
    yield EXCEL_SERIAL


def _swapped(strptime: str) -> str:
    """Return the format with day and month the other way round."""
    return strptime.replace("%m", "%_").replace("%d", "%m").replace("%_", "%d")


def _reads_all(texts: pl.Series, strptime: str) -> bool:
    if strptime == EXCEL_SERIAL:
        return bool(texts.str.contains(_RECENT_SERIAL).all())
    if not has_year(strptime):
        texts, strptime = texts + f" {_LEAP_YEAR}", f"{strptime} %Y"
    zone = "UTC" if "%z" in strptime else None
    return not texts.str.to_datetime(strptime, time_zone=zone, strict=False, exact=True).has_nulls()
