"""Jinja filters: amounts, numbers, dates and durations in the language of the page.

Times are shown in one time zone (`ETL_WEB_TIMEZONE`); `time` elements carry the exact moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from babel.core import get_global
from babel.dates import format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from etl_assets.web.language import Language

LOCALE_OF: Final[dict[Language, str]] = {"en": "en", "zh": "zh_Hans"}
NOTHING: Final = "–"
"""Shown for a value that is not known."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CURRENCIES: Final = frozenset(get_global("all_currencies"))


@dataclass(frozen=True)
class Formats:
    """Formats of one language; `filters` names them for templates."""

    language: Language
    timezone: ZoneInfo

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filters by their names in templates."""
        return {
            "ago": self.ago,
            "date": self.day,
            "datetime": self.moment,
            "days": self.days,
            "money": self.money,
            "number": self.number,
            "percent": self.percent,
            "short_id": short_id,
        }

    @property
    def _locale(self) -> str:
        return LOCALE_OF[self.language]

    def money(self, amount: Decimal | float | None, currency: str | None = None) -> str:
        """Return an amount with its currency: "€1,234.50"; without one, the number only."""
        if amount is None:
            return NOTHING
        if currency is None:
            return format_decimal(amount, format="#,##0.00", locale=self._locale)
        if currency not in CURRENCIES:
            return f"{currency} {format_decimal(amount, format='#,##0.00', locale=self._locale)}"
        return format_currency(amount, currency, locale=self._locale)

    def number(self, value: Decimal | float | None) -> str:
        """Return a number with separators of thousands, with at most three decimals."""
        return NOTHING if value is None else format_decimal(value, locale=self._locale)

    def percent(self, share: float | None) -> str:
        """Return a share of 1 as a percentage; with a decimal below 10 %."""
        if share is None:
            return NOTHING
        return format_percent(share, format="0%" if abs(share) >= 0.1 else "0.#%", locale=self._locale)  # noqa: PLR2004

    def day(self, value: datetime | date | None) -> str:
        """Return a `time` element that shows the day: 2026-11-02."""
        if isinstance(value, datetime):
            local = self._local(value)
            return _time_element(local, f"{local:%Y-%m-%d}")
        return NOTHING if value is None else Markup('<time datetime="{0}">{0}</time>').format(value.isoformat())

    def moment(self, value: datetime | None) -> str:
        """Return a `time` element that shows day and minute: 2026-11-02 14:05."""
        if value is None:
            return NOTHING
        local = self._local(value)
        return _time_element(local, f"{local:%Y-%m-%d %H:%M}")

    def ago(self, value: datetime | None) -> str:
        """Return a `time` element that shows the time since then: "3 days ago"."""
        if value is None:
            return NOTHING
        local = self._local(value)
        since = local - datetime.now(tz=UTC)
        return _time_element(local, format_timedelta(since, add_direction=True, locale=self._locale))

    def days(self, value: timedelta | float | None) -> str:
        """Return a duration in whole days, or below one in hours, minutes or seconds; a number counts days."""
        if value is None:
            return NOTHING
        duration = value if isinstance(value, timedelta) else timedelta(days=float(value))
        if duration < timedelta(days=1):
            return format_timedelta(duration, threshold=1.01, locale=self._locale)
        return format_unit(duration.days, "duration-day", locale=self._locale)

    def _local(self, value: datetime) -> datetime:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(self.timezone)


def short_id(text: str) -> str:
    """Return the first characters of an identifier (UUID), which commands accept as well; other texts whole."""
    return text[:8] if _UUID.fullmatch(text) else text


def _time_element(value: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(timespec="seconds"), f"{value:%Y-%m-%d %H:%M:%S %Z}", text
    )
