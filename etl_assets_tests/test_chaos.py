"""A small part of `make chaos`: faults of every kind, and a storm on the daemon. Nothing is lost, nothing doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_assets_tests.chaos import faults, verdict
from etl_assets_tests.chaos.faults import CUT, KINDS, draw_faults
from etl_assets_tests.chaos.nursery import Operation
from etl_assets_tests.chaos.program import Wish, run_program
from etl_assets_tests.chaos.proxy import Point, Statement
from etl_assets_tests.chaos.scenarios import Scenario
from etl_assets_tests.chaos.storm import rage
from etl_assets_tests.running import land, query, raw_fields, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.step import Services
    from etl_assets.settings import Settings

SCENARIOS = ("orders, changes", "leads, first load", "customers, bulk reader", "inbox, changes", "replay mended")


def scenario(name: str, statements: int) -> Scenario:
    return Scenario(name, Operation("run"), "any", statements=(Statement(0, "SELECT"),) * statements)


def test_faults_of_every_kind_lose_and_double_nothing(tmp_path: Path) -> None:
    report, _ = run_program(Wish(seed=20261126, faults=len(KINDS) * 3, scenarios=SCENARIOS), tmp_path)
    assert report.bad == [], report.table()
    assert set(report.lines) == {kind.name for kind in KINDS}
    assert report.total.faults >= len(KINDS) * 2, report.table()


@pytest.mark.timeout(900)  # on a busy machine; about a tenth of it on an idle one
def test_imports_while_daemon_code_server_and_workers_are_killed(
    services: Services, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_SENSOR_INTERVAL_SECONDS", "1")
    storm = rage(services, settings, tmp_path, imports=20, victims=("starting worker", "everything"))
    assert storm.verdict.is_good, storm.verdict
    assert storm.starts > storm.killed["daemon"] >= 1
    assert storm.jobs == {"etl_pipeline"}


def test_a_plan_that_is_not_cut_short_meets_every_boundary() -> None:
    scenarios = [scenario("a", 5), scenario("b", 3)]
    plan = draw_faults(scenarios, KINDS, 1, None)
    met = {(fault.scenario.name, fault.point) for fault in plan if fault.kind is CUT}
    assert met == {(one.name, point) for one in scenarios for point in one.boundaries()}
    assert len(plan) == 16 + faults.OTHERS
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


def test_two_boundaries_belong_to_each_statement() -> None:
    assert scenario("a", 2).boundaries() == [
        Point(0, "before"),
        Point(0, "after"),
        Point(1, "before"),
        Point(1, "after"),
    ]
