"""Protocol of the ways: implementations that turn landed raw orders into the tables. Imports nothing of the project."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASSETS = ("shop", "orders", "order_items", "process_items", "customers", "leads")


@dataclass(frozen=True, slots=True)
class Task:
    """Working place of a way: `url` (libpq form), a database with landed raw orders, and `folder`, to write in."""

    url: str
    folder: Path


@dataclass(slots=True)
class Stopwatch:
    """Seconds per step, in the order in which they were first taken."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Add what the block takes to the step."""
        started = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started


class Way(Protocol):
    """One way. It is built once per process and database."""

    def prepare(self) -> None:
        """Make what the way needs in a new database; not timed."""
        ...

    def run(self) -> dict[str, float]:
        """Process everything that has been landed since the last run; returns the seconds per asset."""
        ...
