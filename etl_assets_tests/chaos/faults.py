"""The kinds of faults, and how they are drawn. Each befalls a process at one boundary of its statements.

A kind's `act` is called there with the process id of the server's backend. The statement waits until it is over, and
then goes on its way, or the connection is cut.
"""

from __future__ import annotations

import random
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import sql

from etl_assets_tests.chaos.clock import JUMPS
from etl_assets_tests.chaos.nursery import Operation
from etl_assets_tests.chaos.proxy import SIDES, Point
from etl_assets_tests.chaos.rounds import DATABASE, Round

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_assets_tests.chaos.proxy import Fate
    from etl_assets_tests.chaos.scenarios import Scenario

TIME_OUT: Final = 0.3
"""After so many seconds the server frees what a frozen process has locked (300 by default): not while it waits for the
data of a COPY, when the session is not idle."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    name: str
    weight: int
    """How often it is drawn, next to the others."""
    act: Callable[[Round, int], Fate]
    options: str = ""
    """The process's session settings."""
    on_small_disk: bool = False
    by_clock: bool = False
    spares_copies: bool = False
    """It does not come while the server waits for the data of a COPY."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a kind, at a boundary of a scenario."""

    number: int
    kind: Kind
    scenario: Scenario
    point: Point

    def __str__(self) -> str:
        text = self.scenario.statements[self.point.number].label
        return (
            f"#{self.number} {self.kind.name}, {self.scenario.name},"
            f" {self.point.side} statement {self.point.number} ({text})"
        )


def cut(_round: Round, _backend: int) -> Fate:
    """Cut the connection."""
    return "cut"


def kill(one: Round, _backend: int) -> Fate:
    """SIGKILL the process; what it has sent arrives, or not."""
    one.child.send(signal.SIGKILL)
    return "go on" if one.chosen.random() < 0.5 else "cut"


def terminate(one: Round, _backend: int) -> Fate:
    """SIGTERM the process."""
    one.child.send(signal.SIGTERM)
    return "go on" if one.chosen.random() < 0.5 else "cut"


def end_session(one: Round, backend: int) -> Fate:
    """Have the server end the session, as an administrator does."""
    one.arena.server.execute(sql.SQL("SELECT pg_terminate_backend({})").format(sql.Literal(backend)))
    return "go on"


def kill_backend(one: Round, backend: int) -> Fate:
    """SIGKILL the process of the server: it ends all sessions and recovers."""
    one.arena.server.kill_process(backend)
    return "go on"


def crash_server(one: Round, _backend: int) -> Fate:
    """Stop the server at once, and start it."""
    one.arena.server.restart()
    return "go on"


def freeze(one: Round, _backend: int) -> Fate:
    """Stop the process until others have done its work."""
    one.child.send(signal.SIGSTOP)
    try:
        one.let_others_finish()
    finally:
        one.child.send(signal.SIGCONT)
    return "go on"


def fill_disk(one: Round, _backend: int) -> Fate:
    """Leave no space on the disk, for a while."""
    one.arena.disk.fill(DATABASE)
    timer = threading.Timer(one.chosen.uniform(0, 1.0), one.arena.disk.empty)
    one.at_end.append(timer)
    timer.start()
    return "go on"


def jump(one: Round, _backend: int) -> Fate:
    """Set the process's clock."""
    assert one.arena.clock is not None
    one.arena.clock.jump(one.chosen.choice(JUMPS))
    return "go on"


def start_twin(one: Round, _backend: int) -> Fate:
    """Start another process that does the same; it may be over before this one goes on."""
    return _accompany(one, one.scenario.operation)


def import_besides(one: Round, _backend: int) -> Fate:
    """Import another file meanwhile."""
    one.has_other_imports = True
    return _accompany(one, Operation("import", (str(one.arena.stage.files[-1]),)))


def _accompany(one: Round, operation: Operation) -> Fate:
    one.accompany(operation).wait_for(one.chosen.choice(HEAD_STARTS))
    return "go on"


HEAD_STARTS: Final = (0.0, 0.05, 0.2, 1.0)
"""For how many seconds a process waits for its companion, which may be waiting for it."""
CUT: Final = Kind("connection cut", 12, cut)
KINDS: Final = (
    CUT,
    Kind("kill -9", 20, kill),
    Kind("kill -15", 8, terminate),
    Kind("session ended", 8, end_session),
    Kind("server process killed", 5, kill_backend),
    Kind("server crash", 5, crash_server),
    Kind(
        "frozen process", 8, freeze, options=f"-c idle_in_transaction_session_timeout={TIME_OUT}s", spares_copies=True
    ),
    Kind("disk full", 8, fill_disk, on_small_disk=True),
    Kind("clock jump", 8, jump, by_clock=True),
    Kind("started twice", 10, start_twin),
    Kind("import meanwhile", 8, import_besides),
)
OTHERS: Final = 600
"""How many faults are drawn besides the cuts at every boundary, if nobody says how many there are to be."""


def draw_faults(scenarios: Sequence[Scenario], kinds: Sequence[Kind], seed: int, wanted: int | None) -> list[Fault]:
    """Draw faults: cuts at the boundaries that are to be met, and others, of each kind one at least.

    Args:
        scenarios: what they may befall.
        kinds: what may be drawn.
        seed: the same seed draws the same.
        wanted: how many; fewer than there are boundaries leave boundaries out, fewer than there are kinds leave out
            kinds. None: all of those, and `OTHERS`.
    """
    chosen = random.Random(seed)  # noqa: S311  # nobody is to be surprised
    cuts = [(CUT, scenario, point) for scenario in scenarios for point in scenario.boundaries()] if CUT in kinds else []
    chosen.shuffle(cuts)
    others = OTHERS if wanted is None else max(wanted - len(cuts), wanted // 3, min(wanted, len(kinds)))
    wanted = len(cuts) + OTHERS if wanted is None else wanted
    drawn = [*kinds, *chosen.choices(kinds, [kind.weight for kind in kinds], k=max(others - len(kinds), 0))][:others]
    plan = [*cuts[: wanted - others], *(_place(kind, _choose(scenarios, chosen), chosen) for kind in drawn)]
    chosen.shuffle(plan)
    return [Fault(number, *what) for number, what in enumerate(plan)]


def _choose(scenarios: Sequence[Scenario], chosen: random.Random) -> Scenario:
    return chosen.choices(scenarios, [scenario.weight for scenario in scenarios])[0]


def _place(kind: Kind, scenario: Scenario, chosen: random.Random) -> tuple[Kind, Scenario, Point]:
    while True:
        point = Point(chosen.randrange(len(scenario.statements)), chosen.choice(SIDES))
        if not (kind.spares_copies and scenario.is_in_a_copy(point)):
            return kind, scenario, point
