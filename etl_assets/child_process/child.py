"""Child side of a child process: receives requests, sends answers and progress, ends with the parent process.

The commands do not belong here: each child is a module of its own whose `main` calls `serve`.
"""

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
"""Answers that may wait to be sent, so that child and parent work at the same time."""
_PR_SET_PDEATHSIG: Final = 1


class Answers:
    """Queue of answers, sent in their order by a thread; `send` blocks while it is full."""

    def __init__(self) -> None:
        """Take over stdout: nothing that a library prints may get between the answers."""
        self._pipe = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._waiting: queue.Queue[tuple[dict[str, Any], bytes | memoryview]] = queue.Queue(WAITING_ANSWERS)
        self._reported_at = 0.0
        threading.Thread(target=self._send, daemon=True).start()

    def send(self, message: Mapping[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send an answer, and the bytes that belong to it."""
        self._waiting.put((dict(message), payload))

    def progress(self) -> None:
        """Report progress. Cheap: to be called wherever something has been read or made."""
        now = time.monotonic()
        if now - self._reported_at < PROGRESS_SECONDS:
            return
        self._reported_at = now
        if self._waiting.empty():  # a waiting answer reports progress as well
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
            os._exit(0)  # the parent is gone


def serve(
    parent: int,
    handle: Callable[[dict[str, Any], Answers], None],
    describe: Callable[[BaseException], dict[str, Any]],
) -> NoReturn:
    """Answer requests until stdin ends; then end at once, in the middle of a request too.

    Args:
        parent: the id of the process that started this one.
        handle: handles a request, and sends the answers.
        describe: returns the answer to a failure of `handle`.
    """
    _end_with(parent)
    answers = Answers()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    answers.send({"ready": True})
    while True:
        request = json.loads(requests.get())
        try:
            handle(request, answers)
        except BaseException as error:  # noqa: BLE001  # a panic of Rust code is no Exception
            answers.send(describe(error))


def _receive(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process with its parent: one that hangs would not notice the end of stdin."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
