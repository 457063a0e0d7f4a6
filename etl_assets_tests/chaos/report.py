"""What a program of faults came to: a table of kinds, and how many of the boundaries were met."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets_tests.chaos.faults import Fault
    from etl_assets_tests.chaos.proxy import Point
    from etl_assets_tests.chaos.rounds import Result
    from etl_assets_tests.chaos.scenarios import Scenario
    from etl_assets_tests.chaos.storm import Storm

COLUMNS: Final = ("faults", "not met", "retries", "lost", "doubled", "differing", "other", "seconds")


@dataclass(slots=True)
class Line:
    """The figures of one kind of fault. A fault is not met if the process was done before it came."""

    faults: int = 0
    not_met: int = 0
    retries: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    other: int = 0
    seconds: float = 0.0

    def figures(self) -> list[str]:
        """As they are printed, in the order of `COLUMNS`."""
        counts = (self.faults, self.not_met, self.retries, self.lost, self.doubled, self.differing, self.other)
        return [*(f"{count:,}" for count in counts), f"{self.seconds:,.1f}"]

    def add(self, other: Line) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Report:
    """Adds up."""

    lines: dict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    bad: list[int] = field(default_factory=list)
    """The numbers of the faults after which something was wrong."""
    bad_storms: int = 0
    cut: dict[str, set[Point]] = field(default_factory=lambda: defaultdict(set))
    """The boundaries at which a connection was cut, by scenario."""

    def add(self, fault: Fault, result: Result) -> None:
        """Add a round."""
        verdict = result.verdict
        self.lines[fault.kind.name].add(
            Line(
                int(result.was_reached),
                int(not result.was_reached),
                result.retries,
                verdict.lost,
                verdict.doubled,
                len(verdict.differing),
                len(verdict.faults),
                result.seconds,
            )
        )
        if not verdict.is_good:
            self.bad.append(fault.number)
        if result.was_reached and fault.kind.name == "connection cut":
            self.cut[fault.scenario.name].add(fault.point)

    def add_storm(self, storm: Storm) -> None:
        """Add a storm on the daemon: what it killed, and under the daemon what was wrong."""
        for victim, killed in storm.killed.items():
            self.lines[f"{victim} killed"].add(Line(faults=killed))
        verdict = storm.verdict
        wrong = Line(0, 0, 0, verdict.lost, verdict.doubled, len(verdict.differing), len(verdict.faults), storm.seconds)
        self.lines["daemon killed"].add(wrong)
        self.bad_storms += int(not verdict.is_good)

    @property
    def total(self) -> Line:
        """All kinds together."""
        total = Line()
        for line in self.lines.values():
            total.add(line)
        return total

    def missing(self, scenarios: Sequence[Scenario]) -> int:
        """How many boundaries were not met."""
        return sum(len(set(scenario.boundaries()) - self.cut[scenario.name]) for scenario in scenarios)

    def table(self) -> list[str]:
        """The lines of the table of kinds."""
        rows = [(name, *line.figures()) for name, line in self.lines.items()]
        return _aligned([("kind", *COLUMNS), *rows, ("all", *self.total.figures())])

    def coverage(self, scenarios: Sequence[Scenario]) -> list[str]:
        """The lines that say of how many statements' boundaries the connection was cut."""
        rows = [
            (scenario.name, f"{len(self.cut[scenario.name] & set(wanted)):,}", f"{len(wanted):,}")
            for scenario in scenarios
            if (wanted := scenario.boundaries())
        ]
        return _aligned([("connection cut before and after each statement of", "met", "of"), *rows])


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
