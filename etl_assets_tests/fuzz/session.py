"""A fuzzing session: rounds against a PostgreSQL of its own until the time is over or one fails."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets_tests.fuzz.checking import OddityError, check_round, learn_neighbours
from etl_assets_tests.fuzz.layouts import LAYOUTS
from etl_assets_tests.fuzz.rounds import Round, draw_round
from etl_assets_tests.fuzz.shrinking import shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

ROUND_SECONDS: Final = 300
"""A round that takes longer hangs."""
SHRINKING_SECONDS: Final = 90


@dataclass
class Session:
    """What has been done, and what was found."""

    services: Services
    folder: Path
    seed: int
    rows: int
    say: Callable[[str], None]
    rounds: int = 0
    cells: int = 0
    lines: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    reader: FileReader = field(default_factory=FileReader)
    """Reads the files of all rounds."""

    def run(self, *, first: int = 0, until: Callable[[Session], bool]) -> None:
        """Run rounds from the first on."""
        with self.reader:
            for name in LAYOUTS:
                with _files(self.folder / "good") as files:
                    learn_neighbours(self.services, self.reader, name, files)
            number = first
            while not until(self) and not self.failures:
                self._try(draw_round(self.seed, number, self.rows), f"seed {self.seed}, round {number}")
                number += 1

    def try_round(self, drawn: Round, name: str) -> None:
        """Run one round; keep what fails."""
        with self.reader:
            self._try(drawn, name)

    def _try(self, drawn: Round, name: str) -> None:
        began = time.monotonic()
        error = self._error_of(drawn)
        self.seconds += time.monotonic() - began
        self.rounds += 1
        self.cells += drawn.cells
        self.lines += sum(len(one.rows) for one in drawn.imports)
        if error is not None:
            self._keep(drawn, name, error)

    def _error_of(self, drawn: Round) -> BaseException | None:
        try:
            with _files(self.folder / "round") as files, _limited(ROUND_SECONDS):
                check_round(self.services, self.reader, drawn, files)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what was looked for
            return error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            return error
        return None

    def _keep(self, drawn: Round, name: str, error: BaseException) -> None:
        self.say(f"{name} FAILED: {_told(error)}")
        kept = self.folder / name.replace(", ", "-").replace(" ", "-")
        kept.mkdir(parents=True, exist_ok=True)
        drawn.save(kept / "round.json")
        self.say(f"looking for the smallest part that fails, {SHRINKING_SECONDS} s at most …")
        kind = _kind(error)

        def fails(candidate: Round) -> bool:
            found = self._error_of(candidate)
            return found is not None and _kind(found) == kind

        smallest = shrink(drawn, fails, seconds=SHRINKING_SECONDS)
        smallest.save(kept / "smallest.json")
        last = self._error_of(smallest)
        shutil.copytree(self.folder / "round", kept / "files", dirs_exist_ok=True)
        self.say(f"smallest: {_described(smallest)}")
        self.say(f"it says: {_told(last or error)}")
        self.say(f"kept in {kept}; again: python -m etl_assets_tests.fuzz --replay {kept / 'smallest.json'}")
        self.failures.append(f"{name}: {_told(last or error)}")


def _kind(error: BaseException) -> str:
    return error.what if isinstance(error, OddityError) else type(error).__name__


def _told(error: BaseException) -> str:
    return f"{type(error).__name__} {error}"


def _described(drawn: Round) -> str:
    rows = [f"{one.kind}{f' ({one.damage})' if one.damage else ''}: {one.rows}" for one in drawn.imports]
    text = f"{drawn.layout_name}, " + "; ".join(rows)
    return text if len(text) < 3_000 else f"{text[:3_000]} …"


@contextmanager
def _files(folder: Path) -> Iterator[Path]:
    """An empty folder; what is in it stays until the next time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def give_up(_signal: int, _frame: object) -> None:
        msg = f"more than {seconds} s"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
