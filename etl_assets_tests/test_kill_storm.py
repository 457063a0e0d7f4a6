"""Imports arrive while all that works on them is killed over and over: it mends itself, and the tables are right.

All is real: `dagster-daemon` with its sensors, its code server, the workers of its runs, and `kill -9`. Only what
starts the daemon again belongs to the test, in the place of a service manager.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final

import dagster as dg
import polars as pl
import pytest

from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.requests import UNFINISHED
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets.raw_orders.importing import import_file
from etl_assets_tests import running
from etl_assets_tests.daemons import Daemon, kill, running_daemon, write_instance
from etl_assets_tests.oracle import RawRow
from etl_assets_tests.running import PRESET, query, raw_fields, scalar, start_afresh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etl_assets.pipeline.step import Services
    from etl_assets.settings import Settings

IMPORTS: Final = 50
SEED: Final = 20261126
SECONDS_TO_SETTLE: Final = 180
SECONDS_TO_START: Final = 60

Row = dict[str, str | None]


def make_imports() -> list[list[Row]]:
    """Small imports that meet again and again: new versions, cancelled ones, ones of other customers, bad ones."""
    chosen = random.Random(SEED)  # noqa: S311  # the same orders every time
    return [
        [
            raw_fields(
                str(chosen.randrange(120)),
                shop=chosen.choice(("A", "B", "C")),
                customer_name=chosen.choice(("Ann", "Ben", "Cem", "Dee", "Eve", "张**", None)),
                order_status=chosen.choice(("paid", "paid", "paid", "cancelled")),
                order_type=chosen.choice(("sample", "bulk", None)),
                amount=chosen.choice(("10", "20.5", "1,000", "oops")),
                currency="CNY",
                ordered_at=f"2024-01-{chosen.randrange(1, 29):02} 10:00:00",
                updated_at=f"2024-02-{1 + number // 2:02} 0{chosen.randrange(10)}:00:00" if number % 5 else None,
                items=chosen.choice(("T恤*3;帽子", "杯子*2", None, "*3")),
                processes=chosen.choice((None, "刺绣:左胸:2", "[3]")),
            )
            for _ in range(chosen.randrange(3, 30))
        ]
        for number in range(IMPORTS)
    ]


class Importer(threading.Thread):
    """Commits the imports at random moments, each as `etl-assets import` does, as many as it has been allowed to."""

    def __init__(self, services: Services, folder: Path) -> None:
        super().__init__(daemon=True)
        self.services, self.folder = services, folder
        self.allowed = threading.Semaphore(0)
        self.statuses: list[str] = []

    def run(self) -> None:
        moments = random.Random()  # noqa: S311  # any moment will do
        for number, rows in enumerate(make_imports()):
            self.allowed.acquire()
            time.sleep(moments.uniform(0, 1.0))
            path = self.folder / f"{number}.csv"
            pl.DataFrame(rows).select(RAW_COLUMNS).cast(pl.String).write_csv(path)
            self.statuses.append(import_file(self.services.database, path, PRESET).status)


def storm(daemon: Daemon, importer: Importer, instance: dg.DagsterInstance) -> dict[str, int]:
    """Kill this and that while imports arrive. Returns how many processes of each kind were killed."""
    find = {"daemon": daemon.daemons, "code server": daemon.code_servers, "worker": daemon.workers}
    is_started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    chosen = random.Random()  # noqa: S311  # any order and any moment will do
    chosen.shuffle(kinds := ["starting worker", "worker", "daemon", "everything"])
    kinds.append("code server")  # the last one, which no other kill helps to get over
    killed = dict.fromkeys(find, 0)
    for kind in kinds:
        importer.allowed.release(IMPORTS // len(kinds))
        wait_until(daemon.workers, "a worker")
        if kind != "starting worker":
            wait_until(lambda: daemon.workers() and instance.get_runs(is_started), "a run")
        time.sleep(chosen.uniform(0, 1.5))
        # Looked up before the first is killed: the others may end with it.
        victims = {name: look() for name, look in find.items() if name in kind or kind == "everything"}
        for name, processes in victims.items():
            killed[name] += kill(processes)
    return killed


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come by itself."""
    end = time.monotonic() + SECONDS_TO_SETTLE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not after {SECONDS_TO_SETTLE} s")
        time.sleep(0.1)


def has_settled(services: Services, instance: dg.DagsterInstance) -> bool:
    is_empty = scalar(services, "SELECT count(*) FROM etl_work") == 0
    return is_empty and not instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)))


def read_raw_rows(services: Services) -> list[RawRow]:
    columns = ", ".join(("raw_id", "CAST(import_id AS text)", "row_no", *RAW_COLUMNS, "defect"))
    return [RawRow(**row) for row in query(services, f"SELECT {columns} FROM raw_orders ORDER BY raw_id")]  # noqa: S608


def assert_consumed_exactly_once(services: Services, rows: int) -> None:
    imports = "SELECT import_id FROM import_tasks WHERE status = 'completed'"
    for asset in ("raw_orders", "shop", "orders"):
        consumed = f"SELECT unnest(import_ids) FROM etl_batches WHERE asset = '{asset}'"  # noqa: S608
        assert query(services, f"({imports}) EXCEPT ({consumed})") == []
    assert scalar(services, f"SELECT count(*) FROM ({imports}) i") == IMPORTS  # noqa: S608
    assert scalar(services, "SELECT sum(input_rows) FROM etl_batches WHERE asset = 'orders'") == rows
    events = "SELECT count(*) FROM etl_events WHERE payload->>'status' <> 'failed'"
    assert scalar(services, events) == scalar(services, "SELECT count(*) FROM etl_batches")
    # The equation of rows, each table against the ledger, one active lead per customer, and the rest of them.
    blocking = [check for check in CHECKS if check.is_blocking]
    assert [(check.asset, check.name) for check in blocking if not run_check(services.database, check).passed] == []


@pytest.mark.timeout(900)  # on a busy machine; about a tenth of it on an idle one
def test_fifty_imports_while_everything_is_killed_over_and_over(
    services: Services, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_SENSOR_INTERVAL_SECONDS", "1")
    # Only how long things are waited for is shorter than by default, so that the test ends soon.
    write_instance(
        settings.dagster_home, run_monitoring={"poll_interval_seconds": 5, "start_timeout_seconds": SECONDS_TO_START}
    )
    start_afresh(services)
    importer = Importer(services, tmp_path)
    importer.start()
    with running_daemon(settings.dagster_home, tmp_path / "daemon.log") as daemon, open_instance(settings) as instance:
        killed = storm(daemon, importer, instance)
        importer.join(SECONDS_TO_SETTLE)
        assert importer.statuses == ["completed"] * IMPORTS
        wait_until(lambda: has_settled(services, instance), "everything consumed and no run unfinished")
        runs = instance.get_run_records(ascending=True)
    assert killed["daemon"] >= 2, killed
    assert daemon.starts > killed["daemon"]
    rows = read_raw_rows(services)
    assert len(rows) == sum(map(len, make_imports()))
    assert_consumed_exactly_once(services, len(rows))
    running.assert_as_expected(services, rows, PRESET)
    assert {run.dagster_run.job_name for run in runs} == {"etl_pipeline"}
