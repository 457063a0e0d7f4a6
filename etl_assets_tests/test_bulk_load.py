"""What a first load does besides loading: indexes made at its end, statistics, and customers read in buckets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from etl_assets.database import bulk_load
from etl_assets.database.schema import metadata
from etl_assets.errors import BatchFailedError
from etl_assets.ledger.queue import RawIdRange
from etl_assets.ledger.range_sql import CustomerBucket, anonymous_orders
from etl_assets.run.registry import STEPS, build_services, run_asset
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
from etl_assets_tests.helpers.wrapped_step import WrappedStep

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Batch, LoadResult, Services, Step

LATER: Final = sorted(str(one.name) for one in bulk_load.deferred_indexes(list(metadata.tables)))
OF_LEADS: Final = {"ix_lead_orders_lead_id"}


@pytest.fixture(autouse=True)
def _small_loads_are_like_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_load, "LEAST_DEFERRED_ROWS", 0)


def orders(count: int, *, first: int = 0) -> list[dict[str, str | None]]:
    return [
        raw_fields(f"{number:06d}", customer_name=f"c{number % 7}", items="cup*2", ordered_at="2024-01-01")
        for number in range(first, first + count)
    ]


def later_indexes(services: Services) -> dict[str, int]:
    """The indexes made later that there are and can be used, and the number that each has had since it was made."""
    rows = query(
        services,
        "SELECT relname, CAST(indexrelid AS bigint) AS oid FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
        " WHERE indisvalid AND relname = ANY (:names) AND relnamespace = CAST(current_schema() AS regnamespace)",
        names=LATER,
    )
    return {row["relname"]: row["oid"] for row in rows}


@pytest.mark.slow
def test_a_first_load_makes_its_later_indexes_at_its_end_and_a_second_load_keeps_them(services: Services) -> None:
    before = later_indexes(services)
    assert sorted(before) == LATER
    with_batch_size(services, 10)
    land(services, orders(35))
    run_all(services)
    first = later_indexes(services)
    assert sorted(first) == LATER
    assert not set(first.values()) & set(before.values())
    land(services, orders(35, first=35))
    run_all(services)
    assert later_indexes(services) == first


def test_the_indexes_are_gone_while_the_first_load_runs(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, int]] = []
    monkeypatch.setitem(STEPS, "orders", WatchedStep(STEPS["orders"], lambda: seen.append(later_indexes(services))))
    with_batch_size(services, 10)
    land(services, orders(35))
    run_asset("shop", services)
    run_asset("orders", services)
    of_orders = [name for name in LATER if name.startswith("ix_orders_")]
    assert [[name for name in of_orders if name in found] for found in seen] == [[]] * 4
    assert set(of_orders) < set(later_indexes(services))


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1, 3])
def test_the_indexes_are_there_again_whichever_batch_of_a_first_load_fails(
    services: Services, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls: list[int] = []

    def fail_once() -> None:
        calls.append(len(calls))
        if calls[-1] == failing:
            raise RuntimeError

    monkeypatch.setitem(STEPS, "orders", WatchedStep(STEPS["orders"], fail_once))
    with_batch_size(services, 10)
    land(services, orders(35))
    run_asset("shop", services)
    with pytest.raises(BatchFailedError):
        run_asset("orders", services)
    assert sorted(later_indexes(services)) == LATER
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 35


@pytest.mark.slow
def test_a_killed_first_load_leaves_work_and_the_next_run_makes_the_indexes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with_batch_size(services, 10)
    land(services, orders(35))
    run_asset("shop", services)
    with monkeypatch.context() as patched:
        patched.setitem(STEPS, "orders", WatchedStep(STEPS["orders"], die))
        with pytest.raises(KeyboardInterrupt):
            run_asset("orders", services)
    assert sorted(later_indexes(services)) != LATER
    assert scalar(services, "SELECT count(*) FROM etl_work WHERE asset = 'orders'")
    run_all(services)
    assert sorted(later_indexes(services)) == LATER


def test_a_table_that_somebody_reads_is_loaded_with_its_indexes(services: Services) -> None:
    before = later_indexes(services)
    land(services, orders(5))
    with services.database.transaction() as reader:
        reader.execute(sa.text("SELECT count(*) FROM orders"))
        run_asset("shop", services)
        run_asset("orders", services)
    assert {name: oid for name, oid in later_indexes(services).items() if name.startswith("ix_orders_")} == {
        name: oid for name, oid in before.items() if name.startswith("ix_orders_")
    }


def test_a_role_that_does_not_own_the_tables_can_load_them(services: Services) -> None:
    role, schema = f"loader_{uuid4().hex}", services.database.schema
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    ):
        query(services, statement)
    before = later_indexes(services)
    land(services, orders(1200))
    url = services.database.url.set(username=role, password=None).render_as_string(hide_password=False)
    as_role = build_services(services.database.settings.model_copy(update={"database_url": SecretStr(url)}))
    try:
        run_all(as_role)
    finally:
        as_role.database.dispose()
    assert (scalar(services, "SELECT count(*) FROM orders"), later_indexes(services)) == (1200, before)
    query(services, f"DROP OWNED BY {role}")
    query(services, f"DROP ROLE {role}")


@pytest.mark.slow
def test_statistics_are_collected_when_much_has_changed(services: Services) -> None:
    known = "SELECT count(*) FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'orders'"
    query(services, "ALTER TABLE orders SET (autovacuum_enabled = false)")  # on a slow machine it would come between
    land(services, orders(90))
    run_all(services)
    assert scalar(services, known) == 0
    land(services, orders(120, first=90))
    run_all(services)
    assert scalar(services, known) > 0
    query(services, "ALTER TABLE orders RESET (autovacuum_enabled)")


@pytest.mark.slow
def test_order_ids_are_compared_as_bytes_whatever_the_locale(services: Services) -> None:
    assert query(
        services,
        "SELECT table_name, collation_name FROM information_schema.columns WHERE column_name = 'order_id'"
        " AND table_schema = current_schema() AND table_name IN ('orders', 'lead_orders') ORDER BY 1",
    ) == [
        {"table_name": "lead_orders", "collation_name": "C"},
        {"table_name": "orders", "collation_name": "C"},
    ]
    # In the order of most locales these would be: 10, 9, a, B, Zebra, é.
    for amount in ("1", "2"):
        for order_id in ("B", "a", "é", "9", "10", "Zebra", "订"):
            land(services, [raw_fields(order_id, amount=amount, updated_at=f"2024-01-0{amount}")])
            run_all(services)
    assert query(services, "SELECT count(*) AS orders, sum(amount) AS amount FROM orders") == [
        {"orders": 7, "amount": 14}
    ]


@pytest.mark.parametrize("of", [1, 2, 3, 7, 64])
def test_every_customer_is_in_one_bucket_and_nobody_in_none(services: Services, of: int) -> None:
    edges = [UUID(int=(number << 128) // of + offset) for number in range(1, of) for offset in (-1, 0, 1)]
    ids = [*edges, UUID(int=0), UUID(int=(1 << 128) - 1), *(uuid4() for _ in range(200)), None]
    found = [
        row["id"]
        for number in range(of)
        for row in query(
            services,
            f"SELECT id FROM unnest(CAST(:ids AS uuid[])) ids (id) WHERE {CustomerBucket(number, of).condition('id')}",  # noqa: S608  # ours
            ids=ids,
        )
    ]
    assert sorted(found) == sorted(one for one in ids if one is not None)


@pytest.mark.parametrize(("of", "count"), [(1, 1), (3, 1), (3, 7), (50, 110)])
def test_orders_without_a_customer_are_in_one_bucket_of_about_equal_ones(of: int, count: int) -> None:
    ranges = [RawIdRange(number, 10 * number, 10 * number + 9) for number in range(1, count + 1)]
    queries = [anonymous_orders("o.raw_id", ranges, CustomerBucket(number, of)) for number in range(of)]
    found = [[int(low) for low in re.findall(r"\(\d+, (\d+), \d+\)", " ".join(query))] for query in queries]
    assert sorted(low for lows in found for low in lows) == [one.low for one in ranges]
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.slow
def test_customers_and_leads_in_buckets_are_those_of_one_bucket(services: Services) -> None:
    fields = [*orders(30), *(raw_fields(f"n{number}", amount="5") for number in range(20))]
    with_batch_size(services, 1_000)
    land(services, fields)
    results = run_all(services)
    whole = comparable(services)
    start_afresh(services)
    with_batch_size(services, 2)
    land(services, fields[:25])
    land(services, fields[25:])
    in_buckets = run_all(services)
    assert comparable(services) == whole
    for asset in ("customers", "leads"):
        assert in_buckets[asset].counts == results[asset].counts
        assert in_buckets[asset].counts.anonymous_orders == 20


def test_the_index_of_leads_is_gone_while_they_are_first_loaded_and_there_again_afterwards(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, int]] = []
    watched = WatchedStep(STEPS["leads"], lambda: seen.append(later_indexes(services)))
    land(services, orders(35))
    for asset in STEPS:
        if asset != "leads":
            run_asset(asset, services)
    with monkeypatch.context() as patched:
        patched.setitem(STEPS, "leads", watched)
        run_asset("leads", services)
    assert [OF_LEADS & set(found) for found in seen] == [set()]
    assert set(later_indexes(services)) > OF_LEADS


@pytest.mark.slow
def test_an_index_that_cannot_be_made_now_is_made_by_the_next_load(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_load, "MAX_WAIT_SECONDS", 1)
    land(services, orders(35))
    for asset in STEPS:
        if asset != "leads":
            run_asset(asset, services)
    with services.database.engine.connect() as writer:

        def write_into_the_table() -> None:
            writer.execute(sa.text("DELETE FROM lead_orders WHERE shop_id = 0"))

        with monkeypatch.context() as patched:
            patched.setitem(STEPS, "leads", WatchedStep(STEPS["leads"], write_into_the_table))
            run_asset("leads", services)
    assert not OF_LEADS & set(later_indexes(services))
    assert scalar(services, "SELECT count(*) FROM lead_orders") == 35
    land(services, orders(1, first=35))
    run_all(services)
    assert sorted(later_indexes(services)) == LATER


class WatchedStep(WrappedStep):
    """A step that calls a function in each batch, once that is loaded and not yet committed."""

    def __init__(self, step: Step, on_load: Any) -> None:
        super().__init__(step)
        self.on_load = on_load

    def load(self, batch: Batch, transformed: Any) -> LoadResult:
        loaded = self.step.load(batch, transformed)
        self.on_load()
        return loaded
