"""Measure the time from the commit of an import to its leads, with `make dev` running, and its parts.

Starts what `make dev` starts (the UI, the daemon, the code server, the embedded PostgreSQL), on a new, empty home and
with the default settings; lands imports of 1,000 new orders one after another, each when the run before has ended and
at a moment of its own in the sensors' rhythm; and takes the times from the database and from Dagster's event log.

Usage: python -m benchmarks.latency [--imports 7] [--orders 1000] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import httpx
import sqlalchemy as sa

from benchmarks.machine import describe_machine
from etl_assets.database import embedded, migrate
from etl_assets.database.database import Database
from etl_assets.generator.benchmark import write_benchmark_orders
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.run_requests import UNFINISHED
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import import_file
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

LIMIT_SECONDS: Final = 15
"""The median is to be below this on two cores."""
SECONDS_TO_WAIT: Final = 300
PROJECT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A running one."""

    database: Database
    instance: dg.DagsterInstance


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--imports", type=int, default=7)
    arguments.add_argument("--orders", type=int, default=1_000)
    arguments.add_argument("--out", type=Path, help="write the figures as JSON")
    chosen = arguments.parse_args()
    for name in [name for name in os.environ if name.startswith(("ETL_", "DAGSTER_"))]:
        del os.environ[name]  # the project's default settings are measured
    with tempfile.TemporaryDirectory(prefix="etl_bench_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the server's own user must reach its data
        os.environ["ETL_HOME"] = folder
        settings = Settings()
        open_instance(settings).dispose()  # makes it, and sets DAGSTER_HOME
        try:
            results = measure(settings, imports=chosen.imports, orders=chosen.orders)
        finally:
            embedded.stop(settings.postgres_directory)
    report(results)
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


def measure(settings: Settings, *, imports: int, orders: int) -> dict[str, Any]:
    """Land the imports and time each; the seconds of its parts, in their order."""
    database = Database(settings)
    migrate.upgrade(database)
    with running_dev(settings.home / "dev.log"), open_instance(settings) as instance:
        pipeline = Pipeline(database, instance)
        moments = random.Random(1)  # noqa: S311  # not a secret
        runs = []
        for number in range(imports + 1):
            time.sleep(moments.uniform(0, 5))
            path = settings.home / f"orders_{number}.parquet"
            write_benchmark_orders(path, orders=orders, seed=number + 1)
            runs.append(time_import(pipeline, path))
            print(f"import {number}: {runs[-1]['total']:.1f} s{'' if number else ' (not counted)'}", flush=True)
        with database.transaction() as connection:
            version = connection.execute(sa.text("SHOW server_version")).scalar_one()
    database.dispose()
    counted = runs[1:]  # the first one finds everything cold
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe_machine(version),
        "load_average": os.getloadavg(),
        "orders": orders,
        "limit_seconds": LIMIT_SECONDS,
        "median_seconds": {part: statistics.median(run[part] for run in counted) for part in counted[0]},
        "imports": counted,
    }


@contextmanager
def running_dev(log: Path) -> Iterator[None]:
    """What `make dev` starts, on a free port, until the end of the block."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [str(Path(sys.executable).with_name("etl-assets")), "dev", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  # this project's own tool
            command, cwd=PROJECT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            wait_for("the UI", lambda: process.poll() is not None or answers(port))
            if process.poll() is not None:
                sys.exit(f"etl-assets dev has ended:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/server_info", timeout=5).is_success
    except httpx.HTTPError:
        return False


def time_import(pipeline: Pipeline, path: Path) -> dict[str, float]:
    """Land one file, wait for its leads and for the end of the run, and split the time between."""
    landed = import_file(pipeline.database, path, get_preset("generic"))
    committed = time.time()
    if landed.status != "completed":
        sys.exit(f"The import failed: {landed.error}")
    wait_for("leads", lambda: batches_of(pipeline.database, landed.import_id).get("leads"), every=0.02)
    leads_committed = time.time()
    unfinished = dg.RunsFilter(statuses=list(UNFINISHED))
    wait_for("the end of the run", lambda: not pipeline.instance.get_runs(unfinished))
    batches = batches_of(pipeline.database, landed.import_id)
    events = pipeline.instance.all_logs(batches["leads"].run_id)
    at: dict[dg.DagsterEventType | None, float] = {}
    for event in events:
        at.setdefault(event.dagster_event_type, event.timestamp)
    written_from = min(event.timestamp for event in events)
    assets = {
        asset: batch.duration for asset, batch in batches.items() if batch.started_at.timestamp() < leads_committed
    }
    parts = {
        "waiting for the sensor": written_from - committed,
        "writing down the run": at[dg.DagsterEventType.RUN_ENQUEUED] - written_from,
        "in the queue": at[dg.DagsterEventType.RUN_STARTING] - at[dg.DagsterEventType.RUN_ENQUEUED],
        "start of the worker": at[dg.DagsterEventType.STEP_START] - at[dg.DagsterEventType.RUN_STARTING],
        **assets,
    }
    total = leads_committed - committed
    return {**parts, "checks and reports between": total - sum(parts.values()), "total": total}


def batches_of(database: Database, import_id: UUID) -> dict[str, sa.Row[Any]]:
    """The ledger's rows of the assets that have consumed an import."""
    statement = (
        "SELECT asset, run_id, duration, started_at FROM etl_batches"
        " WHERE :import_id = ANY (import_ids) AND asset <> 'raw_orders' ORDER BY batch_id"
    )
    with database.transaction() as connection:
        return {row.asset: row for row in connection.execute(sa.text(statement), {"import_id": import_id})}


def wait_for(what: str, condition: Callable[[], object], every: float = 0.2) -> None:
    """Wait until the condition holds, or give up."""
    end = time.monotonic() + SECONDS_TO_WAIT
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"Waited {SECONDS_TO_WAIT} s for {what}; see the log of etl-assets dev.")
        time.sleep(every)


def report(results: dict[str, Any]) -> None:
    """Print medians, and the least and the most of each part."""
    print(f"\nfrom the commit of {results['orders']} orders to their leads, {len(results['imports'])} imports, seconds")
    print(f"{'':28s} {'median':>8s} {'least':>8s} {'most':>8s}")
    for part, median in results["median_seconds"].items():
        figures = [run[part] for run in results["imports"]]
        print(f"{part:28s} {median:8.2f} {min(figures):8.2f} {max(figures):8.2f}")
    is_met = results["median_seconds"]["total"] < LIMIT_SECONDS
    print(f"median under {LIMIT_SECONDS} s: {'yes' if is_met else 'NO'}")


if __name__ == "__main__":
    main()
