"""Talks to the processes that touch a source's database. A call has a deadline, after which its process is killed."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self

from etl_assets.sources.errors import SourceReadError

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS: Final = 60
KINDS_OF_CODE: Final = {
    "28P01": "the user or the password is wrong",
    "28000": "this user may not connect from here",
    "3D000": "there is no such database",
    "42P01": "there is no such table",
    "42703": "there is no such column",
    "42501": "this user may not read it",
    "25006": "it would write, which a source never does",
    "57014": "it took longer than timeout_seconds",
    "57P01": "the server ended the connection",
    "1044": "this user may not use the database",
    "1045": "the user or the password is wrong",
    "1049": "there is no such database",
    "1054": "there is no such column",
    "1060": "two columns have the same name",
    "1142": "this user may not do that",
    "1146": "there is no such table",
    "1792": "it would write, which a source never does",
    "1969": "it took longer than timeout_seconds",
    "2003": "the server can't be reached",
}
"""What SQLSTATEs of PostgreSQL and error numbers of MariaDB mean to the user."""


class ChildFailedError(SourceReadError):
    """The child answered with a failure; `code` is the database's, where there is one."""

    def __init__(self, source: str, failed: str, error: str, code: str | None) -> None:
        """Build the text from what the child may say."""
        self.code = code
        what = "does not accept the connection" if failed == "connect" else "could not be read"
        meaning = KINDS_OF_CODE.get(code or "", "see the database's log")
        kind = f"{error}, code {code}" if code else error
        super().__init__(f"Source {source}: its database {what}: {meaning} ({kind}). Nothing was imported.")


class Child:
    """One process of `etl_assets.sources.child`, started at once; use it as a context manager."""

    def __init__(self, source: str, role: Literal["driver", "reader"]) -> None:
        """Start it; `ready` is waited for by the first call."""
        self._source = source
        self._buffer = b""
        self._is_ready = False
        environment = {**os.environ, "RUST_BACKTRACE": "0", "RUST_LOG": "off"}
        self._process = subprocess.Popen(  # noqa: S603  # this project's own module
            [sys.executable, "-m", "etl_assets.sources.child", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # drivers and panics print values
            env=environment,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it: it has nothing to save."""
        self.kill()

    def call(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            SourceReadError: it failed, its process died, or there was no answer in time (then the process is killed).
        """
        if not self._is_ready:
            self._answer(START_SECONDS)
            self._is_ready = True
        pipe = self._process.stdin
        try:
            if pipe is None or pipe.closed:
                raise BrokenPipeError  # noqa: TRY301  # the same as a pipe whose reader is gone
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            self._died()
        answer = self._answer(seconds)
        if "failed" in answer:
            raise ChildFailedError(self._source, answer["failed"], answer["error"], answer["code"])
        return answer

    def kill(self) -> None:
        """End the process now and wait for it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # What could not be sent any more is of no use.
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _answer(self, seconds: float) -> dict[str, Any]:
        pipe = self._process.stdout
        if pipe is None or pipe.closed:
            self._died()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([pipe], [], [], max(left, 0))
            if not ready:
                self.kill()
                msg = (
                    f"Source {self._source}: its database did not answer within {seconds:g} s. Nothing was imported; "
                    "the next pull tries again. Raise timeout_seconds if the read needs longer."
                )
                raise SourceReadError(msg)
            part = os.read(pipe.fileno(), 1 << 20)
            if not part:
                self._died()
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _died(self) -> NoReturn:
        self.kill()
        msg = f"Source {self._source}: the process that read it ended (code {self._process.returncode}). Try again."
        raise SourceReadError(msg)
