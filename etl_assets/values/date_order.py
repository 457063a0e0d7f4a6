"""Order of day and month: formats of times that read one text as two dates.

The hazard is ``01/02/2026``: tried one after the other, such formats would swap day and month where no number is above
12. A file decides it as a whole (`raw_orders.date_order`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import polars as pl

from etl_assets.values.timestamps import EXCEL_SERIAL, reads

DateOrder = Literal["day", "month"]
DATE_ORDERS: Final[tuple[DateOrder, ...]] = ("day", "month")

_DAY: Final = re.compile(r"%[-_0]?[de]")
_MONTH: Final = re.compile(r"%[-_0]?m")
_PROBE: Final = pl.datetime(2026, 2, 1, 3, 4, 5, time_zone="UTC")
"""First of February, or second of January."""


@lru_cache(maxsize=256)
def conflicting_formats(formats: tuple[str, ...]) -> dict[DateOrder, tuple[str, ...]]:
    """Return the formats of each order that have one of the other order which reads the same texts as another date."""
    found: dict[DateOrder, list[str]] = {"day": [], "month": []}
    for strptime in formats:
        order = _order_of(strptime)
        if order is not None:
            found[order].append(strptime)
    if not (found["day"] and found["month"]):
        return {"day": (), "month": ()}
    day = tuple(one for one in found["day"] if any(_conflict(one, other) for other in found["month"]))
    month = tuple(one for one in found["month"] if any(_conflict(one, other) for other in found["day"]))
    return {"day": day, "month": month}


def _order_of(strptime: str) -> DateOrder | None:
    day, month = _DAY.search(strptime), _MONTH.search(strptime)
    if strptime == EXCEL_SERIAL or day is None or month is None:
        return None
    return "day" if day.start() < month.start() else "month"


def _conflict(one: str, other: str) -> bool:
    return _reads_output(one, other) or _reads_output(other, one)


def _reads_output(reader: str, writer: str) -> bool:
    return bool(reads(pl.select(text=_PROBE.dt.strftime(writer))["text"], (reader,), year=2026).item())
