"""The list of leads: filters, sorts and pages that stay fast with millions of leads, and the count of what was found.

Only sorts with an index are offered, and only filters that a scan of `business_leads` answers in time
(docs/performance.md, "Pages"). A search is resolved to leads first (`leads_search`). Texts and their languages belong
to the page; exports of the same list are in `leads_export`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from etl_assets.leads.transform import ACTIVE_STAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from decimal import Decimal

PAGE_SIZE: Final = 50
MAX_COUNTED: Final = 2_000
"""Leads up to which the count is exact; that of more is the planner's estimate."""
MAX_WALKED: Final = 10_000
"""Leads of a sort's index that are looked at for a page before all leads are scanned."""
ACTIVE: Final = "active"
"""Value of the filter of stages that stands for `ACTIVE_STAGES`."""

Sort = Literal["recent", "oldest", "largest", "smallest"]
OrderTypes = Literal["sample", "proof", "bulk", "sample_without_bulk"]


@dataclass(frozen=True, slots=True)
class LeadFilters:
    """Filters of the list; all given ones must hold."""

    shop_id: int | None = None
    stage: str | None = None
    """A stage, or `ACTIVE`."""
    order_types: OrderTypes | None = None
    currency: str | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    last_order_from: datetime | None = None
    last_order_before: datetime | None = None
    silent_days: int | None = None
    """Days without an order, at least."""
    reopened_days: int | None = None
    """Days since the lead was reopened, at most."""
    lead_ids: Sequence[UUID] | None = None
    """Leads that a search has found."""
    name_prefix: str | None = None
    """Beginning of the customer's name, of a search that found too many leads to list them."""


class LeadPage(NamedTuple):
    """One page of the list."""

    leads: Sequence[Mapping[str, Any]]
    """`lead_id`, `customer`, `platform`, `shop`, the stage and the figures of `COLUMNS`."""
    previous: str | None
    """Cursor of the page before; None on the first one."""
    next: str | None
    """Cursor of the page after; None on the last one."""
    total: int
    """Leads found; on other pages than the first, an estimate of all or less than all."""
    is_exact: bool
    """False where the count is an estimate."""


class SortKey(NamedTuple):
    """Index that a sort follows."""

    expression: str
    dtype: str
    zero: str
    """What leaves the key as it is, but keeps the planner from the index."""
    filters: Sequence[str]
    """Filters that the index answers."""
    is_descending: bool


_LAST_ORDER: Final = "coalesce(l.last_order_at, '-infinity')"
_BY_TIME: Final = (
    _LAST_ORDER,
    "timestamptz",
    "interval '0'",
    ("last_order_from", "last_order_before", "silent_days"),
)
_BY_AMOUNT: Final = ("l.total_amount", "numeric", "0", ("min_amount", "max_amount"))
SORTS: Final[dict[Sort, SortKey]] = {
    "recent": SortKey(*_BY_TIME, is_descending=True),
    "oldest": SortKey(*_BY_TIME, is_descending=False),
    "largest": SortKey(*_BY_AMOUNT, is_descending=True),
    "smallest": SortKey(*_BY_AMOUNT, is_descending=False),
}
DEFAULT_SORT: Final[Sort] = "recent"
_OPPOSITE: Final[dict[Sort, Sort]] = {
    "recent": "oldest",
    "oldest": "recent",
    "largest": "smallest",
    "smallest": "largest",
}

_TYPE_CONDITIONS: Final[dict[OrderTypes, str]] = {
    "sample": "l.sample_count > 0",
    "proof": "l.proof_count > 0",
    "bulk": "l.bulk_count > 0",
    "sample_without_bulk": "l.sample_count > 0 AND l.bulk_count = 0",
}
ORDER_TYPES: Final = tuple(_TYPE_CONDITIONS)
_CONDITIONS: Final = {
    "shop_id": "c.shop_id = :shop_id",
    "currency": "l.currency = :currency",
    "min_amount": "l.total_amount >= :min_amount",
    "max_amount": "l.total_amount <= :max_amount",
    "last_order_from": f"{_LAST_ORDER} >= :last_order_from",
    "last_order_before": f"l.last_order_at IS NOT NULL AND {_LAST_ORDER} < :last_order_before",
    "silent_days": f"l.last_order_at IS NOT NULL AND {_LAST_ORDER} < now() - make_interval(days => :silent_days)",
    "reopened_days": "l.reopened_at >= now() - make_interval(days => :reopened_days)",
    "lead_ids": "l.lead_id = ANY (:lead_ids)",
    "name_prefix": (
        "lower(c.customer_nickname) ~>=~ lower(:name_prefix)"
        " AND lower(c.customer_nickname) ~<~ (lower(:name_prefix) || chr(1114111))"
    ),
}
_OF_CUSTOMER: Final = ("shop_id", "name_prefix")


@dataclass(frozen=True, slots=True)
class _Choice:
    """Conditions of filters, with values as parameters."""

    conditions: Mapping[str, str]
    parameters: Mapping[str, Any]
    join: str
    """Join of the customers `c`, where a condition is about them."""

    def where(self, names: Collection[str] | None = None) -> str:
        """Return a WHERE clause: of the named conditions, or of all."""
        chosen = [text for name, text in self.conditions.items() if names is None or name in names]
        return f"WHERE {' AND '.join(chosen) or 'true'}"


def _choice(filters: LeadFilters) -> _Choice:
    given = {name: getattr(filters, name) for name in _CONDITIONS}
    parameters = {name: value for name, value in given.items() if value is not None}
    conditions = {name: _CONDITIONS[name] for name in parameters}
    if filters.order_types is not None:
        conditions["order_types"] = _TYPE_CONDITIONS[filters.order_types]
    if filters.stage is not None:
        conditions["stage"] = "l.current_stage = ANY (:stages)"
        parameters["stages"] = list(ACTIVE_STAGES) if filters.stage == ACTIVE else [filters.stage]
    has_customer = any(name in conditions for name in _OF_CUSTOMER)
    return _Choice(conditions, parameters, _JOIN_CUSTOMERS if has_customer else "")


_JOIN_CUSTOMERS: Final = " JOIN customers c ON c.customer_global_id = l.customer_global_id"


def read_leads(
    connection: sa.Connection, filters: LeadFilters, sort: Sort = DEFAULT_SORT, *, at: str | None = None
) -> LeadPage:
    """Read a page of the list.

    Hazard: where the planner expects many leads, it walks the sort's index until the page is full, which takes seconds
    where filters exclude one another (WON, and no bulk order). So that walk is limited to `MAX_WALKED` leads; then all
    are scanned, which takes the same time for any filter.

    Args:
        connection: an open transaction.
        filters: which leads.
        sort: their order.
        at: cursor of the page, from the page before or after; one that is not understood means the first page.
    """
    choice, cursor = _choice(filters), _parsed(at, SORTS[sort].dtype)
    direction = _OPPOSITE[sort] if cursor is not None and cursor.is_backward else sort
    estimate = _estimate(connection, choice)
    rows: list[dict[str, Any]] = []
    is_walked = False
    if estimate > MAX_COUNTED:
        rows = _fetch(connection, choice, _walk(choice, direction, cursor), direction, cursor, PAGE_SIZE + 1)
        is_walked = len(rows) > PAGE_SIZE
    if not is_walked:
        rows = _fetch(
            connection, choice, _scan(choice, direction, cursor), direction, cursor, max(MAX_COUNTED, PAGE_SIZE) + 1
        )
    found = rows[0]["found"] if rows else 0
    is_exact = not is_walked and found <= MAX_COUNTED and cursor is None
    return _page(rows, cursor, found if is_exact else max(estimate, found), is_exact=is_exact)


def _page(rows: Sequence[dict[str, Any]], cursor: Cursor | None, count: int, *, is_exact: bool) -> LeadPage:
    has_more, leads = len(rows) > PAGE_SIZE, list(rows[:PAGE_SIZE])
    has_previous, has_next = cursor is not None, has_more
    if cursor is not None and cursor.is_backward:
        leads.reverse()
        has_previous, has_next = has_more, True
    previous = _cursor(leads[0], BACKWARD) if leads and has_previous else None
    return LeadPage(leads, previous, _cursor(leads[-1]) if leads and has_next else None, count, is_exact=is_exact)


def read_all(connection: sa.Connection, filters: LeadFilters, sort: Sort = DEFAULT_SORT) -> sa.CursorResult[Any]:
    """Return all leads of the list in order, `COLUMNS`: read by a cursor of the server if the connection streams."""
    choice = _choice(filters)
    text = f"SELECT {COLUMNS} FROM ({_scan(choice, sort, None)}) l {JOINS} ORDER BY {_order(sort)}"  # noqa: S608  # constants
    return connection.execute(sa.text(text), dict(choice.parameters))


def _walk(choice: _Choice, sort: Sort, cursor: Cursor | None) -> str:
    """Return the SELECT that looks among the first `MAX_WALKED` leads of the sort's index."""
    key = SORTS[sort]
    first = (
        f"SELECT l.*, {key.expression} AS sort_key FROM business_leads l {choice.where(key.filters)}"  # noqa: S608  # constants
        f"{_after(key.expression, sort, cursor)} ORDER BY {_order(sort, key.expression)} LIMIT {MAX_WALKED:d}"
    )
    others = [name for name in choice.conditions if name not in key.filters]
    return f"SELECT l.* FROM ({first}) l{choice.join} {choice.where(others)} ORDER BY {_order(sort)}"  # noqa: S608  # as above


def _scan(choice: _Choice, sort: Sort, cursor: Cursor | None) -> str:
    """Return the SELECT that looks at all leads, and sorts those that were found."""
    key = f"{SORTS[sort].expression} + {SORTS[sort].zero}"
    return (
        f"SELECT l.*, {key} AS sort_key FROM business_leads l{choice.join} {choice.where()}"  # noqa: S608  # constants
        f"{_after(key, sort, cursor)} ORDER BY {_order(sort, key)}"
    )


def _after(key: str, sort: Sort, cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    comparison = "<" if SORTS[sort].is_descending else ">"
    return f" AND ({key}, l.lead_id) {comparison} (CAST(:after_key AS {SORTS[sort].dtype}), :after_id)"


def _order(sort: Sort, key: str = "l.sort_key") -> str:
    direction = "DESC" if SORTS[sort].is_descending else "ASC"
    return f"{key} {direction}, l.lead_id {direction}"


def _fetch(
    connection: sa.Connection, choice: _Choice, select: str, sort: Sort, cursor: Cursor | None, limit: int
) -> list[dict[str, Any]]:
    """Return the first rows of a selection: at most a page and one; `found` counts up to `limit`."""
    query = _PAGE.format(select=select, order=_order(sort))
    of_cursor = {} if cursor is None else {"after_key": cursor.key, "after_id": cursor.lead_id}
    parameters = {**choice.parameters, **of_cursor, "limit": limit, "page_size": PAGE_SIZE + 1}
    return [dict(row) for row in connection.execute(sa.text(query), parameters).mappings()]


def _estimate(connection: sa.Connection, choice: _Choice) -> int:
    """Return how many leads the planner expects."""
    text = f"EXPLAIN (FORMAT JSON) SELECT FROM business_leads l{choice.join} {choice.where()}"  # constants
    plans = connection.execute(sa.text(text), dict(choice.parameters)).scalar_one()
    return int(plans[0]["Plan"]["Plan Rows"])


BACKWARD: Final = "<"
"""Beginning of the cursor of a page that ends before a lead."""


class Cursor(NamedTuple):
    """Sort key and lead that a page begins after, or ends before."""

    key: str
    lead_id: UUID
    is_backward: bool


def _cursor(lead: Mapping[str, Any], direction: str = "") -> str:
    return f"{direction}{lead['sort_text']}~{lead['lead_id'].hex}"


def _parsed(cursor: str | None, dtype: str) -> Cursor | None:
    key, _, lead_id = (cursor or "").removeprefix(BACKWARD).partition("~")
    try:
        if dtype == "timestamptz" and key != "-infinity":
            datetime.fromisoformat(key)
        is_key = _CURSOR_KEYS[dtype].fullmatch(key)
        return Cursor(key, UUID(hex=lead_id), (cursor or "").startswith(BACKWARD)) if is_key else None
    except ValueError:
        return None


_CURSOR_KEYS: Final = {
    "numeric": re.compile(r"-?\d{1,34}(\.\d{1,4})?", re.ASCII),
    "timestamptz": re.compile(r"-infinity|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00", re.ASCII),
}


COLUMNS: Final = """
    l.lead_id, c.customer_nickname AS customer, s.platform, coalesce(s.shown_name, s.shop_name) AS shop,
    l.current_stage, l.order_count, l.sample_count, l.proof_count, l.bulk_count, l.total_amount, l.refunded_amount,
    l.currency, l.other_currency_count, l.first_order_at, l.last_order_at, l.opened_at, l.reopened_at, l.reopen_count,
    CAST(floor(extract(epoch FROM now() - l.last_order_at) / 86400) AS integer) AS days_since_last_order
"""
JOINS: Final = """
    LEFT JOIN customers c ON c.customer_global_id = l.customer_global_id
    LEFT JOIN shop_configs s ON s.shop_id = c.shop_id
"""
_PAGE: Final = (
    "WITH found AS MATERIALIZED ({select} LIMIT :limit)"  # noqa: S608  # constants only
    f" SELECT (SELECT count(*) FROM found) AS found, CAST(l.sort_key AS text) AS sort_text, {COLUMNS}"
    f" FROM (SELECT * FROM found l ORDER BY {{order}} LIMIT :page_size) l {JOINS} ORDER BY {{order}}"  # constants only
)
"""Joins follow the choice of the page: the planner would join all that was found before it sorts."""
