"""Run the checks of `quality.checks`: against whole tables, or the rows that changed since the checks last passed.

No check and no Dagster here: the asset checks that call this are in `orchestration.asset_checks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_SPECS
from etl_assets.ledger.pending_checks import clear_pending_checks, read_pending_checks
from etl_assets.ledger.range_sql import changed_customers, changed_orders, deleted_orders
from etl_assets.quality.checks import CHECKS, Check, Row

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange

MAX_VIOLATIONS: Final = 20


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """Outcome of a check: passed or not, and the first violations."""

    passed: bool
    violations: Sequence[Row]
    violation_count: int
    """Rows that violate the check: all, of which `violations` holds the first or counts them."""
    is_of_full_tables: bool
    """False: only what has changed since the checks of the asset last held was looked at."""


def run_checks(
    database: Database, asset: AssetName, *, whole_tables: bool = False, left_out: Container[str] = ()
) -> Iterator[tuple[Check, CheckOutcome]]:
    """Run all checks of an asset, one after the other.

    They look at what the asset has processed since they last held, all of them; where that is much, and with
    `whole_tables`, at whole tables. Otherwise, those that make sense of whole tables only are left out if `left_out`
    names them.
    """
    with database.autocommit() as connection:
        pending_checks = read_pending_checks(connection, asset)
        ranges = None if whole_tables or pending_checks.is_large else pending_checks.ranges
        checks = [
            check
            for check in CHECKS
            if check.asset == asset and not (ranges is not None and check.full_table_only and check.name in left_out)
        ]
        suspected = checks if ranges is None else _with_violations(connection, checks, ranges)
    holds = True
    for check in checks:
        outcome = run_check(database, check, ranges) if check in suspected else _passed(check, ranges)
        holds = holds and (outcome.passed or check.table is None)
        yield check, outcome
    if holds and pending_checks.ranges:
        with database.autocommit() as connection:
            clear_pending_checks(connection, asset, until=pending_checks.until)


def _with_violations(connection: sa.Connection, checks: Sequence[Check], ranges: Sequence[RawIdRange]) -> list[Check]:
    """Return the checks whose queries return rows, by one statement for all: usually none.

    Saves a statement for each check of a small run; of whole tables each query has the server's parallel workers.
    """
    if not checks:
        return []
    exist = ", ".join(f"EXISTS ({_scoped_query(check, ranges)})" for check in checks)
    found = connection.execute(sa.text(f"SELECT {exist}"), {"asset": checks[0].asset}).one()
    return [check for check, has_rows in zip(checks, found, strict=True) if has_rows]


def _scoped_query(check: Check, ranges: Sequence[RawIdRange] | None) -> str:
    return check.query if check.table is None else check.query.replace("{scope}", scope_condition(check.table, ranges))


def _passed(check: Check, ranges: Sequence[RawIdRange] | None) -> CheckOutcome:
    return CheckOutcome(True, [], 0, is_of_full_tables=ranges is None or check.table is None)


def run_check(database: Database, check: Check, ranges: Sequence[RawIdRange] | None = None) -> CheckOutcome:
    """Run a check against the tables as they are.

    Args:
        database: the store.
        check: what to run.
        ranges: look only at what belongs to these ranges of `orders`; at everything where it is None.
    """
    query = _scoped_query(check, ranges)
    parameters = {"asset": check.asset} if ":asset" in query else {}
    limited = query if check.post_filter else f"{query} FETCH FIRST {MAX_VIOLATIONS + 1} ROWS ONLY"
    count = None
    with database.autocommit() as connection:
        found = [dict(row) for row in connection.execute(sa.text(limited), parameters).mappings()]
        if check.post_filter is None and len(found) > MAX_VIOLATIONS:
            rows = f"SELECT {f'sum({check.count_column})' if check.count_column else 'count(*)'} FROM ({query}) v"  # noqa: S608  # a query of ours
            count = int(connection.execute(sa.text(rows), parameters).scalar_one())
    if check.post_filter is not None:
        found = check.post_filter(database, found)
    if count is None:
        count = sum(row[check.count_column] for row in found) if check.count_column else len(found)
    is_of_full_tables = ranges is None or check.table is None
    return CheckOutcome(not found, found[:MAX_VIOLATIONS], count, is_of_full_tables=is_of_full_tables)


def scope_condition(table: str, ranges: Sequence[RawIdRange] | None) -> str:
    """Return the SQL condition that a row `t` of `table` belongs to ranges of `orders`; true for all without ranges.

    The asset graph declares by which columns: a line or an attachment belongs to its order, a customer or lead to the
    orders that its customer has, or had.
    """
    if ranges is None:
        return "true"
    if not ranges:
        return "false"
    orders, deleted = changed_orders(ranges), deleted_orders(ranges)
    match TABLE_SPECS[table].scope:
        case "order_no":
            return f"t.order_no IN (SELECT o.order_no FROM {orders} UNION SELECT d.order_no FROM {deleted})"  # noqa: S608  # integers only, also below
        case "order":
            keys = f"SELECT o.shop_id, o.order_id FROM {orders} UNION SELECT d.shop_id, d.order_id FROM {deleted}"  # noqa: S608
            return f"(t.shop_id, t.order_id) IN ({keys})"
        case "customer":
            return f"t.customer_global_id IN ({changed_customers(ranges)})"
        case "none":
            msg = f"{table} has no scope: the asset graph declares none."
            raise ValueError(msg)
