"""Values of rows and of the change log as text: times in UTC without offset, numbers without trailing zeros."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal


def shown_value(value: object) -> str:
    """Return a value of a row, or of the change log (as JSON decodes it), as text; empty for null."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value.normalize():f}"
        case dt.datetime():
            return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(sep=" ")
        case str():
            return value.removesuffix("+00:00").replace("T", " ") if value.endswith("+00:00") else value
        case _:
            return str(value)
