"""A program of faults, from the server that they befall to the report."""

from __future__ import annotations

import random
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_assets.run.registry import build_services
from etl_assets.settings import Settings
from etl_assets_tests.chaos.clock import Clock, find_library
from etl_assets_tests.chaos.disk import SmallDisk
from etl_assets_tests.chaos.faults import KINDS, draw_faults
from etl_assets_tests.chaos.nursery import Nursery
from etl_assets_tests.chaos.report import Report
from etl_assets_tests.chaos.rounds import DATABASE, Arena, Round
from etl_assets_tests.chaos.scenarios import Stage
from etl_assets_tests.chaos.server import Server
from etl_assets_tests.chaos.storm import environment_of, rage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from etl_assets_tests.chaos.faults import Fault
    from etl_assets_tests.chaos.rounds import Result
    from etl_assets_tests.chaos.scenarios import Scenario
    from etl_assets_tests.chaos.storm import Storm

STORM_IMPORTS: Final = 30


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be tried."""

    seed: int
    faults: int | None = None
    """How many; None: at every boundary one, and others."""
    minutes: float | None = None
    """When to end at the latest."""
    only: int | None = None
    """The number of the one fault to be tried."""
    first: int = 0
    """The number of the fault to begin with, to go on where another session ended."""
    scenarios: Collection[str] = ()
    """Parts of the names of scenarios; none: all."""
    kinds: Collection[str] = ()
    """Parts of the names of kinds; none: all."""
    storms: int = 0
    """How many storms there are on a daemon, its code server and its workers."""


def run_program(wish: Wish, folder: Path) -> tuple[Report, list[Scenario]]:
    """Try faults, and say at once what goes wrong. Returns what they came to, and what they befell."""
    ends = time.monotonic() + 60 * (wish.minutes if wish.minutes is not None else 1_000_000)
    report = Report()
    with open_arena(folder) as arena:
        scenarios = arena.stage.build(wish.scenarios)
        wanted = [kind for kind in KINDS if not wish.kinds or any(part in kind.name for part in wish.kinds)]
        kinds = [kind for kind in wanted if arena.clock is not None or not kind.by_clock]
        if arena.clock is None:
            say("No clock jumps: libfaketime is not installed.")
        faults = draw_faults(scenarios, kinds, wish.seed, wish.faults)
        disk = "a tmpfs" if arena.disk.is_real else "triggers that raise 53100 (nobody may mount a tmpfs here)"
        say(f"{len(faults):,} faults planned, {len(scenarios)} scenarios; the full disk is {disk}")
        for fault in faults:
            is_wanted = fault.number >= wish.first if wish.only is None else fault.number == wish.only
            if is_wanted and time.monotonic() < ends:
                result = play(arena, fault, wish.seed)
                report.add(fault, result)
                _tell(fault, result)
        for number in range(wish.storms):
            if time.monotonic() < ends:
                storm = _play_storm(arena, number)
                report.add_storm(storm)
                say(f"storm {number}: killed {dict(storm.killed)}, {storm.verdict} ({storm.seconds:.1f} s)")
    return report, scenarios


def play(arena: Arena, fault: Fault, seed: int) -> Result:
    """Play the round of one fault; what it draws by chance depends on the seed and its number alone."""
    chosen = random.Random(f"{seed}/{fault.number}")  # noqa: S311  # nobody is to be surprised
    return Round(arena, fault, chosen).play()


def _play_storm(arena: Arena, number: int) -> Storm:
    """Kill what Dagster consists of, on a database of its own."""
    database = f"storm_{number}"
    folder = arena.stage.home(database)
    folder.mkdir(parents=True)
    arena.server.create(database, template="nothing")
    with environment_of({**arena.stage.environment(database), "ETL_SENSOR_INTERVAL_SECONDS": "1"}):
        settings = Settings()
        services = build_services(settings)
        try:
            return rage(services, settings, folder, imports=STORM_IMPORTS)
        finally:
            services.database.dispose()
            arena.server.drop(database)


@contextmanager
def open_arena(folder: Path) -> Iterator[Arena]:
    """Start what all rounds need, and end it."""
    folder.chmod(0o755)  # the server's user has to look into it
    (folder / "logs").mkdir()
    server = Server(folder)
    disk = SmallDisk(server, folder)
    library = find_library()
    nursery, clock = Nursery(folder / "logs"), Clock(library, folder) if library else None
    try:
        services = build_services(server.settings(DATABASE))
        yield Arena(folder, server, nursery, clock, disk, Stage(server, nursery, folder), services)
    finally:
        nursery.close()
        if clock is not None:
            clock.nursery.close()
        server.stop()
        disk.close()


def _tell(fault: Fault, result: Result) -> None:
    if not result.verdict.is_good:
        say(f"WRONG {fault}: {result.verdict}")
    elif fault.number % 100 == 99:
        say(f"… {fault}: nothing lost, nothing doubled ({result.seconds:.1f} s)")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
