"""The list of leads: filters, sorts and pages that stay fast with millions of leads, and the count of what was found.

Only sorts with an index are offered, and only filters that a scan of `business_leads` answers in time
(docs/performance.md, "Pages"). A search is resolved to leads first (`leads_search`). Texts and their languages belong
to the page; exports of the same list are in `leads_export`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from etl_assets.leads.transform import ACTIVE_STAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
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
    cursor: str | None
    """Where the next page begins; None on the last one."""
    count: int
    """Leads found, from the beginning of this page on."""
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

_TYPE_CONDITIONS: Final[dict[OrderTypes, str]] = {
    "sample": "l.sample_count > 0",
    "proof": "l.proof_count > 0",
    "bulk": "l.bulk_count > 0",
    "sample_without_bulk": "l.sample_count > 0 AND l.bulk_count = 0",
}
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
    connection: sa.Connection, filters: LeadFilters, sort: Sort = DEFAULT_SORT, *, after: str | None = None
) -> LeadPage:
    """Read a page of the list.

    Hazard: where the planner expects many leads, it walks the sort's index until the page is full, which takes seconds
    where filters exclude one another (WON, and no bulk order). So that walk is limited to `MAX_WALKED` leads; then all
    are scanned, which takes the same time for any filter.

    Args:
        connection: an open transaction.
        filters: which leads.
        sort: their order.
        after: the cursor of the page before; one that is not understood begins at the first page.
    """
    choice, cursor = _choice(filters), _parsed(after)
    estimate = _estimate(connection, choice)
    if estimate > MAX_COUNTED:
        rows = _fetch(connection, choice, _walk(choice, sort, cursor), sort, cursor, PAGE_SIZE + 1)
        if len(rows) > PAGE_SIZE:
            return LeadPage(rows[:PAGE_SIZE], _cursor(rows[PAGE_SIZE - 1]), estimate, is_exact=False)
    rows = _fetch(connection, choice, _scan(choice, sort, cursor), sort, cursor, MAX_COUNTED + 1)
    count = rows[0]["found"] if rows else 0
    has_next = len(rows) > PAGE_SIZE
    next_cursor = _cursor(rows[PAGE_SIZE - 1]) if has_next else None
    is_exact = count <= MAX_COUNTED
    return LeadPage(rows[:PAGE_SIZE], next_cursor, count if is_exact else max(estimate, count), is_exact=is_exact)


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
    text = f"EXPLAIN (FORMAT JSON) SELECT FROM business_leads l{choice.join} {choice.where()}"  # noqa: S608  # constants
    plans = connection.execute(sa.text(text), dict(choice.parameters)).scalar_one()
    return int(plans[0]["Plan"]["Plan Rows"])


class Cursor(NamedTuple):
    """Sort key and lead that a page begins after."""

    key: str
    lead_id: UUID


def _cursor(lead: Mapping[str, Any]) -> str:
    return f"{lead['sort_text']}~{lead['lead_id'].hex}"


def _parsed(cursor: str | None) -> Cursor | None:
    key, _, lead_id = (cursor or "").partition("~")
    try:
        return Cursor(key, UUID(hex=lead_id)) if _CURSOR_KEY.fullmatch(key) else None
    except ValueError:
        return None


_CURSOR_KEY: Final = re.compile(r"-infinity|-?\d{1,34}(\.\d{1,4})?|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00")


COLUMNS: Final = """
    l.lead_id, c.customer_nickname AS customer, s.platform, coalesce(s.shown_name, s.shop_name) AS shop,
    l.current_stage, l.order_count, l.sample_count, l.proof_count, l.bulk_count, l.total_amount, l.refunded_amount,
    l.currency, l.other_currency_count, l.first_order_at, l.last_order_at, l.opened_at, l.reopened_at, l.reopen_count
"""
JOINS: Final = """
    LEFT JOIN customers c ON c.customer_global_id = l.customer_global_id
    LEFT JOIN shop_configs s ON s.shop_id = c.shop_id
"""
_PAGE: Final = (
    "WITH found AS MATERIALIZED ({select} LIMIT :limit)"
    f" SELECT (SELECT count(*) FROM found) AS found, CAST(l.sort_key AS text) AS sort_text, {COLUMNS}"
    f" FROM (SELECT * FROM found l ORDER BY {{order}} LIMIT :page_size) l {JOINS} ORDER BY {{order}}"
)
"""Joins follow the choice of the page: the planner would join all that was found before it sorts."""
