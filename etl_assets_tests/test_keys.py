"""Keys of the tables exist at all times, for other sessions during first loads and after killed ones."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from etl_assets.customers.step import CustomersStep
from etl_assets.database import bulk_load, migrate
from etl_assets.database.database import Database
from etl_assets.database.schema import metadata
from etl_assets.errors import MissingKeyError, NotMigratedError
from etl_assets.leads.step import LeadsStep
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers.pipeline import (
    comparable,
    land,
    query,
    raw_fields,
    run_all,
    scalar,
    start_afresh,
    with_batch_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl_assets.pipeline.customer_buckets import CustomerStep
    from etl_assets.pipeline.protocol import Services

DROPPED_BY_OLDER_VERSIONS: Final = {"business_leads": "pk_business_leads", "lead_orders": "pk_lead_orders"}
_LEAD: Final = """
    INSERT INTO business_leads (lead_id, customer_global_id, current_stage, order_count, total_amount, sample_count,
        sample_amount, proof_count, proof_amount, bulk_count, bulk_amount, other_currency_count)
    VALUES (:lead_id, :customer, :stage, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""


@pytest.fixture(autouse=True)
def _small_loads_are_like_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_load, "LEAST_DEFERRED_ROWS", 0)


@pytest.fixture
def sales(services: Services) -> Iterator[sa.Connection]:
    """Session of the sales system, which waits for locks for at most five seconds."""
    engine = sa.create_engine(
        services.database.url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        connect_args={"options": "-c search_path=etl -c statement_timeout=5s"},
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def land_orders(services: Services) -> None:
    """Land some orders."""
    land(
        services,
        [raw_fields(f"{n:04d}", customer_name=f"c{n % 9}", amount="5", items="cup*2") for n in range(35)],
    )


def run_before(asset: str, services: Services) -> None:
    """Run the assets before the given one, which is then loaded in several buckets."""
    for name in STEPS:
        if name == asset:
            break
        run_asset(name, services)
    with_batch_size(services, 10)


def unique_indexes(connection: sa.Connection) -> dict[str, int]:
    """Return the unique indexes that exist now, each with its object id."""
    rows = connection.execute(
        sa.text(
            "SELECT relname, CAST(indexrelid AS bigint) FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
            " WHERE indisunique AND indisvalid AND relnamespace = CAST('etl' AS regnamespace)"
        )
    )
    return {name: oid for name, oid in rows}  # noqa: C416  # rows are no pairs for mypy


def on_load(
    monkeypatch: pytest.MonkeyPatch,
    step: type[CustomerStep],
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Call something before and after each bucket of a step is loaded, within the batch's transaction."""
    load = step.load

    def watched(self: Any, *args: Any) -> Any:
        before()
        loaded = load(self, *args)
        after()
        return loaded

    monkeypatch.setattr(step, "load", watched)


def test_no_key_is_made_later() -> None:
    assert [one.name for one in bulk_load.deferred_indexes(list(metadata.tables)) if one.unique] == []


@pytest.mark.slow
def test_all_keys_are_there_whenever_another_session_looks_during_a_first_load(
    services: Services, sales: sa.Connection
) -> None:
    before = unique_indexes(sales)
    named = {str(table.primary_key.name) for table in metadata.tables.values()}
    assert {*named, "uq_business_leads_active_customer", "uq_customers_customer_key"} <= set(before)
    one_at_a_time, seen = threading.Lock(), []

    def look(*_: Any) -> None:
        with one_at_a_time:
            seen.append(unique_indexes(sales) == before)

    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        sa.event.listen(services.database.engine, moment, look)
    land_orders(services)
    run_all(with_batch_size(services, 10))
    assert len(seen) > 300
    assert all(seen)


@pytest.mark.slow
def test_the_sales_system_reads_and_writes_leads_while_they_are_first_loaded(
    services: Services, sales: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(services)
    run_all(services)
    undisturbed = comparable(services)
    start_afresh(services)
    land_orders(services)
    run_before("leads", services)
    lead_id, customer, stages = uuid4(), uuid4(), []

    def work() -> None:
        for stage in ("OPEN", "WON"):
            statement = _LEAD + "ON CONFLICT (lead_id) DO UPDATE SET current_stage = excluded.current_stage"
            sales.execute(sa.text(statement), {"lead_id": lead_id, "customer": customer, "stage": stage})
        stages.append(sales.execute(sa.text("SELECT array_agg(current_stage) FROM business_leads")).scalar_one())
        attach = "INSERT INTO lead_orders VALUES (999, 'x', :lead_id, 'new') ON CONFLICT (shop_id, order_id) DO NOTHING"
        sales.execute(sa.text(attach), {"lead_id": lead_id})

    on_load(monkeypatch, LeadsStep, before=work, after=work)
    run_asset("leads", services)
    assert stages == [["WON"]] * 4
    query(services, "DELETE FROM lead_orders WHERE shop_id = 999")
    query(services, "DELETE FROM business_leads WHERE lead_id = :lead_id", lead_id=lead_id)
    assert comparable(services) == undisturbed


def test_a_lead_that_is_added_by_hand_while_a_first_load_runs_is_reused(
    services: Services, sales: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(services)
    run_before("leads", services)
    customers = [row["id"] for row in query(services, "SELECT customer_global_id AS id FROM customers ORDER BY 1")]
    added = {uuid4(): customer for customer in (customers[0], customers[-1])}

    buckets = count()

    def add_leads() -> None:
        for lead_id, customer in added.items() if next(buckets) == 0 else ():
            sales.execute(sa.text(_LEAD), {"lead_id": lead_id, "customer": customer, "stage": "OPEN"})

    on_load(monkeypatch, LeadsStep, before=add_leads)
    run_asset("leads", services)
    leads = query(services, "SELECT lead_id, customer_global_id, order_count FROM business_leads")
    assert {row["lead_id"]: row["customer_global_id"] for row in leads if row["lead_id"] in added} == added
    assert (len(leads), sum(row["order_count"] for row in leads)) == (9, 35)
    assert scalar(services, "SELECT count(*) FROM quarantine") == 0


@pytest.mark.slow
def test_a_customer_that_is_added_by_hand_while_a_first_load_runs_is_found(
    services: Services, sales: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(services)
    run_all(services)
    undisturbed = comparable(services)
    query(services, "CREATE TABLE kept AS SELECT * FROM customers")
    start_afresh(services)
    land_orders(services)
    run_before("customers", services)
    query(services, "UPDATE kept SET order_count = 77, shop_id = (SELECT shop_id FROM shop_configs)")
    buckets = count()

    def add_customers() -> None:
        if next(buckets) == 0:
            sales.execute(sa.text("INSERT INTO customers SELECT * FROM kept"))

    on_load(monkeypatch, CustomersStep, before=add_customers)
    result = run_asset("customers", services)
    assert (result.counts.inserted, result.counts.updated) == (0, 9)
    run_asset("leads", services)
    assert comparable(services) == undisturbed


@pytest.mark.slow
def test_a_session_that_waits_for_an_order_of_the_load_does_not_make_it_fail(
    services: Services, monkeypatch: pytest.MonkeyPatch, sales: sa.Connection
) -> None:
    land_orders(services)
    run_before("leads", services)
    sales.execute(sa.text("SET deadlock_timeout = '60s'"))  # so that it is the load that finds out
    attach = (
        "INSERT INTO lead_orders SELECT shop_id, order_id, customer_global_id, 'new' FROM orders"
        " WHERE customer_global_id = (SELECT customer_global_id FROM customers ORDER BY 1 DESC LIMIT 1)"
        " ON CONFLICT (shop_id, order_id) DO NOTHING"
    )
    waiting = threading.Thread(target=lambda: sales.execute(sa.text(attach)))
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO lead_o%'"
    buckets = count()

    def wait_for_the_load() -> None:
        if next(buckets) == 1:
            waiting.start()
            while waiting.is_alive() and not scalar(services, waits):
                time.sleep(0.02)

    on_load(monkeypatch, LeadsStep, after=wait_for_the_load)
    run_asset("leads", services)
    waiting.join()
    assert next(buckets) == 2, "no batch is tried again"
    assert scalar(services, "SELECT count(*) FROM lead_orders WHERE batch_id IS NOT NULL") == 35
    assert scalar(services, "SELECT count(*) FROM quarantine") == 0


@pytest.mark.slow
def test_a_killed_first_load_leaves_the_keys_and_the_next_run_the_tables_of_an_undisturbed_one(
    services: Services, sales: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(services)
    run_all(services)
    undisturbed = comparable(services)
    start_afresh(services)
    land_orders(services)
    run_before("leads", services)
    monkeypatch.setenv("ETL_BATCH_SIZE", "10")
    lead = {"lead_id": uuid4(), "customer": uuid4(), "stage": "WON"}
    order = {"lead_id": lead["lead_id"]}
    attach = sa.text("INSERT INTO lead_orders VALUES (999, 'x', :lead_id, 'new')")
    for statement in (8, 20, 30):
        command = [sys.executable, "-m", "etl_assets_tests.helpers.killed_process", "leads", str(statement)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        sales.execute(sa.text(_LEAD), lead)
        sales.execute(attach, order)
        with pytest.raises(IntegrityError, match="pk_business_leads"):
            sales.execute(sa.text(_LEAD), lead)
        with pytest.raises(IntegrityError, match="pk_lead_orders"):
            sales.execute(attach, order)
        query(services, "DELETE FROM lead_orders WHERE shop_id = 999")
        query(services, "DELETE FROM business_leads WHERE lead_id = :lead_id", **order)
    run_all(services)
    assert comparable(services) == undisturbed


def drop_keys(services: Services) -> None:
    """Leave the keys out that the killed first load of an older version left out."""
    for table, key in DROPPED_BY_OLDER_VERSIONS.items():
        query(services, f"ALTER TABLE {table} DROP CONSTRAINT {key}")


def test_a_run_refuses_tables_without_keys_and_an_upgrade_makes_them(services: Services, sales: sa.Connection) -> None:
    land_orders(services)
    run_before("leads", services)
    drop_keys(services)
    with pytest.raises(NotMigratedError, match=r"pk_business_leads, pk_lead_orders.*etl-assets db upgrade"):
        migrate.require_current(services.database)
    migrate.upgrade(services.database)
    migrate.require_current(services.database)
    assert set(DROPPED_BY_OLDER_VERSIONS.values()) <= set(unique_indexes(sales))
    run_all(services)


def test_the_embedded_database_gets_its_keys_by_the_next_command(
    services: Services, sales: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(unique_indexes(sales))
    drop_keys(services)
    query(services, "DROP INDEX uq_business_leads_active_customer")
    monkeypatch.setattr(Database, "is_embedded", True)
    migrate.require_current(services.database)
    assert set(unique_indexes(sales)) == before


def test_a_key_under_another_name_is_none_that_is_missing(services: Services) -> None:
    query(services, "ALTER TABLE lead_orders RENAME CONSTRAINT pk_lead_orders TO lead_orders_pkey")
    migrate.require_current(services.database)


@pytest.mark.parametrize("table", list(DROPPED_BY_OLDER_VERSIONS))
def test_rows_that_violate_a_missing_key_are_named_with_a_remedy(services: Services, table: str) -> None:
    land_orders(services)
    run_all(services)
    drop_keys(services)
    doubled = scalar(services, f"SELECT lead_id FROM {table} LIMIT 1")  # noqa: S608  # ours
    query(services, "DROP INDEX uq_business_leads_active_customer")
    query(services, f"INSERT INTO {table} SELECT * FROM {table} WHERE lead_id = :lead_id", lead_id=doubled)  # noqa: S608
    key = DROPPED_BY_OLDER_VERSIONS[table]
    with pytest.raises(MissingKeyError, match=f"{table} lacks its key {key} .*etl-assets db upgrade") as refused:
        migrate.upgrade(services.database)
    assert str(doubled) not in str(refused.value)
    assert "uq_business_leads_active_customer" not in str(refused.value), "the first that stands in the way"
    listed = re.search(r"`(SELECT[^`]*)`", str(refused.value))
    assert listed is not None
    rows = query(services, listed.group(1))
    assert {row["copies"] for row in rows} == {2}
    surplus = f"DELETE FROM {table} t WHERE EXISTS (SELECT FROM {table} o WHERE o = t AND o.ctid < t.ctid)"  # noqa: S608
    query(services, surplus)
    migrate.upgrade(services.database)
    migrate.require_current(services.database)
    run_all(services)


def test_two_active_leads_of_a_customer_are_named_too(services: Services) -> None:
    query(services, "DROP INDEX uq_business_leads_active_customer")
    for _ in range(2):
        query(services, _LEAD, lead_id=uuid4(), customer=UUID(int=1), stage="OPEN")
    with pytest.raises(MissingKeyError, match=r"uq_business_leads_active_customer.*WHERE current_stage IN") as refused:
        migrate.upgrade(services.database)
    listed = re.search(r"`(SELECT[^`]*)`", str(refused.value))
    assert listed is not None
    assert [row["copies"] for row in query(services, listed.group(1))] == [2]
