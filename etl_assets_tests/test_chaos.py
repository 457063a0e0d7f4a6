"""A small part of `make chaos`: faults of every kind, and a storm on the daemon. Nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from etl_assets.database.database import Database
from etl_assets.raw_orders.importing import import_file
from etl_assets.settings import Settings
from etl_assets_tests.chaos import faults, verdict
from etl_assets_tests.chaos.clock import find_library
from etl_assets_tests.chaos.faults import CUT, KINDS, draw_faults
from etl_assets_tests.chaos.nursery import Operation
from etl_assets_tests.chaos.orders import write_import
from etl_assets_tests.chaos.program import Wish, run_program
from etl_assets_tests.chaos.proxy import FaultyProxy, Point, Statement
from etl_assets_tests.chaos.scenarios import Scenario
from etl_assets_tests.chaos.storm import rage
from etl_assets_tests.helpers.effort import IS_FULL
from etl_assets_tests.helpers.pipeline import PRESET, land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

    from etl_assets.pipeline.protocol import Services

BY_THE_CLOCK = {"pipeline_health_report", "check_whole_tables"}
"""Jobs of schedules, which may be due while a test runs."""
SCENARIOS = ("orders, changes", "leads, first load", "inbox, changes", "imports revert") + (
    ("customers, bulk reader", "replay corrected", "orders, after a revert") if IS_FULL else ()
)


def scenario(name: str, statements: int) -> Scenario:
    return Scenario(name, Operation("run"), "any", statements=(Statement(0, "SELECT"),) * statements)


FAULTS = len(KINDS) * (3 if IS_FULL else 1) + 3
"""Each kind once, and connections cut."""


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.timeout(900)  # on a busy machine; half a minute on an idle one
def test_faults_of_every_kind_lose_and_double_nothing(tmp_path: Path) -> None:
    report, _ = run_program(Wish(seed=20261126, faults=FAULTS, scenarios=SCENARIOS), tmp_path)
    assert report.bad == [], report.table()
    has_clock = find_library() is not None or os.environ.get("ETL_TEST_REQUIRE_SERVERS")
    assert set(report.lines) == {kind.name for kind in KINDS if has_clock or not kind.by_clock}
    assert report.total.faults >= FAULTS // 2, report.table()


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine; about a tenth of it on an idle one
def test_imports_while_daemon_code_server_and_workers_are_killed(
    services: Services, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_SENSOR_INTERVAL_SECONDS", "1")
    storm = rage(services, settings, tmp_path, imports=20, victims=("starting worker", "everything"))
    assert storm.verdict.is_good, storm.verdict
    assert storm.starts > storm.killed["daemon"] >= 1
    assert storm.jobs - BY_THE_CLOCK == {"etl_pipeline"}


def test_a_plan_that_is_not_cut_short_meets_every_boundary() -> None:
    scenarios = [scenario("a", 700), scenario("b", 300)]
    plan = draw_faults(scenarios, KINDS, 1, None)
    met = {(fault.scenario.name, fault.point) for fault in plan if fault.kind is CUT}
    assert met == {(one.name, point) for one in scenarios for point in one.boundaries()}
    assert len(plan) == 2_000 + faults.OTHERS
    assert {fault.kind for fault in plan} == set(KINDS)


def test_the_same_seed_draws_the_same_faults() -> None:
    scenarios = [scenario("a", 50), scenario("b", 30)]
    drawn = [[(f.number, f.kind.name, f.point) for f in draw_faults(scenarios, KINDS, seed, 40)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 40


HARM = {
    "lost": "DELETE FROM lead_orders WHERE order_id = '1'",
    "doubled": "INSERT INTO shop_configs (platform, shop_name, timezone) VALUES ('p', 'ghost', 'UTC')",
    "differing": "UPDATE order_items SET quantity = 77 WHERE line_no = 1",
    "faults": "INSERT INTO etl_work (asset, batch_id, low, high) VALUES ('leads', 1, 1, 1)",
}


@pytest.mark.parametrize("kind", HARM)
def test_what_is_lost_doubled_changed_or_left_over_is_seen(services: Services, kind: str) -> None:
    rows = [raw_fields(number, customer_name="Ann", items="T恤*3") for number in ("1", "2")]
    land(services, rows)
    run_all(services)
    expected = verdict.read_outcome(services)
    assert verdict.judge(services, expected, each_row_once=True).is_good
    query(services, HARM[kind])
    assert getattr(verdict.judge(services, expected, each_row_once=True), kind)


@pytest.mark.slow
def test_an_import_that_is_frozen_at_its_end_does_not_hold_up_other_imports(
    services: Services, database_url: sa.URL, tmp_path: Path
) -> None:
    path = write_import(tmp_path / "orders.csv", [raw_fields("1"), raw_fields("2")])
    socket = f"{database_url.query['host']}/.s.PGSQL.{database_url.port or 5432}"

    def import_through(proxy: FaultyProxy, options: str = "") -> None:
        query = {"sslmode": "disable", "options": options}
        url = database_url.set(host="127.0.0.1", port=proxy.port, query=query)
        settings = Settings(database_url=SecretStr(url.render_as_string(hide_password=False)))
        database = Database(settings)
        with suppress(DBAPIError):  # the server has ended its session, as it should
            import_file(database, path, PRESET)
        database.dispose()
        proxy.close()

    undisturbed = FaultyProxy(socket)
    import_through(undisturbed)
    numbers = [n for n, one in enumerate(undisturbed.statements) if "INSERT INTO etl_batches" in one.label]
    is_thawed = threading.Event()

    def freeze(_backend: int) -> Literal["go on"]:
        is_frozen.set()
        is_thawed.wait()
        return "go on"

    is_frozen = threading.Event()
    proxy = FaultyProxy(socket, Point(numbers[0], "before"), freeze)
    time_out = "-c idle_in_transaction_session_timeout=1s"
    frozen = threading.Thread(target=import_through, args=(proxy, time_out), daemon=True)
    frozen.start()
    assert is_frozen.wait(30)
    impatient = database_url.update_query_dict({"options": "-c lock_timeout=20s"}).render_as_string(hide_password=False)
    database = Database(Settings(database_url=SecretStr(impatient)))
    try:
        assert import_file(database, path, PRESET).status == "completed"
    finally:
        is_thawed.set()
        frozen.join(30)
        database.dispose()
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 4


def test_two_boundaries_belong_to_each_statement() -> None:
    assert scenario("a", 2).boundaries() == [
        Point(0, "before"),
        Point(0, "after"),
        Point(1, "before"),
        Point(1, "after"),
    ]
