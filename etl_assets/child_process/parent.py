"""Parent side of a child process, for work that may hang, crash or take all memory: import files, database drivers.

A request is a line of JSON on the child's stdin; an answer is a line of JSON on its stdout, followed by as many bytes
as its key `bytes` names. The other side is `child`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from etl_assets.child_process.child import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

START_SECONDS: Final = 60
PIPE_BYTES: Final = 1 << 20
MAX_PAYLOAD_BYTES: Final = 1 << 30
"""More than any answer of a child: one that announces more is broken, and is killed."""
QUIET: Final = {"RUST_BACKTRACE": "0", "RUST_LOG": "off"}


class ChildEndedError(Exception):
    """Error of a child that has ended; `returncode` is negative where a signal ended it."""

    def __init__(self, returncode: int) -> None:
        """Keep the code."""
        self.returncode = returncode
        super().__init__(f"ended with {returncode}")


class ChildSilentError(Exception):
    """Error of a child that sent nothing for too long, and was killed."""


class ChildProcess:
    """Child process that runs a module of this project, started at once; a context manager."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it; the first call waits until it is ready.

        Args:
            module: its `main` calls `serve`.
            arguments: for it, after the id of this process.
            environment: all of its environment variables; by default those of this process.
        """
        self._buffer = bytearray()
        self._is_ready = False
        self._process = subprocess.Popen(  # noqa: S603  # this project's own module
            # -P: no module is taken from the folder that the command was started in.
            [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # drivers, readers and panics print values
            env={**(os.environ if environment is None else environment), **QUIET},
        )
        if self._process.stdout is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            try:
                fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            except OSError:
                return  # the user's limit of pipe memory is reached: the default size works as well

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it: it has nothing to save."""
        self.kill()

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Test that it has ended."""
        return self._process.poll() is not None

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request. Raises `ChildEndedError`, or `ChildSilentError` where it never became ready."""
        if not self._is_ready:
            self._message(START_SECONDS)
            self._is_ready = True
        pipe = self._process.stdin
        try:
            if pipe is None or pipe.closed:
                raise BrokenPipeError  # noqa: TRY301  # the same as a pipe whose reader is gone
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            self._ended()

    def receive(self, seconds: float) -> tuple[dict[str, Any], bytearray]:
        """Wait for the next answer and its payload.

        The time between two calls does not count.

        Raises:
            ChildSilentError: nothing was received for so long, no progress either; it was killed.
            ChildEndedError: it has ended.
        """
        while True:
            message = self._message(seconds)
            payload = self._take(message.pop("bytes", 0), seconds)
            if message != PROGRESS:
                return message, payload

    def kill(self) -> None:
        """End the process now and wait for it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:  # a request that could not be sent is dropped
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _message(self, seconds: float) -> dict[str, Any]:
        while (end := self._buffer.find(b"\n")) < 0:
            self._wait(seconds)
        line = self._take(end + 1, seconds)
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not 0 <= message.get("bytes", 0) <= MAX_PAYLOAD_BYTES:
            self._ended()
        return message

    def _take(self, size: int, seconds: float) -> bytearray:
        while len(self._buffer) < size:
            self._wait(seconds)
        taken = self._buffer[:size]
        del self._buffer[:size]
        return taken

    def _wait(self, seconds: float) -> None:
        """Wait for some bytes."""
        pipe = self._process.stdout
        if pipe is None or pipe.closed:
            self._ended()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        deadline = time.monotonic() + seconds
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            self.kill()
            raise ChildSilentError
        part = os.read(pipe.fileno(), PIPE_BYTES)
        if not part:
            self._ended()
        self._buffer += part

    def _ended(self) -> NoReturn:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # its own code, where it is about to end by itself
        self.kill()
        raise ChildEndedError(self._process.returncode)
