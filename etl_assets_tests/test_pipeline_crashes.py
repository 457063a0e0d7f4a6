"""Killed processes, lost connections, failed batches, two runs at once: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import psutil
import pytest

from etl_assets.batch_processor import BatchProcessor
from etl_assets.errors import BatchFailedError
from etl_assets.pipeline.protocol import Services
from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.raw_orders.load import land_raw_orders
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.effort import IS_FULL
from etl_assets_tests.helpers.pipeline import (
    PRESET,
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
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from etl_assets.pipeline.protocol import Batch, LoadResult, Step
    from etl_assets.vectorized_queries import VectorizedQueries

pytestmark = pytest.mark.slow

Row = dict[str, str | None]
_uninterrupted: dict[str, Any] = {}
"""The outcome of the history loaded at once."""
_one_import: dict[str, Any] = {}
"""That of its first import."""


def history(imports: int = 4, rows: int = 40) -> list[list[Row]]:
    """Make imports whose orders meet again: new versions, cancelled ones, moved ones, bad ones."""
    chosen = random.Random(7)  # noqa: S311  # the same history every time
    return [
        [
            raw_fields(
                str(chosen.randrange(50)),
                shop=chosen.choice(("A", "B")),
                customer_name=chosen.choice(("Ann", "Ben", "Cem", "张**", None)),
                order_status=chosen.choice(("paid", "paid", "cancelled")),
                amount=chosen.choice(("10", "20.5", "1,000", "oops")),
                currency="CNY",
                ordered_at=f"2024-01-{chosen.randrange(1, 29):02} 10:00:00",
                updated_at=chosen.choice((None, f"2024-02-{chosen.randrange(1, 29):02}")),
                items=chosen.choice(("T恤*3;帽子", "杯子*2", None, "*3")),
                processes=chosen.choice((None, "刺绣:左胸:2", "[3]")),
            )
            for _ in range(rows)
        ]
        for _ in range(imports)
    ]


def outcome(services: Services) -> dict[str, Any]:
    """Read all that must be the same however the history was loaded."""
    stored = pipeline.read_tables(services).tables
    return {
        **pipeline.comparable(services),
        "quarantine": {entry for entry in stored.quarantine if entry[0] == "orders"},
        "open quarantine": {entry for entry in stored.open_quarantine if entry[0] == "orders"},
    }


def assert_same_outcome(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    for table, rows in expected.items():
        pipeline.assert_same(table, actual[table], rows)


def assert_queue_is_empty_and_ledger_exact(services: Services, rows: int) -> None:
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    assert scalar(services, "SELECT sum(input_rows) FROM etl_batches WHERE asset = 'orders'") == rows
    inexact = "input_rows <> inserted + updated + unchanged + superseded + quarantined"
    assert scalar(services, f"SELECT count(*) FROM etl_batches WHERE {inexact}") == 0  # noqa: S608
    events = "SELECT count(*) FROM etl_events WHERE payload->>'status' <> 'failed'"
    assert scalar(services, events) == scalar(services, "SELECT count(*) FROM etl_batches")


@pytest.fixture
def uninterrupted(services: Services) -> dict[str, Any]:
    """The outcome of the history loaded at once, worked out for the first test that asks; the tables are empty."""
    if not _uninterrupted:
        for rows in history():
            land(services, rows)
        run_all(services)
        _uninterrupted.update(outcome(services))
    start_afresh(services)
    return _uninterrupted


@pytest.mark.sampled
def test_kill_9_at_any_moment_loses_and_doubles_nothing(
    services: Services, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_BATCH_SIZE", "7")
    for rows in history():
        land(services, rows)
    moments = random.Random()  # noqa: S311  # any moment will do
    for _ in range(6 if IS_FULL else 3):
        process = subprocess.Popen(
            [sys.executable, "-m", "etl_assets_tests.helpers.looping_process"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0.05, 1.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    run_all(with_batch_size(services, 1000))
    assert_same_outcome(outcome(services), uninterrupted)
    assert_queue_is_empty_and_ledger_exact(services, 160)


def test_a_lost_connection_is_retried(services: Services, uninterrupted: dict[str, Any]) -> None:
    for rows in history():
        land(services, rows)
    done = threading.Event()

    def terminate() -> None:
        while not done.wait(0.15):
            query(
                services,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND application_name = 'etl_assets' AND state LIKE 'idle in transaction%'"
                " AND datname = current_database()",
            )

    killer = threading.Thread(target=terminate)
    killer.start()
    failed: list[str] = []
    try:
        patient = Services(
            with_batch_size(services, 40).database,
            BatchProcessor(attempts=50, max_wait_seconds=0.01),
            services.vectorized_queries,
        )
        for asset in STEPS:
            try:
                run_asset(asset, patient)
            except Exception:  # noqa: BLE001  # a connection lost between batches fails the run, as it should
                failed.append(asset)
    finally:
        done.set()
        killer.join()
    run_all(services)
    assert_same_outcome(outcome(services), uninterrupted)
    assert_queue_is_empty_and_ledger_exact(services, 160)


class LostConnectionStep(WrappedStep):
    """A step whose connection is lost once in the middle of a batch, after the batch was written."""

    def __init__(self, step: Step) -> None:
        super().__init__(step)
        self.calls = 0

    def load(self, batch: Batch, transformed: Any) -> LoadResult:
        self.calls += 1
        loaded = self.step.load(batch, transformed)
        if self.calls == 2:
            driver: Any = batch.connection.connection.driver_connection
            batch.queries.database.dispose()
            pid = driver.info.backend_pid
            query(
                Services(batch.queries.database, BatchProcessor(), batch.queries), f"SELECT pg_terminate_backend({pid})"
            )
        return loaded


@pytest.mark.parametrize("asset", list(STEPS))
def test_a_batch_whose_connection_is_lost_is_loaded_by_the_retry(
    services: Services, asset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(services, history(imports=1)[0])
    for name in STEPS:
        step = LostConnectionStep(STEPS[name])
        if name == asset:
            monkeypatch.setitem(STEPS, name, step)
        run_asset(name, with_batch_size(services, 20))
    assert step.calls or asset != name
    lost = outcome(services)
    assert_queue_is_empty_and_ledger_exact(services, 40)
    if not _one_import:
        start_afresh(services)
        monkeypatch.undo()
        land(services, history(imports=1)[0])
        run_all(services)
        _one_import.update(outcome(services))
    assert_same_outcome(lost, _one_import)


@pytest.mark.sampled
def test_the_same_assets_run_by_two_processes_and_two_threads_at_once(
    services: Services, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_BATCH_SIZE", "11" if IS_FULL else "23")
    with_batch_size(services, 13 if IS_FULL else 29)
    for rows in history():
        land(services, rows)
    command = [sys.executable, "-m", "etl_assets_tests.helpers.looping_process", "2"]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for other in others:
        assert other.stdout is not None
        other.stdout.readline()
    with ThreadPoolExecutor(2) as pool:
        for result in [pool.submit(run_all, services) for _ in range(2)]:
            result.result()
    for other in others:
        assert other.wait(120) == 0
        assert other.stdout is not None
        other.stdout.close()
    run_all(services)
    assert_same_outcome(outcome(services), uninterrupted)
    assert_queue_is_empty_and_ledger_exact(services, 160)


@pytest.mark.parametrize("asset", ["orders", "leads"])
@pytest.mark.parametrize("moment", ["read", "written"])
def test_a_worker_that_was_frozen_comes_back_when_another_run_has_done_its_work(
    services: Services, uninterrupted: dict[str, Any], asset: str, moment: str, database_url: sa.URL
) -> None:
    for rows in history():
        land(services, rows)
    # What a frozen transaction has locked is free again after this time (300 s by default).
    url = database_url.update_query_dict({"options": "-c idle_in_transaction_session_timeout=2s"})
    environment = {
        **os.environ,
        "ETL_BATCH_SIZE": "30",
        "ETL_DATABASE_URL": url.render_as_string(hide_password=False),
    }
    command = [sys.executable, "-m", "etl_assets_tests.helpers.frozen_process", asset, moment]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as worker:
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED
        run_all(with_batch_size(services, 50))
        assert scalar(services, "SELECT count(*) FROM etl_work") == 0
        before = pipeline.snapshot(services)
        worker.send_signal(signal.SIGCONT)
        output, _ = worker.communicate(timeout=120)
    assert (worker.returncode, output) == (0, b"done\n")
    assert pipeline.snapshot(services) == before
    assert_same_outcome(outcome(services), uninterrupted)
    assert_queue_is_empty_and_ledger_exact(services, 160)


class FailingStep(WrappedStep):
    """A step that fails every batch with the given raw row, until it is corrected."""

    def __init__(self, step: Step, raw_id: int) -> None:
        super().__init__(step)
        self.raw_id, self.is_corrected = raw_id, False

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Any) -> tuple[bool, Any]:
        has_the_row = any(part.low <= self.raw_id <= part.high for part in ranges)
        return has_the_row, self.step.transform(queries, rows, ranges)

    def load(self, batch: Batch, transformed: tuple[bool, Any]) -> LoadResult:
        has_the_row, inner = transformed
        loaded = self.step.load(batch, inner)
        if has_the_row and not self.is_corrected:
            msg = "the customer Ann has a secret"
            raise RuntimeError(msg)
        return loaded


FIRST_OR_LATER: Final = [
    (asset, number) for at, asset in enumerate(STEPS) for number in (0, 1) if IS_FULL or at % 2 == number
]
"""Each asset with its first batch or a later one, in turn; with both by `make storm`."""


@pytest.mark.sampled
@pytest.mark.parametrize(("asset", "number"), FIRST_OR_LATER)
def test_a_failed_batch_stays_pending_and_loads_as_if_it_had_never_failed(
    services: Services,
    uninterrupted: dict[str, Any],
    asset: Any,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    imports = history()
    for rows in imports[:2]:
        land(services, rows)
    raw_ids = [1, 60]
    if asset not in {"shop", "orders"}:
        for upstream in ("shop", "orders"):
            run_asset(upstream, services)
        raw_ids = [row["raw_id"] for row in query(services, "SELECT raw_id FROM orders ORDER BY raw_id")][::30]
    step = FailingStep(STEPS[asset], raw_ids[min(number, len(raw_ids) - 1)])
    monkeypatch.setitem(STEPS, asset, step)
    with_batch_size(services, 25)
    assert pipeline.run_all_whatever_fails(services) == [asset]
    assert scalar(services, "SELECT sum(high - low + 1) FROM etl_work") > 0
    assert "secret" not in caplog.text
    assert scalar(services, "SELECT count(*) FROM etl_events WHERE payload->>'status' = 'failed'") == 1
    for rows in imports[2:]:
        land(services, rows)
    assert set(pipeline.run_all_whatever_fails(services)) <= {asset}
    step.is_corrected = True
    run_all(services)
    # A bad row that comes late stays open where the later good row was no news: which row that was is not kept.
    late = {"open quarantine"} if asset in {"shop", "orders"} else set()
    actual = outcome(services)
    assert_same_outcome(actual, {table: rows for table, rows in uninterrupted.items() if table not in late})
    assert actual["open quarantine"] >= uninterrupted["open quarantine"]
    assert_queue_is_empty_and_ledger_exact(services, 160)


def test_a_failed_batch_does_not_win_over_a_later_import_that_left_its_order_unchanged(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = raw_fields("1", amount="10", updated_at="2024-01-01")
    land(services, [first])
    run_all(services)
    land(services, [raw_fields("1", amount="99", updated_at="2024-01-01")])
    step = FailingStep(STEPS["orders"], 2)
    monkeypatch.setitem(STEPS, "orders", step)
    with_batch_size(services, 1)
    assert pipeline.run_all_whatever_fails(services) == ["orders"]
    land(services, [first])
    assert pipeline.run_all_whatever_fails(services) == ["orders"]
    step.is_corrected = True
    run_all(services)
    assert scalar(services, "SELECT amount FROM orders") == 10


def test_of_imports_whose_rows_interleave_the_row_landed_last_wins(services: Services) -> None:
    unchanged = raw_fields("1", amount="10")
    land(services, [unchanged])
    run_all(with_batch_size(services, 2))
    frame = pipeline.as_frame([raw_fields("2"), unchanged])

    def frames() -> Iterator[pl.DataFrame]:
        yield frame.head(1)
        land(services, [raw_fields("1", amount="99")])
        yield frame.tail(1)

    pipeline.land_frames(services, frames(), PRESET)
    run_all(services)
    assert scalar(services, "SELECT amount FROM orders WHERE order_id = '1'") == 10


def test_a_full_refresh_keeps_what_is_pending_while_shops_are_missing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(services, [raw_fields(str(number)) for number in range(3)])
    step = FailingStep(STEPS["shop"], 2)
    monkeypatch.setitem(STEPS, "shop", step)
    with pytest.raises(BatchFailedError):
        run_asset("shop", with_batch_size(services, 1))
    run_asset("orders", services, full_refresh=True)
    step.is_corrected = True
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 3


def test_a_full_refresh_of_customers_sees_those_that_orders_have_left(services: Services) -> None:
    land(services, [raw_fields("1", customer_name="Ann")])
    run_all(services)
    land(services, [raw_fields("1", customer_name="Ben")])
    run_asset("shop", services)
    run_asset("orders", services)
    run_asset("customers", services, full_refresh=True)
    run_asset("leads", services, full_refresh=True)
    assert query(services, "SELECT customer_nickname FROM customers") == [{"customer_nickname": "Ben"}]


def interrupted_frames(error: BaseException) -> Iterator[pl.DataFrame]:
    """Raw orders of which the second frame fails."""
    yield pl.DataFrame({"row_no": [1], "order_id": ["1"], "platform": ["p"], "shop": ["s"]})
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the disk is full")])
def test_an_interrupted_import_leaves_no_rows_and_a_failed_task(
    services: Services, tmp_path: Path, error: BaseException
) -> None:
    frames = interrupted_frames(error)
    with pytest.raises(type(error)):
        land_raw_orders(services.database, tmp_path / "orders.csv", PRESET, frames, ReadCounts())
    assert list(frames) == []  # closed
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 0
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    (task,) = query(services, "SELECT status, error, row_count FROM import_tasks")
    assert task["status"] == "failed"
    assert "import the file again" in task["error"]
    assert {result.counts.input_rows for result in run_all(services).values()} == {0}
