"""One round: a copy of a scenario's database, a process that works on it through the proxy, one fault, and the verdict.

What is done after the fault is what goes on by itself in production: a process that failed or is gone is started again
(as sensors, the inbox and retries do), and the assets run.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from etl_assets_tests.chaos.nursery import Operation
from etl_assets_tests.chaos.proxy import FaultyProxy
from etl_assets_tests.chaos.verdict import Verdict, judge
from etl_assets_tests.helpers.pipeline import run_all, snapshot

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.chaos.clock import Clock
    from etl_assets_tests.chaos.disk import SmallDisk
    from etl_assets_tests.chaos.faults import Fault
    from etl_assets_tests.chaos.nursery import Child, Nursery
    from etl_assets_tests.chaos.proxy import Fate
    from etl_assets_tests.chaos.scenarios import Scenario, Stage
    from etl_assets_tests.chaos.server import Server

DATABASE: Final = "round"
"""Every round's, one after the other."""
MOST_STARTS: Final = 10
"""How often a process is started again before it counts as stuck."""
PAUSE_SECONDS: Final = 0.03
"""How much longer each start waits than the one before."""
RETRY_LOGGED: Final = "failed, retrying:"


@dataclass(slots=True)
class Result:
    """What a round came to."""

    verdict: Verdict
    was_reached: bool
    retries: int
    """How often a batch was tried again, and a process was started again."""
    seconds: float


@dataclass(slots=True)
class Arena:
    """What all rounds share."""

    folder: Path
    server: Server
    nursery: Nursery
    clock: Clock | None
    """None where there is nothing to set it with."""
    disk: SmallDisk
    stage: Stage
    services: Services
    """Those of the database of the round that is being played, with whatever they cache of one round for the next."""


@dataclass(slots=True)
class Round:
    """One round, as the fault sees it."""

    arena: Arena
    fault: Fault
    chosen: random.Random
    companions: list[tuple[Operation, Child]] = field(default_factory=list)
    """Other processes that the fault has started, and what they do."""
    has_other_imports: bool = False
    complaints: list[str] = field(default_factory=list)
    at_end: list[threading.Timer] = field(default_factory=list)
    _written_by_others: dict[str, Any] | None = None
    _child: Child | None = None
    _born: threading.Event = field(default_factory=threading.Event)

    @property
    def scenario(self) -> Scenario:
        """What is going on."""
        return self.fault.scenario

    @property
    def child(self) -> Child:
        """The process that the fault befalls: its first statement may come before its process id is known."""
        self._born.wait()
        assert self._child is not None
        return self._child

    def start(self, operation: Operation) -> Child:
        """Start another process, on the server directly."""
        return self.arena.nursery.start(operation, self.arena.stage.environment(DATABASE))

    def accompany(self, operation: Operation) -> Child:
        """Start another process whose work belongs to the outcome."""
        child = self.start(operation)
        self.companions.append((operation, child))
        return child

    def let_others_finish(self) -> None:
        """Have everything done by others, while the process is frozen: nothing is left for it to write."""
        operations = [Operation("run")] if self.scenario.inbox else [self.scenario.operation, Operation("run")]
        if any(self.start(operation).wait() for operation in operations):
            self.complaints.append("others could not do the work of a frozen process")
        if self.scenario.operation.name.startswith("run"):  # others would import, or replay, once more
            self._written_by_others = snapshot(self.arena.services)

    def play(self) -> Result:
        """Play the round."""
        started = time.perf_counter()
        self._make_database()
        proxy = FaultyProxy(self.arena.server.socket, self.fault.point, self._act)
        try:
            retries = self._work(proxy)
            verdict = self._judge()
        finally:
            proxy.close()
            for timer in self.at_end:
                timer.cancel()
            self.arena.disk.empty()
            self.arena.services.database.dispose()
            self.arena.stage.clear(DATABASE)
        verdict.faults += self.complaints
        return Result(verdict, proxy.reached, retries, time.perf_counter() - started)

    def _act(self, backend: int) -> Fate:
        """Let the fault happen; it waits in a thread of the proxy, where nobody would hear of an error."""
        try:
            return self.fault.kind.act(self, backend)
        except Exception as error:  # noqa: BLE001  # told with the verdict
            self.complaints.append(f"the fault itself failed: {error!r}")
            return "cut"

    def _make_database(self) -> None:
        furnish, disk = self.arena.stage.furnish, self.arena.disk
        if self.fault.kind.on_small_disk:
            furnish(DATABASE, self.scenario, disk.tablespace)
            disk.ingest_inbox(DATABASE)
        else:
            furnish(DATABASE, self.scenario)

    def _work(self, proxy: FaultyProxy) -> int:
        """Have the process do its work, and have it started until it is done. Returns how many retries that took."""
        kind, nursery = self.fault.kind, self.arena.nursery
        if kind.by_clock and self.arena.clock is not None:
            self.arena.clock.reset()
            nursery = self.arena.clock.nursery
        environment = self.arena.stage.environment(
            DATABASE, port=proxy.port, options=kind.options, batch_size=self.scenario.batch_size
        )
        self._child = nursery.start(self.scenario.operation, environment)
        self._born.set()
        retries = self._repeat(self.scenario.operation, self._child)
        for timer in self.at_end:
            timer.join()
        return retries + sum(self._repeat(*companion) for companion in self.companions)

    def _repeat(self, operation: Operation, child: Child) -> int:
        """Wait for a process, and start another one as long as it fails."""
        retries = 0
        for _ in range(MOST_STARTS):
            try:
                status = child.wait()
            except TimeoutError as error:
                self.complaints.append(str(error))
                return retries
            retries += child.log.read_text("utf-8", "replace").count(RETRY_LOGGED)
            if status == 0:
                child.log.unlink()
                return retries
            self.arena.server.wait_until_ready()
            retries += 1
            time.sleep(PAUSE_SECONDS * retries)  # as in production: a disk may be full for a while
            child = self.start(operation)
        self.complaints.append(f"not done after {MOST_STARTS} starts: see {child.log}")
        return retries

    def _judge(self) -> Verdict:
        services = self.arena.services
        if self._written_by_others is not None and self._written_by_others != snapshot(services):
            self.complaints.append("the frozen process wrote something when it came back")
        run_all(services)
        undisturbed = (None, None) if self.has_other_imports else (self.scenario.expected, self.scenario.landed)
        return judge(services, *undisturbed, each_row_once=not self.scenario.replays)
