"""The Dagster side: definitions, a recorded run, checks that can fail, the asynchronous functions."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import socket
from typing import TYPE_CHECKING, Final

import dagster as dg
import pytest
import sqlalchemy as sa

from etl_assets.asset_graph import LEAF_ASSETS, SPECS, STEP_ASSETS, SUBJECT_OF
from etl_assets.batch_processor import BatchProcessor
from etl_assets.cli.runs import report_dict, show_report
from etl_assets.database.database import Database
from etl_assets.definitions import build_defs
from etl_assets.errors import BatchFailedError, ConcurrentRunError
from etl_assets.health.page import table_sections
from etl_assets.health.tables import read_table_state
from etl_assets.ledger import queue
from etl_assets.ledger.queue import RawIdRange
from etl_assets.orchestration.assets import GROUP
from etl_assets.orchestration.health_records import read_check_results
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.orphaned_runs import fail_orphaned_runs
from etl_assets.orchestration.run_in_process import run_in_process
from etl_assets.orchestration.run_tags import PROCESS_TAG
from etl_assets.pipeline.protocol import Services
from etl_assets.presets.catalog import get_preset
from etl_assets.quality.checks import CHECKS, Check
from etl_assets.quality.running import run_check
from etl_assets.raw_orders.importing import import_file
from etl_assets.run.async_runs import run_etl_orders, run_etl_shop
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers.in_process_reader import FilesHere
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.asset_graph import AssetName
    from etl_assets.settings import Settings

ORDERS = """\
platform,shop,order_id,customer_name,order_status,order_type,amount,currency,ordered_at,items,processes
etsy,North,1,Ann,paid,sample,10.50,EUR,2026-01-02 10:00:00,Mug*2,print:front
etsy,North,2,Ann,paid,bulk,100,EUR,2026-01-03 10:00:00,Mug*20,
etsy,North,3,Ben,cancelled,bulk,7,EUR,2026-01-03 11:00:00,Cap,
etsy,North,4,Cid,paid,bulk,not a number,EUR,2026-01-03 12:00:00,Cap,
"""


@pytest.fixture
def landed(services: Services, tmp_path: Path) -> Services:
    """Four orders, one of them bad, landed and pending."""
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS, encoding="utf-8")
    assert import_file(services.database, path, get_preset("generic"), reader=FilesHere()).status == "completed"
    return services


def _break(services: Services, *statements: str) -> None:
    with services.database.transaction() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def _check(name: str, asset: str) -> Check:
    return next(check for check in CHECKS if (check.name, check.asset) == (name, asset))


CONTRACT: Final[dict[str, set[str]]] = {
    "raw_orders": set(),
    "shop": {"raw_orders"},
    "orders": {"raw_orders", "shop"},
    "order_items": {"orders"},
    "process_items": {"order_items"},
    "customers": {"shop", "orders"},
    "leads": {"customers", "orders"},
}
"""The assets that other programs rely on, and the arrows between them."""


def test_dagster_has_the_assets_and_arrows_of_the_contract_and_of_the_asset_graph() -> None:
    graph = build_defs().resolve_asset_graph()
    arrows = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert {asset: arrows[asset] for asset in CONTRACT} == CONTRACT
    assert list(SPECS)[: len(CONTRACT)] == list(CONTRACT)
    declared: dict[str, set[str]] = {asset: set(spec.deps) for asset, spec in SPECS.items()}
    assert arrows == {**declared, "pipeline_health": set(LEAF_ASSETS)}
    assert {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).group_name == GROUP} == {
        *SPECS
    }


def test_every_asset_says_which_table_it_is_and_what_it_answers() -> None:
    tables = {str(asset): spec.table for asset, spec in SPECS.items()}
    for spec in build_defs().resolve_all_asset_specs():
        asset = spec.key.to_user_string()
        if asset != "pipeline_health":
            assert spec.metadata["dagster/table_name"] == f"etl.{tables[asset]}"
            assert spec.metadata["dagster/column_schema"].columns
        assert spec.description is not None
        assert "Answers:" in spec.description
        assert spec.owners
        assert "postgres" in spec.kinds


@pytest.mark.slow
def test_a_run_is_recorded_with_counts_metadata_and_check_results(landed: Services, settings: Settings) -> None:
    seen: list[tuple[str, int]] = []
    report = run_in_process(settings, build_defs, on_progress=lambda asset, rows: seen.append((asset, rows)))
    assert report.status == "partial_success"
    orders = report.assets["orders"]
    assert (orders["input_rows"], orders["inserted"], orders["quarantined"]) == (4, 3, 1)
    assert ("orders", 4) in seen
    with open_instance(settings) as instance:
        run = instance.get_run_by_id(report.run_id)
        event = instance.get_latest_materialization_event(dg.AssetKey("orders"))
    assert run is not None
    assert run.is_success
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["dagster/row_count"].value == 3
    assert metadata["rows_quarantined"].value == 1
    assert "rows_per_second" in metadata
    assert "sample_rows" in metadata
    with landed.database.transaction() as connection:
        assert (
            connection.execute(sa.text("SELECT DISTINCT run_id FROM etl_batches WHERE asset = 'orders'")).scalar_one()
            == report.run_id
        )


@pytest.mark.slow
def test_an_import_of_which_no_order_can_be_read_fails_the_run_that_read_it(
    landed: Services, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    land(landed, [raw_fields(str(number), ordered_at=f"{number}/15/26") for number in range(1, 4)])
    land(landed, [raw_fields(None), raw_fields(None), raw_fields("5", amount="five")])
    report = run_in_process(settings, build_defs)
    assert (report.status, report.failed_checks) == ("failed", ("orders:imports_are_readable",))
    assert (report.assets["orders"]["status"], report.assets["leads"]["status"]) == ("partial_success", "success")
    show_report(report)
    said = capfd.readouterr().err
    assert "0 of 3 orders of test could be read: ordered_at looks like 9/99/99, try '%m/%d/%y'" in said
    assert "1 of 4 orders of" in said
    assert "could not be read: amount looks like aaa a aaaaaa." in said
    assert "0 of 3 orders of test could be read: order_id: the row has none." in said
    unreadable, _ = report_dict(report)["unreadable_imports"]
    assert (unreadable["source"], unreadable["rows"], unreadable["unreadable"]) == ("test", 3, 3)
    with open_instance(settings) as instance:
        failed = {(one.asset, one.check): one for one in read_check_results(instance) if not one.passed}
    result = failed["orders", "imports_are_readable"]
    assert (result.severity, result.run_id) == ("error", report.run_id)
    state = read_table_state(landed.database)
    assert [(one.rows, one.unreadable) for one in state.quarantined_imports] == [(3, 3), (3, 3), (4, 1)]
    assert (
        "| test | 3 | 3 |"
        in table_sections(state, dt.datetime.now(dt.UTC))[
            "Imports of the last 7 days with orders that could not be read"
        ]
    )
    assert run_in_process(settings, build_defs).status == "success"


@pytest.mark.slow
def test_only_runs_what_was_asked_for(landed: Services, settings: Settings) -> None:
    report = run_in_process(settings, build_defs, only=["shop"])
    assert list(report.assets) == ["shop"]
    with landed.database.transaction() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM orders")).scalar_one() == 0


@pytest.mark.parametrize(
    ("asset", "name", "statements"),
    [
        ("orders", "row_count_equation", ["UPDATE etl_batches SET inserted = inserted + 1 WHERE asset = 'orders'"]),
        ("orders", "table_matches_ledger", ["DELETE FROM orders WHERE order_id = '1'"]),
        (
            "orders",
            "unique_keys",
            ["ALTER TABLE orders DROP CONSTRAINT pk_orders", "INSERT INTO orders SELECT * FROM orders LIMIT 1"],
        ),
        ("order_items", "no_orphans_of_orders", ["DELETE FROM orders WHERE order_id = '1'"]),
        ("process_items", "no_orphans_of_orders", ["DELETE FROM orders WHERE order_id = '1'"]),
        ("customers", "no_orphans_of_shop_configs", ["DELETE FROM shop_configs"]),
        ("leads", "no_orphans_of_customers", ["DELETE FROM customers"]),
        ("leads", "no_orphans_of_business_leads", ["DELETE FROM business_leads"]),
        ("leads", "no_orphans_of_orders", ["DELETE FROM orders WHERE order_id = '1'"]),
        (
            "leads",
            "one_active_lead_per_customer",
            [
                "DROP INDEX uq_business_leads_active_customer",
                "UPDATE business_leads SET customer_global_id = '00000000-0000-0000-0000-000000000000'",
                (
                    'INSERT INTO business_leads SELECT (jsonb_populate_record(l, \'{"lead_id":'
                    ' "00000000-0000-0000-0000-000000000001"}\')).* FROM business_leads l LIMIT 1'
                ),
            ],
        ),
        ("leads", "figures_equal_orders", ["UPDATE business_leads SET total_amount = total_amount + 1"]),
        ("leads", "figures_equal_orders", ["UPDATE business_leads SET sample_amount = sample_amount + 1"]),
        ("leads", "figures_equal_orders", ["UPDATE business_leads SET bulk_count = bulk_count + 1"]),
        ("leads", "figures_equal_orders", ["UPDATE business_leads SET refunded_amount = refunded_amount + 1"]),
        ("orders", "order_types_are_mapped", []),
        ("orders", "no_open_quarantine", []),
        ("leads", "within_time_limit", ["UPDATE etl_batches SET duration = 11"]),
        (
            "orders",
            "near_recent_median",
            [
                (
                    "INSERT INTO etl_batches (asset, import_ids, status, input_rows, inserted, duration, started_at)"
                    " SELECT 'orders', '{}', 'success', 1000, 1000, 0.1 + (i = 9)::int, now()"
                    " FROM generate_series(1, 9) i"
                )
            ],
        ),
    ],
)
def test_a_check_fails_when_what_it_guards_is_broken(
    landed: Services, asset: str, name: str, statements: list[str]
) -> None:
    for step in STEPS:
        run_asset(step, landed)
    check = _check(name, asset)
    if statements:
        assert run_check(landed.database, check).passed
    _break(landed, *statements)
    assert not run_check(landed.database, check).passed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sold_as", "mapped_as"),
    [
        ("ｂｕｌｋ", "Bulk"),
        ("sample", " ＳＡＭＰＬＥ\u3000"),
        ("ÄNDERUNG", "änderung"),
        ('="1"', "1"),
        ("大货", "大货"),
    ],
)
def test_an_order_type_is_mapped_to_the_check_whenever_it_is_to_the_rule(
    services: Services, sold_as: str, mapped_as: str
) -> None:
    """A mapping that somebody types in by SQL is compared as the rule compares it."""
    land(services, [raw_fields("1", order_type=sold_as), raw_fields("2", order_type="other")])
    query(services, "INSERT INTO order_type_mappings VALUES (:mapped_as, 'PROOF')", mapped_as=mapped_as)
    run_all(services)
    assert scalar(services, "SELECT system_order_type FROM orders WHERE order_id = '1'") == "PROOF"
    outcome = run_check(services.database, _check("order_types_are_mapped", "orders"))
    assert [row["order_type"] for row in outcome.violations] == ["other"]


@pytest.mark.slow
def test_a_failed_blocking_check_stops_the_assets_after_it(landed: Services, settings: Settings) -> None:
    run_in_process(settings, build_defs, only=["shop"])
    _break(landed, "UPDATE etl_batches SET inserted = inserted + 1 WHERE asset = 'shop'")
    report = run_in_process(settings, build_defs)
    assert report.status == "failed"
    assert report.assets["shop"]["status"] == "success"
    assert report.assets["orders"]["status"] == "skipped"
    assert "shop:row_count_equation" in report.failed_checks


@pytest.mark.slow
def test_a_failed_run_says_what_failed_in_a_line_without_a_stack_trace(
    landed: Services, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    _break(landed, "ALTER TABLE orders RENAME COLUMN amount TO sum")
    report = run_in_process(settings, build_defs)
    assert report.assets["orders"]["error"].startswith("1 of 1 batches failed and stay pending")
    show_report(report)
    printed, errors = capfd.readouterr()
    assert "failed" in printed
    assert not re.search("Stack Trace|Traceback|dagster", errors)
    lines = errors.splitlines()
    assert len([line for line in lines if line.startswith("orders: 1 of 1 batches failed")]) == 1
    skipped = STEP_ASSETS[STEP_ASSETS.index("orders") + 1 :]
    assert [line for line in lines if "leads" in line] == [
        f"Not run, because an asset or a blocking check before them failed: {', '.join(skipped)}"
    ]


def test_connections_are_closed_when_a_run_can_not_begin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    disposed: list[Database] = []
    dispose = Database.dispose

    def dispose_noted(database: Database) -> None:
        disposed.append(database)
        dispose(database)

    monkeypatch.setattr(Database, "dispose", dispose_noted)
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text("no_such_setting: 1", encoding="utf-8")
    with pytest.raises(dg.DagsterInvalidConfigError):
        run_in_process(settings, build_defs)
    assert len(disposed) == 1


@pytest.mark.slow
def test_an_error_reaches_dagster_without_the_drivers_text(landed: Services, settings: Settings) -> None:
    run_in_process(settings, build_defs, only=["shop"])
    _break(landed, "ALTER TABLE orders RENAME COLUMN amount TO amount_secret_4711")
    report = run_in_process(settings, build_defs, only=["orders"])
    assert report.status == "failed"
    assert "amount_secret_4711" not in report.assets["orders"]["error"]


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_ended_by_the_next(settings: Settings) -> None:
    with open_instance(settings) as instance:
        job = build_defs().resolve_job_def("etl_pipeline")
        run = instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: f"{_host()}/999999999/1"}
        )
        assert fail_orphaned_runs(instance) == 1
        ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE


def test_the_async_functions_return_the_result_and_publish_their_events(landed: Services) -> None:
    async def both() -> list[dict[str, object]]:
        return [await run_etl_shop(landed), await run_etl_orders(landed)]

    shop, orders = asyncio.run(both())
    assert (shop["inserted"], orders["inserted"], orders["error_count"]) == (1, 3, 1)
    with landed.database.transaction() as connection:
        subjects = connection.execute(sa.text("SELECT subject FROM etl_events ORDER BY event_id")).scalars().all()
    assert subjects == [SUBJECT_OF["raw_orders"], SUBJECT_OF["shop"], SUBJECT_OF["orders"]]


def test_a_failed_async_run_publishes_failed_and_raises(landed: Services) -> None:
    impatient = Services(landed.database, BatchProcessor(attempts=1), landed.vectorized_queries)
    asyncio.run(run_etl_shop(impatient))
    _break(landed, "ALTER TABLE orders RENAME COLUMN amount TO sum")
    with pytest.raises(BatchFailedError, match="stay pending"):
        asyncio.run(run_etl_orders(impatient))
    with landed.database.transaction() as connection:
        payload = connection.execute(
            sa.text("SELECT payload FROM etl_events ORDER BY event_id DESC LIMIT 1")
        ).scalar_one()
    assert (payload["event"], payload["status"], payload["error_count"]) == (SUBJECT_OF["orders"], "failed", 4)


def _host() -> str:

    return socket.gethostname()


@pytest.mark.slow
@pytest.mark.parametrize(("upstream", "downstream"), [("customers", "leads"), ("shop", "orders")])
def test_work_that_is_handed_on_twice_is_consumed_once(
    landed: Services, upstream: AssetName, downstream: AssetName
) -> None:
    for step in STEPS:
        run_asset(step, landed)
    run_asset(upstream, landed, full_refresh=True)
    run_asset(upstream, landed, full_refresh=True)
    result = run_asset(downstream, landed)
    assert (result.batches, result.counts.inserted, result.counts.updated) == (1, 0, 0)
    with landed.database.transaction() as connection:
        assert (
            connection.execute(sa.text("SELECT count(*) FROM etl_work WHERE asset = :a"), {"a": downstream}).scalar()
            == 0
        )


def test_overlapping_and_torn_ranges_are_claimed_exactly(services: Services) -> None:
    with services.database.transaction() as connection:
        queue.enqueue(connection, ["leads"], [RawIdRange(1, 1, 10), RawIdRange(1, 21, 30)])
        _insert_raced(connection, 5, 15)
        assert queue.next_ranges(connection, "leads", 100).ranges == [RawIdRange(1, 1, 15), RawIdRange(1, 21, 30)]
        queue.dequeue(connection, "leads", [RawIdRange(1, 3, 4), RawIdRange(1, 12, 13), RawIdRange(1, 21, 30)])
        left = [RawIdRange(1, 1, 2), RawIdRange(1, 5, 11), RawIdRange(1, 14, 15)]
        assert queue.next_ranges(connection, "leads", 100).ranges == left
        assert queue.next_ranges(connection, "leads", 100, without=[RawIdRange(1, 6, 10)]).ranges == [
            RawIdRange(1, 1, 2), RawIdRange(1, 5, 5), RawIdRange(1, 11, 11), RawIdRange(1, 14, 15),
        ]  # fmt: skip
        with pytest.raises(ConcurrentRunError):
            queue.dequeue(connection, "leads", [RawIdRange(1, 1, 3)])


def _insert_raced(connection: sa.Connection, low: int, high: int) -> None:
    connection.execute(
        sa.text("INSERT INTO etl_work (asset, batch_id, low, high) VALUES ('leads', 1, :low, :high)"),
        {"low": low, "high": high},
    )
