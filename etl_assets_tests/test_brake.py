"""The brake: an import that would remove too much is held, nothing of it is committed, users accept or revert it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.cli.runs import report_dict, show_report
from etl_assets.definitions import build_defs
from etl_assets.health.needs import find_needs
from etl_assets.health.page import Links, health_page, summary
from etl_assets.ledger.queue import RawIdRange, slice_ranges
from etl_assets.orchestration.alert_sensors import notify_failed_checks, notify_held_imports
from etl_assets.orchestration.health import read_health
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.run_in_process import run_in_process
from etl_assets.orders.brake import Brake
from etl_assets.orders.transform import LOSSES, compare_with_stored
from etl_assets.reverts.imports import RevertError, accept_imports, restore_imports, revert_imports
from etl_assets.run.registry import run_asset
from etl_assets.sources import session
from etl_assets.sources.pull import pull
from etl_assets_tests.helpers.alert_receivers import web_server
from etl_assets_tests.helpers.literal_frames import Row, january
from etl_assets_tests.helpers.pipeline import (
    comparable,
    land,
    query,
    raw_fields,
    run_all,
    scalar,
    snapshot,
    with_batch_size,
)
from etl_assets_tests.helpers.source_servers import MAPPING, source
from etl_assets_tests.test_order_versions import stored, version, versions
from etl_assets_tests.test_quarantine_jobs import metadata, run_job
from etl_assets_tests.test_revert import assert_sound, with_ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings
    from etl_assets_tests.conftest import Prepare

Fields = dict[str, Any]
HELD: Final = "SELECT import_id, status, held FROM import_tasks WHERE status = 'held' ORDER BY batch_id"


def orders(count: int, first: int = 1, **fields: str | None) -> list[Fields]:
    """Orders of one customer each."""
    return [
        raw_fields(
            f"{number:04d}",
            **(
                {
                    "customer_name": f"C{number:04d}", "amount": "5", "ordered_at": "2024-01-05 10:00",
                    "items": "Mug*2; Cup*1", "processes": "print",
                }
                | fields
            ),
        )
        for number in range(first, first + count)
    ]  # fmt: skip


def held(services: Services) -> dict[UUID, dict[str, Any]]:
    return {row["import_id"]: row["held"]["tables"] for row in query(services, HELD)}


def land_and_run(services: Services, rows: list[Fields]) -> UUID:
    import_id = land(services, rows)
    run_all(services)
    return import_id


def load_thirty(services: Services) -> None:
    land_and_run(services, orders(30))


def with_brake(services: Services, **settings: float) -> Services:
    services.database.settings = services.database.settings.model_copy(
        update={f"brake_{name}": value for name, value in settings.items()}
    )
    return services


# --- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("removed", "rows", "brake", "is_exceeded"),
    [
        pytest.param(88, 89, Brake(0.2, 20), True, id="nearly all rows"),
        pytest.param(20, 100, Brake(0.2, 20), False, id="the share itself is allowed"),
        pytest.param(21, 100, Brake(0.2, 20), True, id="more than the share"),
        pytest.param(29, 100, Brake(0.29, 20), False, id="a share that no float is"),
        pytest.param(19, 19, Brake(0.2, 20), False, id="fewer than the least number"),
        pytest.param(20, 20, Brake(0.2, 20), True, id="the least number"),
        pytest.param(1000, 1000, Brake(1, 0), False, id="a share of 1: off"),
        pytest.param(1, 1000, Brake(0, 0), True, id="a share of 0: any row"),
        pytest.param(0, 1000, Brake(0, 0), False, id="no row"),
        pytest.param(1, 2, Brake(0.2, 0), True, id="no least number"),
        pytest.param(50, 0, Brake(0.2, 20), False, id="an empty table"),
    ],
)
def test_an_import_may_remove_a_share_of_the_rows_or_a_few(
    removed: int, rows: int, brake: Brake, *, is_exceeded: bool
) -> None:
    assert brake.is_exceeded(removed, rows) is is_exceeded


def test_each_table_counts_by_itself() -> None:
    brake = Brake(0.2, 20)
    removed = {"orders": 100, "business_leads": 30, "order_items": 10}
    stored_rows = {"orders": 1000, "business_leads": 60, "order_items": 12}
    assert brake.exceeded(removed, stored_rows) == {"business_leads": {"removed": 30, "rows": 60}}
    assert brake.exceeded({"orders": 500}, {}) == {}
    assert brake.exceeded({}, stored_rows) == {}


NOBODY: Final[Row] = {"customer_nickname": None, "customer_global_id": None}


@pytest.mark.parametrize(
    ("before", "after", "losses"),
    [
        pytest.param({}, {"latest_status": "sent"}, set(), id="nothing"),
        pytest.param({}, NOBODY, {"loses_customer", "leaves_lead"}, id="the customer"),
        pytest.param({}, {"customer_global_id": "bob"}, {"leaves_lead"}, id="another customer"),
        pytest.param(NOBODY, {}, set(), id="a customer comes"),
        pytest.param({}, {"is_cancelled": True}, {"leaves_lead"}, id="cancelled"),
        pytest.param({"is_cancelled": True}, {"is_cancelled": True, **NOBODY}, {"loses_customer"}, id="it was before"),
        pytest.param({"is_cancelled": True}, {}, set(), id="no more cancelled"),
        pytest.param({}, {"amount": None}, {"loses_amount"}, id="the amount"),
        pytest.param({}, {"amount": Decimal(0)}, set(), id="another amount"),
        pytest.param({}, {"ordered_at": None}, {"loses_time"}, id="the time"),
        pytest.param({}, {"ordered_at": january(9)}, set(), id="another time"),
    ],
)
def test_a_version_takes_values_that_were_there_or_the_place_in_a_lead(
    before: Row, after: Row, losses: set[str]
) -> None:
    newest = versions({**version("1", 9), **after})
    decided = compare_with_stored(newest, stored({**version("1", 2), **before}))
    assert {name for name in LOSSES if decided[name].item()} == losses


@pytest.mark.parametrize(
    ("offset", "length", "slices"),
    [
        pytest.param(0, 5, [(1, 10, 12), (2, 20, 21)], id="from the first row on"),
        pytest.param(5, 5, [(2, 22, 25), (3, 30, 30)], id="across the end of a range"),
        pytest.param(10, 5, [(3, 31, 31)], id="what is left"),
        pytest.param(4, 2, [(2, 21, 22)], id="inside a range"),
        pytest.param(20, 5, [], id="beyond the end"),
    ],
)
def test_ranges_are_sliced_by_rows(offset: int, length: int, slices: list[tuple[int, int, int]]) -> None:
    ranges = [RawIdRange(1, 10, 12), RawIdRange(2, 20, 25), RawIdRange(3, 30, 31)]
    assert slice_ranges(ranges, offset, length) == [RawIdRange(*one) for one in slices]


# --- what holds an import -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "tables"),
    [
        pytest.param({"customer_name": None}, {"orders": (22, 30), "business_leads": (22, 30)}, id="customers"),
        pytest.param({"customer_name": "张**"}, {"orders": (22, 30), "business_leads": (22, 30)}, id="masked names"),
        pytest.param({"amount": None}, {"orders": (22, 30)}, id="amounts"),
        pytest.param({"ordered_at": None}, {"orders": (22, 30)}, id="times"),
        pytest.param({"items": None}, {"order_items": (44, 60)}, id="lines"),
        pytest.param({"items": "Mug*2"}, {"order_items": (22, 60)}, id="one line of two"),
        pytest.param({"items": "[{"}, {"order_items": (44, 60)}, id="lines that can't be read"),
        pytest.param({"processes": None}, {"process_items": (22, 30)}, id="processes"),
        pytest.param({"order_status": "cancelled"}, {"business_leads": (22, 30)}, id="leads of cancelled orders"),
        pytest.param({"customer_name": "Ann"}, {"business_leads": (22, 30)}, id="leads of customers that orders leave"),
    ],
)
def test_an_import_that_would_take_too_much_is_held_and_changes_nothing(
    services: Services, prepare: Prepare, taken: Fields, tables: dict[str, tuple[int, int]]
) -> None:
    prepare(load_thirty)
    before = snapshot(services)
    import_id = land_and_run(services, orders(22, **taken))
    expected = {table: {"removed": removed, "rows": rows} for table, (removed, rows) in tables.items()}
    assert held(services) == {import_id: expected}
    assert snapshot(services) == before
    assert_sound(services)
    assert held(services) == {import_id: expected}  # a full refresh leaves it held


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(orders(19, customer_name=None), id="fewer orders than the least number"),
        pytest.param(orders(30, items="Cup*1; Mug*2"), id="other lines, as many"),
        pytest.param(orders(30), id="unchanged orders"),
        pytest.param(orders(50, 100, customer_name=None, amount=None, items=None), id="new orders without anything"),
        pytest.param(orders(19, customer_name="Ann"), id="few customers that orders leave"),
    ],
)
def test_other_imports_go_through(services: Services, rows: list[Fields]) -> None:
    land_and_run(services, orders(30))
    land_and_run(services, rows)
    assert held(services) == {}
    assert query(services, "SELECT * FROM etl_work") == []


def test_leads_that_get_other_orders_are_not_left_without(services: Services, prepare: Prepare) -> None:
    prepare(load_thirty)
    swapped = [one | {"customer_name": f"C{30 - at:04d}"} for at, one in enumerate(orders(30))]
    land_and_run(services, swapped)  # each order changes its customer, and each customer gets another order
    assert held(services) == {}
    replaced = [
        *orders(30, order_status="cancelled"),
        *(one | {"order_id": f"new {at}"} for at, one in enumerate(swapped)),
    ]
    land_and_run(services, replaced)
    assert held(services) == {}
    assert_sound(services)


def test_of_two_imports_of_a_batch_the_one_to_blame_is_held(services: Services) -> None:
    land_and_run(services, orders(60))
    first = land(services, orders(5, amount="7"))
    bad = land(services, orders(25, 11, customer_name=None))
    last = land(services, [*orders(5, 41, amount="8"), *orders(3, 71)])
    run_all(services)
    assert list(held(services)) == [bad]
    amounts = {
        row["amount"]: row["n"] for row in query(services, "SELECT amount, count(*) AS n FROM orders GROUP BY 1")
    }
    assert amounts == {5: 53, 7: 5, 8: 5}
    assert scalar(services, "SELECT count(*) FROM orders WHERE customer_global_id IS NULL") == 0
    statuses = {
        row["import_id"]: row["status"] for row in query(services, "SELECT import_id, status FROM import_tasks")
    }
    assert (statuses[first], statuses[last]) == ("completed", "completed")
    assert_sound(services)


# --- imports larger than a batch ------------------------------------------------------------------------------------


def test_an_import_of_several_batches_is_judged_as_a_whole(services: Services) -> None:
    """Its first batch alone takes nothing, its second and third less than the share."""
    with_batch_size(services, 10)
    land_and_run(services, orders(60))
    before = comparable(services)
    good = land(services, orders(15, 41, amount="6"))
    bad = land(services, [*orders(15, amount="7"), *orders(25, 16, customer_name=None)])
    later = land(services, orders(5, 61))
    run_all(services)
    assert list(held(services)) == [bad]
    assert held(services)[bad]["orders"]["removed"] == 25
    assert scalar(services, "SELECT count(*) FROM orders WHERE amount = 6") == 15
    assert scalar(services, "SELECT count(*) FROM business_leads") == 65
    revert_imports(services.database, [good, later])
    run_all(services)
    assert comparable(services) == before
    assert_sound(services)


def test_versions_of_one_import_that_follow_each_other_in_several_buckets_end_as_in_one(services: Services) -> None:
    with_batch_size(services, 10)
    land_and_run(services, orders(40))
    changed = [*orders(20, customer_name=None), *orders(20, amount="9"), *orders(20, amount="9", order_status="sent")]
    land_and_run(services, changed)  # what the first rows take, later rows of the same import bring again
    assert held(services) == {}
    assert scalar(services, "SELECT count(*) FROM orders WHERE amount = 9 AND latest_status = 'sent'") == 20
    assert scalar(services, "SELECT count(*) FROM business_leads WHERE total_amount = 9") == 20
    assert_sound(services)


def test_a_large_import_onto_stored_orders_is_one_batch_and_without_the_brake_several(services: Services) -> None:
    with_batch_size(services, 10)
    assert run_and_count_batches(services, orders(40)) == 4  # a first load
    assert run_and_count_batches(services, orders(40, amount="6")) == 1
    assert run_and_count_batches(services, orders(15, amount="7")) == 2  # too few orders to be held
    with_brake(services, share=1)
    assert run_and_count_batches(services, orders(40, amount="8")) == 4


def run_and_count_batches(services: Services, rows: list[Fields]) -> int:
    land(services, rows)
    run_asset("shop", services)
    return run_asset("orders", services).batches


def test_without_the_brake_nothing_is_held(services: Services) -> None:
    with_brake(services, share=1)
    land_and_run(services, orders(30))
    land_and_run(services, orders(30, customer_name=None, amount=None, items=None))
    assert held(services) == {}
    assert scalar(services, "SELECT count(*) FROM business_leads") == 0
    assert_sound(services)


# --- what users do --------------------------------------------------------------------------------------------------


def test_an_accepted_import_counts_from_the_next_run_on(services: Services, prepare: Prepare) -> None:
    prepare(load_thirty)
    import_id = land_and_run(services, [*orders(25, customer_name=None), *orders(1, 90)])
    land_and_run(services, orders(5, amount="6"))  # newer versions of what is held
    (change,) = accept_imports(services.database, [import_id])
    assert (change.status, change.is_changed, change.rows) == ("completed", True, 26)
    run_all(services)
    assert held(services) == {}
    assert scalar(services, "SELECT count(*) FROM business_leads") == 11  # of 5 newer, 5 untouched, 1 new
    assert scalar(services, "SELECT count(*) FROM orders WHERE customer_global_id IS NULL") == 20
    assert [one.is_changed for one in accept_imports(services.database, [import_id])] == [False]
    (action,) = query(services, "SELECT action, target, before, after FROM user_actions")
    assert (action["action"], action["target"]) == ("imports accept", str(import_id))
    assert (action["before"], action["after"]) == ({"status": "held"}, {"status": "completed"})
    assert_sound(services)


def test_a_reverted_import_that_was_held_is_held_again_when_it_is_restored(
    services: Services, prepare: Prepare
) -> None:
    prepare(load_thirty)
    before = snapshot(services)
    import_id = land_and_run(services, orders(25, customer_name=None))
    with pytest.raises(RevertError, match="is held and not reverted"):
        restore_imports(services.database, [import_id])
    (reverted,) = revert_imports(services.database, [import_id])
    assert (reverted.status, reverted.is_changed) == ("reverted", True)
    with pytest.raises(RevertError, match="is not held: its status is reverted"):
        accept_imports(services.database, [import_id])
    run_all(services)
    (restored,) = restore_imports(services.database, [import_id])
    assert restored.status == "held"
    run_all(services)
    assert snapshot(services) == before
    assert list(held(services)) == [import_id]
    accept_imports(services.database, [import_id])
    run_all(services)
    accepted = with_ids(services)
    revert_imports(services.database, [import_id])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 30
    restore_imports(services.database, [import_id])  # accepted once, it is not held again
    run_all(services)
    assert with_ids(services) == accepted
    assert_sound(services)


def test_shops_that_only_a_held_import_names_are_gone_until_it_is_accepted(
    services: Services, prepare: Prepare
) -> None:
    prepare(load_thirty)
    import_id = land_and_run(services, [*orders(25, amount=None), *orders(2, 90, shop="new")])
    assert list(held(services)) == [import_id]
    assert scalar(services, "SELECT count(*) FROM shop_configs") == 1
    accept_imports(services.database, [import_id])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM shop_configs") == 2
    assert scalar(services, "SELECT count(*) FROM orders") == 32
    assert_sound(services)


def test_rows_that_orders_processed_before_are_not_judged_again(services: Services, prepare: Prepare) -> None:
    """As after `shops set`, a replay or a release with other rules."""
    prepare(load_thirty)
    import_id = land_and_run(services, orders(30, updated_at="2024-02-01 10:00"))
    query(services, "UPDATE raw_orders SET customer_name = NULL WHERE import_id = :id", id=import_id)
    run_all(services, full_refresh=True)
    assert held(services) == {}
    assert scalar(services, "SELECT count(*) FROM business_leads") == 0


# --- what tells of it -----------------------------------------------------------------------------------------------


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments])


@pytest.mark.slow
def test_a_run_that_holds_an_import_fails_one_check_once_and_names_the_import(
    services: Services, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    land(services, orders(30))
    run_in_process(settings, build_defs)
    with open_instance(settings) as instance:
        assert "from now on" in tick(instance)
        import_id = land(services, orders(22, customer_name=None))
        land(services, orders(3, 90))
        report = run_in_process(settings, build_defs)
        assert (report.status, report.failed_checks) == ("failed", ("orders:imports_pass_the_brake",))
        assert (report.assets["orders"]["status"], report.assets["orders"]["inserted"]) == ("success", 3)
        assert report.assets["leads"]["status"] == "success"
        show_report(report)
        message = (
            f"test is held (22 orders, import {import_id}): it would take the customer, the amount or the time from 22"
            " of 30 orders and leave 22 of 30 leads without orders."
        )
        assert message in " ".join(capfd.readouterr().err.split())
        (record,) = report_dict(report)["held_imports"]
        assert (record["import_id"], record["rows"]) == (str(import_id), 22)
        assert record["would_remove"]["business_leads"] == {"removed": 22, "rows": 30}
        event = instance.get_latest_materialization_event(dg.AssetKey("orders"))
        assert event is not None
        assert event.asset_materialization is not None
        assert str(event.asset_materialization.metadata["held_imports"].value).startswith(message)
        assert tick(instance) == "0 alerts sent.", "the import has an alert of its own"
        assert run_in_process(settings, build_defs).status == "success"
        state = read_health(services.database, instance)
    assert query(services, "SELECT * FROM etl_work") == []  # so no sensor asks for a run
    assert state.records is not None
    assert [(one.asset, one.check) for one in state.records.failed_checks] == [("orders", "no_import_is_held")]
    (need,) = find_needs(state)
    assert (need.kind, need.severity, need.import_id) == ("import_held", "error", import_id)
    page = health_page(state, [need], Links(web_url="https://web.example.com", public_url=None))
    assert f"https://web.example.com/imports/{import_id}" in page
    assert summary(state, [need]).endswith("1 held imports · 1 failed checks")


def tick(instance: dg.DagsterInstance) -> str:
    """Evaluate the sensor of failed checks, with the cursor of its last tick."""
    defs = build_defs()
    key = "test:brake"
    cursor = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    with dg.build_sensor_context(instance=instance, definitions=defs, cursor=cursor) as context:
        data = notify_failed_checks.evaluate_tick(context)
    instance.daemon_cursor_storage.set_cursor_values({key: data.cursor or ""})
    return data.skip_message or ""


def test_each_held_import_causes_one_alert(services: Services, prepare: Prepare) -> None:
    """Two runs in a row hold imports, and no run passes in between."""
    prepare(load_thirty)
    before = land_and_run(services, orders(22, customer_name=None))
    with web_server() as receiver:
        services.database.settings = services.database.settings.model_copy(
            update={"notify_webhook_url": SecretStr(receiver.url), "public_url": "https://etl.example.com"}
        )
        ticks = held_import_ticks(services)
        assert next(ticks) == "Started: watches imports that are held from now on."
        first = land_and_run(services, orders(23, customer_name=None))
        assert [next(ticks), next(ticks)] == ["1 alerts sent.", "0 alerts sent."]
        second = land_and_run(services, orders(24, amount=None))
        third = land_and_run(services, orders(25, items=None))
        receiver.answers = [200, 404]
        assert next(ticks).startswith("1 alerts sent. webhook failed")
        assert [next(ticks), next(ticks)] == ["1 alerts sent.", "0 alerts sent."]
        revert_imports(services.database, [first])
        assert next(ticks) == "0 alerts sent."
        restore_imports(services.database, [first])
        accept_imports(services.database, [second])
        assert held(services).keys() == {before, first, third}
        assert next(ticks) == "0 alerts sent."
    assert [one["title"] for one in receiver.received] == [
        f"Import {str(one)[:8]} is held" for one in (first, second, third, third)
    ]
    got = receiver.received[0]
    assert (got["kind"], got["asset"], got["run_id"], got["url"]) == ("import_held", "orders", None, None)
    assert got["detail"].startswith(f"test is held (23 orders, import {first}): it would take the customer")


def held_import_ticks(services: Services) -> Iterator[str]:
    """Evaluate the sensor of held imports, each time with the cursor of its last tick."""
    cursor: str | None = None
    while True:
        with dg.build_sensor_context(cursor=cursor, resources={"database": services.database}) as context:
            data = notify_held_imports.evaluate_tick(context)
        cursor = data.cursor
        yield data.skip_message or ""


def test_commands_show_what_is_held_and_accept_it(services: Services, prepare: Prepare) -> None:
    prepare(load_thirty)
    import_id = land_and_run(services, orders(22, customer_name=None, amount=None))
    (shown, _) = json.loads(call("imports", "list", "--json").stdout)["imports"]
    assert (shown["import_id"], shown["status"]) == (str(import_id), "held")
    detail = json.loads(call("imports", "show", str(import_id), "--json").stdout)
    assert detail["import"]["would_remove"]["orders"] == {"removed": 22, "rows": 30}
    assert {fate: count for fate, count in detail["rows"].items() if count} == {"held": 22}
    assert "22 of 30 rows of orders" in call("imports", "show", str(import_id)).stderr
    status = json.loads(call("status", "--json").stdout)
    assert (status["held"]["imports"], status["held"]["rows"]) == (1, 22)
    assert status["pending"]["orders"]["rows"] == 0
    assert str(import_id) in call("status").stderr
    refused = call("imports", "restore", str(import_id), "--no-run")
    assert (refused.exit_code, "is held and not reverted" in refused.stderr) == (2, True)
    result = call("imports", "accept", str(import_id)[:8], "--no-run", "--json")
    (accepted,) = json.loads(result.stdout)["imports"]
    assert (result.exit_code, accepted["status"], accepted["is_changed"]) == (0, "completed", True)
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 8
    reverting = call("imports", "revert", str(import_id), "--no-run")
    assert "22 of 30 orders fall to their newest other version" in reverting.stderr


@pytest.mark.slow
def test_the_job_accepts(services: Services, prepare: Prepare) -> None:
    prepare(load_thirty)
    import_id = land_and_run(services, orders(22, customer_name=None))
    found = metadata(run_job(services, "accept_import", import_ids=[str(import_id)]))
    assert "pending" in str(found["next"].value)
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 8


# --- kills ----------------------------------------------------------------------------------------------------------


class _Killed(BaseException):
    """End of the process."""


def test_a_run_that_is_killed_at_any_statement_holds_in_the_next_run_and_loses_nothing(services: Services) -> None:
    with_batch_size(services, 10)
    land_and_run(services, orders(40))
    before = snapshot(services)
    bad = land(services, orders(30, customer_name=None))
    run_asset("shop", services)
    after, statements = 1, 0
    while True:
        left = [after]

        def kill(*_: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise _Killed

        sa.event.listen(services.database.engine, "before_cursor_execute", kill)
        try:
            run_asset("orders", services)
        except _Killed:
            statements += 1
        else:
            break
        finally:
            sa.event.remove(services.database.engine, "before_cursor_execute", kill)
        after += 3
    assert statements > 5
    run_all(services)
    assert list(held(services)) == [bad]
    assert snapshot(services) == before
    assert_sound(services)


def test_parts_of_a_bisected_batch_that_are_committed_are_taken_back(services: Services) -> None:
    land_and_run(services, orders(60))
    before = comparable(services)
    query(
        services,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$",
    )
    query(
        services,
        "CREATE TRIGGER refuse BEFORE INSERT ON order_types FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with_batch_size(services, 20)  # so the first of three buckets fails before the import is judged
    odd, *good = orders(15, amount="7")
    bad = land(services, [odd | {"order_type": "Odd"}, *good, *orders(30, 16, customer_name=None)])
    run_asset("shop", services)
    run_asset("orders", services)
    assert list(held(services)) == [bad]
    assert scalar(services, "SELECT count(*) FROM etl_batches WHERE asset = 'orders'") > 1  # parts were committed
    run_all(services)
    assert comparable(services) == before
    assert query(services, "SELECT * FROM quarantine WHERE resolved_at IS NULL") == []
    query(services, "DROP TRIGGER refuse ON order_types")
    accept_imports(services.database, [bad])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders WHERE amount = 7") == 15
    assert scalar(services, "SELECT count(*) FROM business_leads") == 30
    assert_sound(services)


# --- the source that once deleted nearly all leads ------------------------------------------------------------------


def test_a_source_that_loses_the_customer_of_88_of_89_orders_is_held_once(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt column, with the check of columns switched off."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, buyer TEXT, total TEXT, ordered_at TEXT)")
        rows = [(number, f"Kim {number}", "5", "2024-01-01 00:00:00") for number in range(1, 90)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
    monkeypatch.setenv("SHOP_DB_URL", f"sqlite:///{file}")
    pull(services.database, source("lite", "SHOP_DB_URL", table="orders", changes="reconcile"))
    run_all(services)
    before = with_ids(services)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 89
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM orders WHERE id = 1")  # so the source brings nothing more of this one
    monkeypatch.setattr(session, "_check_mapped", lambda *_: None)
    misspelt = {"columns": {**MAPPING["columns"], "customer_name": "buyr"}}
    pull(services.database, source("lite", "SHOP_DB_URL", table="orders", changes="reconcile", mapping=misspelt))
    run_all(services)
    ((import_id, tables),) = held(services).items()
    assert tables == {"orders": {"removed": 88, "rows": 89}, "business_leads": {"removed": 88, "rows": 89}}
    assert with_ids(services) == before
    assert_sound(services)
    accept_imports(services.database, [import_id])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 1
    revert_imports(services.database, [import_id])
    run_all(services)
    assert with_ids(services) == before
    assert_sound(services)
