"""The side of the child: answers requests, tells of its progress, and ends with the process that started it."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRESS: Final = {"progress": True}
PROGRESS_SECONDS: Final = 1.0
WAITING_ANSWERS: Final = 2
"""So many pieces are made while the other side is busy with one: both processes are at work."""
_PR_SET_PDEATHSIG: Final = 1


class Answers:
    """Sends answers in their order, in a thread of its own. Whoever makes too many waits."""

    def __init__(self) -> None:
        """Take over stdout: whatever a library prints must not end up between the answers."""
        self._pipe = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._waiting: queue.Queue[tuple[dict[str, Any], bytes | memoryview]] = queue.Queue(WAITING_ANSWERS)
        self._notified_at = 0.0
        threading.Thread(target=self._send, daemon=True).start()

    def send(self, message: Mapping[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send an answer, and the bytes that belong to it."""
        self._waiting.put((dict(message), payload))

    def progress(self) -> None:
        """Say that the work goes on. Cheap: to be called wherever something has been read or made."""
        now = time.monotonic()
        if now - self._notified_at < PROGRESS_SECONDS:
            return
        self._notified_at = now
        if self._waiting.empty():  # else there is something better to be heard
            self._waiting.put((PROGRESS, b""))

    def _send(self) -> None:
        try:
            while True:
                message, payload = self._waiting.get()
                size = memoryview(payload).nbytes
                self._pipe.write(json.dumps({**message, "bytes": size} if size else message).encode() + b"\n")
                self._pipe.write(payload)
                self._pipe.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody listens any more


def serve(
    parent: int,
    work: Callable[[dict[str, Any], Answers], None],
    describe: Callable[[BaseException], dict[str, Any]],
) -> NoReturn:
    """Answer requests until stdin ends; then end at once, whatever is under way.

    Args:
        parent: the id of the process that started this one.
        work: does what a request asks for, and sends the answers.
        describe: the answer that tells of a failure of `work`.
    """
    _end_with(parent)
    answers = Answers()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    answers.send({"ready": True})
    while True:
        request = json.loads(requests.get())
        try:
            work(request, answers)
        except BaseException as error:  # noqa: BLE001  # a panic of Rust code is no Exception
            answers.send(describe(error))


def _receive(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _end_with(parent: int) -> None:
    """Have the system kill this process with its parent: one that hangs may not come to see that stdin has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
