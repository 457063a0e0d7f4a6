"""Fields of the filter bar of /leads: read from an address, checked, and written into addresses again.

What a filter means in the database is in `reporting.leads_list`; the views that come with the page are here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode

from etl_assets.reporting.leads_list import ACTIVE, DEFAULT_SORT, SORTS, LeadFilters
from etl_assets.web.language import N_
from etl_assets.web.page import read_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from etl_assets.reporting.leads_list import OrderTypes, Sort

ORDER_TYPES: Final[Mapping[OrderTypes, str]] = {
    "sample_without_bulk": N_("Samples, no bulk order"),
    "sample": N_("With samples"),
    "proof": N_("With proofs"),
    "bulk": N_("With bulk orders"),
}
STAGE_NAMES: Final = {"OPEN": N_("Open"), "COLD": N_("Cold"), "WON": N_("Won"), "LOST": N_("Lost")}
"""Names of the stages with a meaning of their own; users' own words are shown as they are."""
STANDARD_VIEWS: Final = (
    (N_("Samples without bulk after 14 days"), {"stage": ACTIVE, "types": "sample_without_bulk", "silent": "14"}),
    (N_("Reopened this week"), {"reopened": "7"}),
    (N_("Big and cold"), {"stage": "COLD", "sort": "largest"}),
)
"""Views that come with the page: name and fields."""
FIELDS: Final = (
    "q", "inside", "shop", "stage", "types", "currency", "min", "max", "silent", "reopened", "from", "to", "sort",
)  # fmt: skip
FURTHER: Final = ("currency", "min", "max", "silent", "reopened", "from", "to")
"""Fields that are folded away while none of them is set."""
PAGE_FIELD: Final = "page"
"""Cursor of the page, beside the fields of the filters."""
TOTAL_FIELD: Final = "total"
"""Count of a list that was counted on its first page, for the further ones."""
MAX_FIELD: Final = 200
MAX_DAYS: Final = 36_500
_MAX_ID: Final = 2**31 - 1
_MAX_AMOUNT: Final = Decimal(10) ** 15
_MIN_EXPONENT: Final = -20
"""Of an amount, which is limited: the database refuses 1e-20000."""
_YEARS: Final = range(1900, 2200)

NOT_A_NUMBER: Final = N_("Enter a number.")
NOT_DAYS: Final = N_("Enter a number of days.")
NOT_A_DATE: Final = N_("Enter a date.")


@dataclass(frozen=True)
class LeadList:
    """List of leads that an address asks for."""

    fields: Mapping[str, str]
    """Fields of `FIELDS` that are set, as the user gave them."""
    filters: LeadFilters
    errors: Mapping[str, str] = field(default_factory=dict)
    """Error of each field that can't be read, to be translated; such a field filters nothing."""

    @property
    def sort(self) -> Sort:
        """Return the order of the list."""
        given = self.fields.get("sort", DEFAULT_SORT)
        return given if given in SORTS else DEFAULT_SORT

    def address(self, path: str = "/leads", **changes: str | None) -> str:
        """Return an address with the same fields, but for changes; None and "" remove one."""
        changed = {**self.fields, **changes}
        query = urlencode([(name, value) for name, value in changed.items() if value])
        return f"{path}?{query}" if query else path


def read_fields(query: Mapping[str, str], timezone: ZoneInfo) -> LeadList:
    """Read the fields of an address or a saved view; days begin at midnight of a time zone."""
    fields = {}
    for name in FIELDS:
        value = query.get(name, "").replace("\0", "").strip()[:MAX_FIELD]
        if value:
            fields[name] = value
    errors: dict[str, str] = {}

    def read(name: str, reader: Any, error: str) -> Any:  # noqa: ANN401  # each reader has its own type
        if name not in fields:
            return None
        value = reader(fields[name])
        if value is None:
            errors[name] = error
        return value

    until = read("to", _date, NOT_A_DATE)
    since = read("from", _date, NOT_A_DATE)
    filters = LeadFilters(
        shop_id=read_number(fields.get("shop", ""), _MAX_ID),
        stage=fields.get("stage"),
        order_types=cast("OrderTypes", fields["types"]) if fields.get("types") in ORDER_TYPES else None,
        currency=fields.get("currency"),
        min_amount=read("min", _amount, NOT_A_NUMBER),
        max_amount=read("max", _amount, NOT_A_NUMBER),
        last_order_from=None if since is None else datetime.combine(since, time.min, timezone),
        last_order_before=None if until is None else datetime.combine(until + timedelta(days=1), time.min, timezone),
        silent_days=read("silent", _days, NOT_DAYS),
        reopened_days=read("reopened", _days, NOT_DAYS),
    )
    return LeadList(fields, filters, errors)


def list_address(query: Mapping[str, str], timezone: ZoneInfo) -> str:
    """Return the address of the list and page that fields name; what is no field of the list is left out."""
    return read_fields(query, timezone).address(page=query.get(PAGE_FIELD), total=query.get(TOTAL_FIELD))


def _days(text: str) -> int | None:
    return read_number(text, MAX_DAYS)


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    exponent = amount.as_tuple().exponent  # a letter for NaN and infinity
    is_amount = isinstance(exponent, int) and exponent >= _MIN_EXPONENT and abs(amount) < _MAX_AMOUNT
    return amount if is_amount else None


def _date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year in _YEARS else None
