"""Reverts and restores of imports: afterwards all tables are what they would be without, or again with them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import polars as pl
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.leads.history import read_lead
from etl_assets.leads.transform import attach_orders, with_reverted
from etl_assets.ledger.narrow_ranges import narrow_ranges
from etl_assets.orders.transform import ORDER_SCHEMA, compare_anew
from etl_assets.pipeline.runner import run_step
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.spreadsheet import export_quarantine
from etl_assets.raw_orders.importing import import_file
from etl_assets.reverts.imports import RevertError, restore_imports, revert_imports
from etl_assets.run.registry import STEPS, run_asset
from etl_assets.shop.configure import set_shop
from etl_assets.sources.pull import pull, reconcile
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.literal_frames import january
from etl_assets_tests.helpers.pipeline import (
    PRESET,
    comparable,
    land,
    query,
    raw_fields,
    run_all,
    scalar,
    snapshot,
)
from etl_assets_tests.helpers.source_servers import source
from etl_assets_tests.helpers.wrapped_step import WrappedStep
from etl_assets_tests.test_lead_rules import leads, orders
from etl_assets_tests.test_lead_rules import order as lead_order
from etl_assets_tests.test_order_versions import version, versions
from etl_assets_tests.test_quarantine_jobs import failure, metadata, run_job

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

OF_SPEED: Final = ("within_time_limit", "near_recent_median")
LEAD: Final = "SELECT lead_id FROM business_leads"


def order(order_id: str | None, **fields: str | None) -> dict[str, str | None]:
    usual = {"customer_name": "Ann", "amount": "5", "items": "Mug*2", "ordered_at": "2024-01-05 10:00"}
    return raw_fields(order_id, **(usual | fields))


def revert(services: Services, *import_ids: UUID) -> None:
    revert_imports(services.database, import_ids)
    run_all(services)


def restore(services: Services, *import_ids: UUID) -> None:
    restore_imports(services.database, import_ids)
    run_all(services)


def land_and_run(services: Services, *rows: dict[str, str | None]) -> UUID:
    import_id = land(services, rows)
    run_all(services)
    return import_id


def with_ids(services: Services) -> dict[str, Any]:
    """All that a restore must bring back: the tables without history, the ids of shops, and what is open."""
    shops = {row["shop_id"]: row["shop_name"] for row in query(services, "SELECT * FROM shop_configs")}
    return comparable(services) | {"shop ids": shops, "open": open_rows(services)}


def open_rows(services: Services) -> set[tuple[str, int, str]]:
    return pipeline.read_tables(services).tables.open_quarantine


def resolutions(services: Services) -> dict[tuple[str, int], str | None]:
    return {(row["asset"], row["raw_id"]): row["resolution"] for row in query(services, "SELECT * FROM quarantine")}


def amounts(services: Services) -> dict[str, int]:
    return {row["order_id"]: int(row["amount"]) for row in query(services, "SELECT order_id, amount FROM orders")}


def assert_sound(services: Services) -> None:
    """The checks of whole tables hold, nothing is pending, and a full refresh changes nothing."""
    for check in CHECKS:
        if check.severity == "error" and check.name not in OF_SPEED:
            outcome = run_check(services.database, check)
            assert outcome.passed, (check.asset, check.name, outcome.violations)
    assert query(services, "SELECT * FROM etl_work") == []
    before = snapshot(services)
    run_all(services, full_refresh=True)
    assert snapshot(services) == before


def count_rows(services: Services) -> dict[str, int]:
    return {table: scalar(services, f"SELECT count(*) FROM {table}") for table in pipeline.TABLES}  # noqa: S608  # ours


def correct(services: Services, **fields: str) -> UUID:
    """Correct the one open row, and run all."""
    (entry,) = query(services, "SELECT quarantine_id FROM quarantine WHERE resolved_at IS NULL")
    rows = build_corrections(services.database, [entry | fields])
    (landed,) = import_corrections(services.database, rows, "corrections").imports
    run_all(services)
    return landed.import_id


# --- rules ----------------------------------------------------------------------------------------------------------


def test_an_order_decided_anew_is_what_its_newest_version_says_whatever_is_stored() -> None:
    newest = versions(version("1", 5), version("2", 6), version("3", 7), version("4", 8, platform_order_id="x"))
    stored = versions(version("1", 5), version("2", 9), version("4", 8, platform_order_id="y"))
    decided = compare_anew(newest, stored).sort("order_id")
    assert decided["change"].to_list() == ["unchanged", "updated", "inserted", "updated"]
    assert decided["stored_raw_id"].to_list() == [5, 9, None, 8]
    newer = compare_anew(versions(version("1", 1)), versions(version("1", 2, january(2), amount=Decimal(1))))
    assert newer.select(*ORDER_SCHEMA).rows() == versions(version("1", 1)).rows()


@pytest.mark.parametrize(
    ("raw_ids", "at_most", "ranges"),
    [
        pytest.param([], 3, [], id="none"),
        pytest.param([7], 3, [(7, 7)], id="one"),
        pytest.param([5, 3, 4, 4], 3, [(3, 5)], id="close together"),
        pytest.param([1, 2, 9], 3, [(1, 2), (9, 9)], id="a gap"),
        pytest.param([1, 3, 100, 104, 900], 3, [(1, 3), (100, 104), (900, 900)], id="the widest gaps are left out"),
        pytest.param([1, 11, 21, 31], 2, [(1, 31)], id="gaps alike"),
    ],
)
def test_ranges_leave_out_the_widest_gaps(raw_ids: list[int], at_most: int, ranges: list[tuple[int, int]]) -> None:
    made = narrow_ranges(4, pl.Series(raw_ids, dtype=pl.Int64), at_most)
    assert [(one.low, one.high) for one in made] == ranges


@pytest.mark.parametrize(("stage", "number"), [("WON", 0), ("COLD", 0), ("OPEN", 0)])
def test_an_order_returns_to_the_lead_that_a_revert_took_it_out_of(stage: str, number: int) -> None:
    former = pl.DataFrame({"shop_id": [7], "order_id": ["1"], "lead_id": [f"ann's lead {number}"], "strategy": ["new"]})
    former = former.cast({"shop_id": pl.Int32})
    found = attach_orders(orders(lead_order("1"), lead_order("2")), leads(stage), former)
    joined = dict(found.attached.select("order_id", "lead_id").iter_rows())
    assert joined["1"] == "ann's lead 0"
    assert (joined["2"] == "ann's lead 0") == (stage != "WON")
    alone = attach_orders(orders(lead_order("1")), leads(stage), former)
    assert (alone.reopened.height, alone.new_leads.height) == (0, 0)
    moved = attach_orders(orders(lead_order("1", "bob")), leads(stage), former)
    assert moved.attached["lead_id"].to_list() != ["ann's lead 0"]


def test_a_deleted_order_leaves_its_lead_because_of_the_revert() -> None:
    gone = lead_order("1", None, lead_id="ann's lead 0")
    cancelled = lead_order("2", is_cancelled=True, lead_id="ann's lead 0")
    found = attach_orders(orders(gone, cancelled), leads("OPEN"))
    deleted = pl.DataFrame({"shop_id": [7], "order_id": ["1"]}, schema_overrides={"shop_id": pl.Int32})
    reasons = with_reverted(found, deleted).detached.sort("order_id")["reason"].to_list()
    assert reasons == ["reverted", "cancelled"]


# --- orders ---------------------------------------------------------------------------------------------------------


def test_a_reverted_import_leaves_nothing_in_any_table_and_a_restore_brings_all_back(services: Services) -> None:
    first = land_and_run(
        services, order("1"), order("2", customer_name="Bob", processes="Print:2"), order("3", amount="x")
    )
    before = with_ids(services)
    assert 0 not in count_rows(services).values()
    revert(services, first)
    assert count_rows(services) == dict.fromkeys(pipeline.TABLES, 0)
    assert resolutions(services) == {("orders", 3): "reverted"}
    assert query(services, "SELECT status, row_count FROM import_tasks") == [{"status": "reverted", "row_count": 3}]
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 3
    assert_sound(services)
    restore(services, first)
    assert with_ids(services) == before
    assert_sound(services)


def test_large_imports_are_read_in_bulk_as_small_ones_are(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.database.database.FEW_ROWS", 0)
    land_and_run(services, order("1", processes="Print:2"))
    reverted = land_and_run(services, order("1", amount="6", items="Cup*3"), order("2", amount="x"), order("3"))
    before = with_ids(services)
    revert(services, reverted)
    assert amounts(services) == {"1": 5}
    restore(services, reverted)
    assert with_ids(services) == before
    assert_sound(services)


def test_an_order_falls_to_its_newest_other_version_however_its_id_is_written(services: Services) -> None:
    land(services, [order("1", updated_at="2024-01-01 00:00", amount="1", items="Mug*1")])
    newest = order("1", updated_at="2024-01-03 00:00", amount="3", items="Cup*3", customer_name="Bob")
    reverted = land(services, [newest])
    land(services, [order('\u2003="１"\t', updated_at="2024-01-02 00:00", amount="2", items="Pen*2")])
    run_all(services)
    before = with_ids(services)
    revert(services, reverted)
    assert query(services, "SELECT amount::int, raw_id, customer_nickname FROM orders") == [
        {"amount": 2, "raw_id": 3, "customer_nickname": "Ann"}
    ]
    assert [row["product"] for row in query(services, "SELECT * FROM order_items")] == ["Pen"]
    assert [row["customer_nickname"] for row in query(services, "SELECT * FROM customers")] == ["Ann"]
    assert scalar(services, "SELECT sum(total_amount)::int FROM business_leads") == 2
    assert_sound(services)
    restore(services, reverted)
    assert with_ids(services) == before
    assert_sound(services)


def test_a_version_that_came_before_or_repeats_another_leaves_the_order_as_it_is(services: Services) -> None:
    old = land_and_run(services, order("1"))
    again = land_and_run(services, order("1"))
    tables = comparable(services)
    revert(services, old)
    assert comparable(services) == tables
    assert scalar(services, "SELECT raw_id FROM orders") == 2
    revert(services, again)
    assert amounts(services) == {}
    restore(services, old)
    assert comparable(services) == tables
    assert_sound(services)


def test_a_rerun_changes_nothing_of_a_restored_order_of_which_an_older_version_came_later(services: Services) -> None:
    newest = land_and_run(services, order("1", updated_at="2024-02-02 00:00"), order(None))
    revert(services, newest)
    restore(services, newest)
    land_and_run(services, order("1", updated_at="2024-02-01 00:00", amount="6"))
    assert amounts(services) == {"1": 5}
    assert_sound(services)


def test_a_rerun_leaves_rows_resolved_that_an_older_version_has_overtaken(services: Services) -> None:
    """The older version is not remembered with the order, as no earlier row was pending when it came."""
    newest = land_and_run(services, order("1", updated_at="2024-02-02 00:00"))
    revert(services, newest)
    restore(services, newest)
    land_and_run(services, order("1", amount="many"))
    older = land_and_run(services, order("1", updated_at="2024-02-01 00:00", amount="6"))
    assert resolutions(services) == {("orders", 2): "superseded"}
    assert_sound(services)
    revert(services, older)
    assert resolutions(services) == {("orders", 2): None}
    assert_sound(services)
    restore(services, older)
    assert resolutions(services) == {("orders", 2): "superseded"}
    assert_sound(services)


def test_an_import_of_which_no_row_was_processed_yet_is_never_processed(services: Services) -> None:
    reverted = land(services, [order("1", shop="other"), order("2", amount="x")])
    land(services, [order("1")])
    revert(services, reverted)
    assert amounts(services) == {"1": 5}
    assert query(services, "SELECT shop_name FROM shop_configs") == [{"shop_name": "s"}]
    assert resolutions(services) == {}
    restore(services, reverted)
    assert scalar(services, "SELECT count(*) FROM orders") == 2
    assert open_rows(services) == {("orders", 2, "BAD_AMOUNT")}
    assert_sound(services)


def test_reverts_and_restores_may_be_repeated_and_follow_each_other_without_a_run(services: Services) -> None:
    first, second = land_and_run(services, order("1")), land_and_run(services, order("1", amount="6"), order("2"))
    before = with_ids(services)
    assert [one.is_changed for one in revert_imports(services.database, [first, second])] == [True, True]
    assert [one.is_changed for one in revert_imports(services.database, [second])] == [False]
    run_asset("orders", services)
    restore_imports(services.database, [first])
    run_asset("shop", services)
    run_asset("orders", services)
    assert amounts(services) == {"1": 5}
    restore(services, second)
    assert with_ids(services) == before
    assert_sound(services)


def test_an_order_that_comes_again_before_its_deletion_reached_the_others_keeps_its_lines_and_lead(
    services: Services,
) -> None:
    reverted = land_and_run(services, order("1", items="Mug*1"))
    before = with_ids(services)
    for steps in range(1, len(STEPS)):
        revert_imports(services.database, [reverted])
        for asset in list(STEPS)[:steps]:
            run_asset(asset, services)
        restore(services, reverted)
        assert with_ids(services) == before
        assert_sound(services)


def test_a_full_refresh_leaves_pending_reverts_to_be_done(services: Services) -> None:
    reverted, _ = land_and_run(services, order("1")), land_and_run(services, order("2"))
    revert_imports(services.database, [reverted])
    run_all(services, full_refresh=True)
    assert amounts(services) == {"2": 5}
    revert_imports(services.database, [reverted])
    assert_sound(services)
    land(services, [order("3")])
    restore_imports(services.database, [reverted])
    run_asset("shop", services)
    run_asset("orders", services)
    for asset in list(STEPS)[2:]:
        run_asset(asset, services, full_refresh=True)
    assert amounts(services) == {"1": 5, "2": 5, "3": 5}
    assert_sound(services)


@pytest.mark.parametrize("change", [revert_imports, restore_imports])
def test_a_batch_that_was_read_before_a_revert_is_read_again(services: Services, change: Any) -> None:
    first, second = land(services, [order("1", amount="1")]), land(services, [order("1", amount="2"), order("2")])
    if change is restore_imports:
        revert_imports(services.database, [second])

    class ChangedMeanwhile(WrappedStep):
        is_done = False

        def transform(self, *args: Any) -> Any:
            if not self.is_done:
                ChangedMeanwhile.is_done = True
                change(services.database, [second])
            return super().transform(*args)

    for asset, step in STEPS.items():
        ChangedMeanwhile.is_done = asset != "orders"
        run_step(ChangedMeanwhile(step), services)
    run_all(services)
    assert amounts(services) == ({"1": 1} if change is revert_imports else {"1": 2, "2": 5})
    assert {row["import_id"]: row["status"] for row in query(services, "SELECT * FROM import_tasks")}[first]
    assert_sound(services)


def test_the_platforms_id_of_a_reverted_import_no_longer_keeps_others_out(services: Services) -> None:
    first = land_and_run(services, order("1", platform_order_id="A", amount="1"))
    land_and_run(services, order("1", platform_order_id="B", amount="2"))
    assert open_rows(services) == {("orders", 2, "CONFLICTING_ORDER")}
    before = with_ids(services)
    revert(services, first)
    assert amounts(services) == {"1": 2}
    assert scalar(services, "SELECT platform_order_id FROM orders") == "B"
    assert open_rows(services) == set()
    restore(services, first)
    assert with_ids(services) == before
    assert_sound(services)


def test_a_revert_that_the_database_refuses_stays_pending(services: Services) -> None:
    reverted = land_and_run(services, order("1"), order("2"))
    query(
        services,
        "CREATE FUNCTION keep_orders() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'kept' USING ERRCODE = '23514'; END $$",
    )
    query(
        services,
        "CREATE TRIGGER keep_orders BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep_orders()",
    )
    revert_imports(services.database, [reverted])
    assert pipeline.run_all_whatever_fails(services) == ["orders"]
    assert amounts(services) == {"1": 5, "2": 5}
    query(services, "DROP TRIGGER keep_orders ON orders")
    query(services, "DROP FUNCTION keep_orders")
    run_all(services)
    assert amounts(services) == {}
    assert_sound(services)


# --- quarantine and corrections -------------------------------------------------------------------------------------


def test_rows_that_only_a_reverted_import_had_overtaken_are_open_again(services: Services) -> None:
    land_and_run(services, order("1", amount="x"), order("2", items="[{"))
    reverted = land_and_run(services, order("1"), order("2", items="Mug*1"))
    assert set(resolutions(services).values()) == {"superseded"}
    before = with_ids(services)
    revert(services, reverted)
    assert open_rows(services) == {("orders", 1, "BAD_AMOUNT"), ("order_items", 2, "BAD_ITEMS")}
    assert amounts(services) == {"2": 5}
    assert_sound(services)
    restore(services, reverted)
    assert with_ids(services) == before
    assert set(resolutions(services).values()) == {"superseded"}
    assert_sound(services)


def test_a_restored_version_that_came_before_resolves_the_bad_lines_of_the_one_that_counted(services: Services) -> None:
    newest = land_and_run(services, order("1", updated_at="2024-01-03 00:00"))
    revert(services, newest)
    land_and_run(services, order("1", updated_at="2024-01-02 00:00", items="[{"))
    assert open_rows(services) == {("order_items", 2, "BAD_ITEMS")}
    restore(services, newest)
    assert resolutions(services) == {("order_items", 2): "superseded"}
    revert(services, newest)
    assert open_rows(services) == {("order_items", 2, "BAD_ITEMS")}


def test_dismissed_rows_stay_dismissed(services: Services) -> None:
    reverted = land_and_run(services, order("1", amount="x"))
    query(services, "UPDATE quarantine SET resolved_at = now(), resolution = 'dismissed'")
    revert(services, reverted)
    restore(services, reverted)
    assert resolutions(services) == {("orders", 1): "dismissed"}


def test_a_reverted_correction_opens_the_row_that_it_had_corrected(services: Services) -> None:
    land_and_run(services, order("1", amount="x"))
    correction = correct(services, amount="7", order_id="9")
    assert amounts(services) == {"9": 7}
    before = with_ids(services)
    revert(services, correction)
    assert amounts(services) == {}
    assert open_rows(services) == {("orders", 1, "BAD_AMOUNT")}
    assert_sound(services)
    again = correct(services, amount="7", order_id="9")  # the same correction is new
    assert amounts(services) == {"9": 7}
    revert(services, again)
    restore(services, correction)
    assert with_ids(services) == before
    assert_sound(services)


def test_corrections_go_with_the_import_whose_rows_they_correct_and_no_others(services: Services) -> None:
    first = land(services, [order("1", amount="x")])
    land(services, [order("2", amount="y"), order("4", items="[{")])
    run_all(services)
    entries = query(services, "SELECT quarantine_id FROM quarantine ORDER BY raw_id")
    changes = [{"amount": "1"}, {"amount": "bad"}, {"items": "Cup*4"}]
    rows = build_corrections(
        services.database, [entry | change for entry, change in zip(entries, changes, strict=True)]
    )
    (landed,) = import_corrections(services.database, rows, "corrections").imports
    run_all(services)
    again = correct(services, amount="2")  # corrects the correction that was bad
    assert amounts(services) == {"1": 1, "2": 2, "4": 5}
    before = with_ids(services)
    (changed,) = revert_imports(services.database, [first])
    run_all(services)
    assert changed.corrections == 1
    assert amounts(services) == {"2": 2, "4": 5}
    assert open_rows(services) == set()
    assert_sound(services)
    (changed,) = revert_imports(services.database, [landed.import_id])
    run_all(services)
    assert changed.corrections == 1  # the one of its bad row goes with it
    assert amounts(services) == {"4": 5}
    assert open_rows(services) == {("orders", 2, "BAD_AMOUNT"), ("order_items", 3, "BAD_ITEMS")}
    restore(services, first)
    assert amounts(services) == {"4": 5}  # its correction is still reverted
    restore(services, landed.import_id)
    assert with_ids(services) == before
    revert(services, again)
    assert open_rows(services) == {("orders", 5, "BAD_AMOUNT")}
    assert_sound(services)


# --- shops ----------------------------------------------------------------------------------------------------------


def test_a_shop_goes_with_the_last_import_that_names_it_unless_users_have_changed_it(services: Services) -> None:
    reverted = land(services, [order(shop, shop=shop) for shop in ("alone", "set", "bad", "shared")])
    land(services, [order("9", shop="shared"), order("8", shop=" ｂad", amount="x")])
    run_all(services)
    set_shop(services.database, "set", None, {"shown_name": "Set"})
    before = with_ids(services)
    revert(services, reverted)
    assert {row["shop_name"] for row in query(services, "SELECT * FROM shop_configs")} == {"set", "bad", "shared"}
    assert_sound(services)
    restore(services, reverted)
    assert with_ids(services) == before
    assert query(services, "SELECT * FROM deleted_shops") == []


def test_a_shop_named_first_by_a_reverted_import_gets_the_time_zone_of_the_next(services: Services) -> None:
    wrong = land_and_run(services, order("1", currency="CNY"))
    london = PRESET.model_copy(update={"timezone": "Europe/London"})
    land(services, [order("1", currency="GBP"), order("2")], london)
    run_all(services)
    before = with_ids(services)
    revert(services, wrong)
    (shop,) = query(services, "SELECT currency, timezone FROM shop_configs")
    assert shop == {"currency": "GBP", "timezone": "Europe/London"}
    assert {row["ordered_at"].hour for row in query(services, "SELECT ordered_at FROM orders")} == {10}
    assert_sound(services)
    restore(services, wrong)
    assert with_ids(services) == before
    assert_sound(services)


def test_a_time_zone_that_a_user_set_stays(services: Services) -> None:
    reverted = land_and_run(services, order("1"))
    set_shop(services.database, "s", None, {"timezone": "Asia/Tokyo"})
    land_and_run(services, order("2"))
    revert(services, reverted)
    assert scalar(services, "SELECT timezone FROM shop_configs") == "Asia/Tokyo"


# --- leads ----------------------------------------------------------------------------------------------------------


def test_a_stage_that_users_set_stays_and_the_orders_come_back_to_their_lead(services: Services) -> None:
    reverted = land_and_run(services, order("1"))
    query(services, "UPDATE business_leads SET current_stage = 'WON'")
    before = with_ids(services)
    revert(services, reverted)
    (lead,) = query(services, "SELECT * FROM business_leads")
    assert (lead["current_stage"], lead["order_count"]) == ("WON", 0)
    assert count_rows(services) | {"shop_configs": 1} == dict.fromkeys(pipeline.TABLES, 0) | {
        "shop_configs": 1,
        "customers": 1,
        "business_leads": 1,
    }
    assert_sound(services)
    history = read_lead(services.database, str(lead["lead_id"]))["history"]
    assert ("left", "reverted") in [(row["what"], row["reason"]) for row in history]
    restore(services, reverted)
    assert with_ids(services) == before
    assert_sound(services)


def test_a_lead_keeps_the_orders_of_other_imports(services: Services) -> None:
    reverted = land_and_run(services, order("1", ordered_at="2024-01-01 10:00"))
    land_and_run(services, order("2", amount="7"))
    before = with_ids(services)
    revert(services, reverted)
    (lead,) = query(services, "SELECT order_count, total_amount::int AS total FROM business_leads")
    assert lead == {"order_count": 1, "total": 7}
    restore(services, reverted)
    assert with_ids(services) == before
    assert_sound(services)


# --- where imports come from ----------------------------------------------------------------------------------------


def test_a_file_of_the_inbox_is_imported_again_after_its_revert(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()

    def drop() -> list[UUID]:
        (folder / "a.csv").write_text("platform,shop,order_id\np,s,1\np,s,2\n", encoding="utf-8")
        taken = ingest_inbox(services.database, folder, settle_seconds=0)
        assert taken.problems == {}
        run_all(services)
        return [one.import_id for one in taken.imports]

    (first,) = drop()
    assert drop() == []
    revert(services, first)
    assert amounts_of(services) == []
    (second,) = drop()
    assert amounts_of(services) == ["1", "2"]
    assert drop() == []
    restore(services, first)
    revert(services, second)
    assert amounts_of(services) == ["1", "2"]
    assert_sound(services)


def test_the_same_file_counts_as_new_after_its_revert(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("platform,shop,order_id,customer_name,amount\np,s,1,Ann,5\np,s,2,Ann,x\n", encoding="utf-8")
    first = import_file(services.database, path, PRESET)
    run_all(services)
    before, counts = with_ids(services), count_rows(services)
    opened = before.pop("open")
    revert(services, first.import_id)
    again = import_file(services.database, path, PRESET)
    run_all(services)
    after = with_ids(services)
    assert [(asset, raw_id + 2, code) for asset, raw_id, code in opened] == [*after.pop("open")]
    assert after == before
    assert count_rows(services) == counts
    restore(services, first.import_id)
    revert(services, again.import_id)
    assert with_ids(services) == before | {"open": opened}
    assert_sound(services)


def test_rows_of_a_reverted_import_are_neither_exported_nor_replayed_nor_corrected(
    services: Services, tmp_path: Path
) -> None:
    bad = land_and_run(services, order("1", amount="x"), order("2", items="[{"))
    entries = query(services, "SELECT quarantine_id FROM quarantine ORDER BY 1")
    ids = [row["quarantine_id"] for row in entries]
    assert len(ids) == 2
    revert_imports(services.database, [bad])
    for _ in range(2):  # before the run that follows, and after it
        assert export_quarantine(services.database, tmp_path / "open.csv") == 0
        assert requeue(services.database, ids).resolved == tuple(ids)
        rows = build_corrections(services.database, [entry | {"amount": "7"} for entry in entries])
        assert import_corrections(services.database, rows, "corrections").imports == ()
        run_all(services)
        assert count_rows(services) == dict.fromkeys(pipeline.TABLES, 0)
    assert_sound(services)


def amounts_of(services: Services) -> list[str]:
    return [row["order_id"] for row in query(services, "SELECT order_id FROM orders ORDER BY 1")]


def test_what_was_pulled_from_a_source_can_be_pulled_again(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.db"
    monkeypatch.setenv("SHOP_DB_URL", f"sqlite:///{path}")

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, buyer TEXT, total TEXT, ordered_at TEXT)",
        "INSERT INTO orders (buyer) VALUES ('Ann'), ('Bob')",
    )
    described = source("lite", "SHOP_DB_URL", table="orders", changes="reconcile")
    first = pull(services.database, described).import_id
    execute("UPDATE orders SET buyer = NULL WHERE id = 1", "INSERT INTO orders (buyer) VALUES ('Cat')")
    wrong = pull(services.database, described).import_id
    run_all(services)
    assert first is not None
    assert wrong is not None
    revert(services, wrong)
    names = "SELECT order_id, customer_nickname AS name FROM orders ORDER BY 1"
    assert [row["name"] for row in query(services, names)] == ["Ann", "Bob"]
    execute("UPDATE orders SET buyer = 'Anna' WHERE id = 1")
    again = reconcile(services.database, described)
    run_all(services)
    assert again.landed == 2
    assert [row["name"] for row in query(services, names)] == ["Anna", "Bob", "Cat"]
    assert pull(services.database, described).landed == 0
    assert_sound(services)


# --- commands and jobs ----------------------------------------------------------------------------------------------


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["imports", *arguments])


def test_the_commands_revert_and_restore_and_leave_the_run_to_others_where_asked(services: Services) -> None:
    reverted = land_and_run(services, order("1"), order("2", amount="x"))
    result = call("revert", str(reverted)[:8], "--no-run", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["run"] is None
    assert answer["imports"] == [
        {
            "import_id": str(reverted), "source": "test", "status": "reverted", "rows": 2, "orders": 1,
            "corrections": 0, "is_changed": True,
        }
    ]  # fmt: skip
    assert amounts(services) == {"1": 5}
    run_all(services)
    assert amounts(services) == {}
    result = call("restore", str(reverted), "--no-run")
    assert (result.exit_code, "next run" in result.stderr) == (0, True)
    actions = query(services, "SELECT action, target, before, after FROM user_actions ORDER BY action_id")
    assert [row["action"] for row in actions] == ["imports revert", "imports restore"]
    assert (actions[0]["target"], actions[0]["before"], actions[0]["after"]) == (
        str(reverted),
        {"status": "completed"},
        {"status": "reverted"},
    )
    assert "Nothing was to be changed" in call("restore", str(reverted), "--no-run").stderr


@pytest.mark.slow
def test_the_command_runs_what_follows(services: Services) -> None:
    reverted = land_and_run(services, order("1"))
    result = call("revert", str(reverted), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["run"]["assets"]["orders"]["deleted"] == 1
    assert count_rows(services) == dict.fromkeys(pipeline.TABLES, 0)


def test_imports_without_rows_can_not_be_reverted(services: Services) -> None:
    query(services, "INSERT INTO import_tasks (import_id, source, status) VALUES (:id, 'x', 'failed')", id=uuid4())
    failed = scalar(services, "SELECT import_id FROM import_tasks")
    good = land(services, [order("1")])
    with pytest.raises(RevertError, match=str(failed)):
        revert_imports(services.database, [good, failed])
    with pytest.raises(RevertError, match="No import"):
        restore_imports(services.database, [UUID(int=7)])
    assert scalar(services, "SELECT status FROM import_tasks WHERE import_id = :id", id=good) == "completed"
    assert call("revert", "zzz").exit_code == 2


@pytest.mark.slow
def test_the_jobs_revert_and_restore(services: Services) -> None:
    reverted = land_and_run(services, order("1"))
    found = metadata(run_job(services, "revert_import", import_ids=[str(reverted)]))
    assert "pending" in str(found["next"].value)
    run_all(services)
    assert amounts(services) == {}
    metadata(run_job(services, "restore_import", import_ids=[str(reverted)[:10]]))
    run_all(services)
    assert amounts(services) == {"1": 5}
    assert "no id" in failure(run_job(services, "revert_import", import_ids=["zzz"]))
    assert "No import is named" in failure(run_job(services, "restore_import", import_ids=[]))


@pytest.mark.parametrize("runs", [[], ["shop"], ["shop", "orders"]])
def test_bad_lines_are_open_again_after_a_restore_before_the_revert_was_processed(
    services: Services, runs: list[Any]
) -> None:
    bad = land_and_run(services, order("1", items="[{"), order("2", processes="[{"))
    before = with_ids(services)
    assert len(before["open"]) == 2
    revert_imports(services.database, [bad])
    for asset in runs:
        run_asset(asset, services)
    restore(services, bad)
    assert with_ids(services) == before
    assert_sound(services)
