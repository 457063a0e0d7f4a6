"""Processes that begin at once: forked from one that has imported everything and has begun nothing.

`python -m etl_assets_tests.chaos.nursery` is that process. It takes a line of JSON for each child that is wanted and
says the child's process id and, when it has ended, its status. It runs no query and no Polars expression itself, so
that a child inherits no pool of threads that are not there any more.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAIT_SECONDS: Final = 120
"""A child that takes longer hangs: the longest of them takes a few seconds."""
_POOL: Final = "polars-0"
"""The name of the first thread of Polars' pool."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a child does: a name of `operations.OPERATIONS`, and its arguments."""

    name: str
    arguments: tuple[str, ...] = ()


@dataclass(slots=True)
class Child:
    """A process that does one operation."""

    pid: int
    log: Path
    _status: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> int:
        """Wait for its end; returns its exit code, less than 0 for a signal."""
        if not self._ended.wait(WAIT_SECONDS):
            self.send(signal.SIGABRT)
            msg = f"A process did not end within {WAIT_SECONDS} s: see {self.log}."
            raise TimeoutError(msg)
        assert self._status is not None
        return self._status

    def wait_for(self, seconds: float) -> None:
        """Wait for its end, but no longer than that."""
        self._ended.wait(seconds)

    def end(self, status: int) -> None:
        self._status = os.waitstatus_to_exitcode(status)
        self._ended.set()

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(self.pid, number)


class Nursery:
    """The process that children are forked from, as seen by who wants them."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        # OpenBLAS begins threads when it is imported.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "etl_assets_tests.chaos.nursery"],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._born: queue.Queue[Child] = queue.Queue()
        self._children: dict[int, Child] = {}
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, operation: Operation, environment: Mapping[str, str]) -> Child:
        """Start a child, with these variables in its environment besides the nursery's own."""
        assert self._process.stdin is not None
        with self._lock:
            self._count += 1
            log = self._folder / f"{self._count}.log"
            wanted = {
                "name": operation.name,
                "arguments": operation.arguments,
                "log": str(log),
                "environment": {**environment},
            }
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            return self._born.get(timeout=WAIT_SECONDS)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(WAIT_SECONDS)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                said = json.loads(line)
                if "status" in said:
                    self._children.pop(said["pid"]).end(said["status"])
                else:
                    child = Child(said["pid"], Path(said["log"]))
                    self._children[child.pid] = child
                    self._born.put(child)


def main() -> None:
    """Fork a child for each line of standard input, and say what becomes of it, until there are no more lines."""
    from etl_assets_tests.chaos.operations import OPERATIONS  # noqa: PLC0415  # nobody else here needs all that

    if any(path.read_text().startswith(_POOL) for path in Path("/proc/self/task").glob("*/comm")):
        msg = "What is imported runs a Polars query: import it in the operation that needs it, or children hang."
        raise RuntimeError(msg)
    deaths, told = os.pipe()
    os.set_blocking(told, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the next line has something to tell
    signal.set_wakeup_fd(told)
    rest = b""
    while True:
        ready, _, _ = select.select([sys.stdin, deaths], [], [])
        if deaths in ready:
            os.read(deaths, 4096)
            _bury()
        if sys.stdin in ready:
            block = os.read(sys.stdin.fileno(), 1 << 16)
            if not block:
                return
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                _bear(json.loads(line), OPERATIONS)


def _bear(wanted: dict[str, Any], operations: Mapping[str, Callable[..., None]]) -> None:
    pid = os.fork()
    if pid:
        _say(pid=pid, log=wanted["log"])
        return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        faulthandler.enable()  # who waits for it in vain sends it SIGABRT
        os.environ.update(wanted["environment"])
        operations[wanted["name"]](*wanted["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # nothing of a child may go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _bury() -> None:
    with suppress(ChildProcessError):  # nobody is left
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _say(pid=pid, status=status)


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
