"""Imports arrive while all that works on them is killed over and over: it corrects itself, and the tables are right.

All is real: `dagster-daemon` with its sensors, its code server, the workers of its runs, and `kill -9`. Only what
starts the daemon again belongs to the test, in the place of a service manager.
"""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg

from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.run_requests import UNFINISHED
from etl_assets.raw_orders.importing import import_file
from etl_assets_tests.chaos.orders import make_imports, write_import
from etl_assets_tests.chaos.verdict import Verdict, judge
from etl_assets_tests.helpers.daemon import Daemon, kill, running_daemon, write_instance
from etl_assets_tests.helpers.pipeline import PRESET, scalar, start_afresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings
    from etl_assets_tests.chaos.orders import Row

SEED: Final = 20261126
SECONDS_TO_SETTLE: Final = 180
SECONDS_TO_START: Final = 60
VICTIMS: Final = ("starting worker", "worker", "daemon", "everything")
LAST_VICTIM: Final = "code server"
"""The last one, which no other kill helps to get over."""


@dataclass(frozen=True, slots=True)
class Storm:
    """What a storm came to."""

    killed: Mapping[str, int]
    """How many processes of each kind."""
    starts: int
    """How often the daemon was started."""
    jobs: frozenset[str]
    """The jobs of all runs."""
    verdict: Verdict
    seconds: float


def rage(
    services: Services, settings: Settings, folder: Path, *, imports: int, victims: Sequence[str] = VICTIMS
) -> Storm:
    """Kill each of `victims` and then the code server while so many imports arrive, and wait until all is done.

    Raises:
        TimeoutError: something that must come by itself does not.
    """
    started = time.perf_counter()
    chosen = random.Random(SEED)  # noqa: S311  # the same orders every time
    files = make_imports([chosen.randrange(3, 30) for _ in range(imports)], orders=120, seed=SEED)
    # Only how long things are waited for is shorter than by default, so that it ends soon.
    monitoring = {"poll_interval_seconds": 5, "start_timeout_seconds": SECONDS_TO_START}
    write_instance(settings.dagster_home, run_monitoring=monitoring)
    start_afresh(services)
    importer = _Importer(services, folder, files)
    importer.start()
    # The instance first: Dagster makes its SQLite databases without a lock, and two processes that do fail at random.
    with open_instance(settings) as instance, running_daemon(settings.dagster_home, folder / "daemon.log") as daemon:
        killed = _kill_all(daemon, importer, instance, [*victims])
        importer.join(SECONDS_TO_SETTLE)
        _wait_until(lambda: _has_settled(services, instance), "everything consumed and no run unfinished")
        jobs = frozenset(run.dagster_run.job_name for run in instance.get_run_records())
    verdict = judge(services, None, sum(map(len, files)), each_row_once=True)
    if importer.statuses != ["completed"] * imports:
        verdict.faults.append(f"imports ended as {importer.statuses}")
    return Storm(killed, daemon.starts, jobs, verdict, time.perf_counter() - started)


@contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Let the environment, which daemons take over, have these variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Importer(threading.Thread):
    """Commits the imports at random moments, each as `etl-assets import` does, as many as it has been allowed to."""

    def __init__(self, services: Services, folder: Path, files: Sequence[list[Row]]) -> None:
        super().__init__(daemon=True)
        self.services, self.folder, self.files = services, folder, files
        self.allowed = threading.Semaphore(0)
        self.statuses: list[str] = []

    def run(self) -> None:
        moments = random.Random()  # noqa: S311  # any moment will do
        for number, rows in enumerate(self.files):
            self.allowed.acquire()
            time.sleep(moments.uniform(0, 1.0))
            path = write_import(self.folder / f"{number}.csv", rows)
            self.statuses.append(import_file(self.services.database, path, PRESET).status)


def _kill_all(daemon: Daemon, importer: _Importer, instance: dg.DagsterInstance, victims: list[str]) -> dict[str, int]:
    """Kill this and that while imports arrive. Returns how many processes of each kind were killed."""
    find = {"daemon": daemon.daemons, "code server": daemon.code_servers, "worker": daemon.workers}
    is_started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    chosen = random.Random()  # noqa: S311  # any order and any moment will do
    chosen.shuffle(victims)
    victims.append(LAST_VICTIM)
    killed = dict.fromkeys(find, 0)
    left = len(importer.files)
    for number, victim in enumerate(victims):
        now = left // (len(victims) - number)
        left -= now
        importer.allowed.release(now)
        _wait_until(daemon.workers, "a worker")
        if victim != "starting worker":
            _wait_until(lambda: daemon.workers() and instance.get_runs(is_started), "a run")
        time.sleep(chosen.uniform(0, 1.5))
        # Looked up before the first is killed: the others may end with it.
        found = {name: look() for name, look in find.items() if name in victim or victim == "everything"}
        for name, processes in found.items():
            killed[name] += kill(processes)
    return killed


def _wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come by itself."""
    end = time.monotonic() + SECONDS_TO_SETTLE
    while not condition():
        if time.monotonic() > end:
            msg = f"{what}: not after {SECONDS_TO_SETTLE} s"
            raise TimeoutError(msg)
        time.sleep(0.1)


def _has_settled(services: Services, instance: dg.DagsterInstance) -> bool:
    is_empty = scalar(services, "SELECT count(*) FROM etl_work") == 0
    return is_empty and not instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)))
