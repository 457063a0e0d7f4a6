"""Child processes of sources that serve one pull after another, as starting one takes longer than what it does."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from etl_assets.child_process.parent import ChildProcess
from etl_assets.sources.process import Child, ChildFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator


class KeptChild(Child):
    """Process that is kept for the next pull of this test process, unless it was stopped within a request."""

    idle: ClassVar[dict[str, list[ChildProcess]]] = {}

    def __init__(self, source: str, role: Literal["driver", "reader"]) -> None:
        self._source, self._role, self._is_busy = source, role, False
        # The kernel ends a child with the thread that started it.
        self._is_kept = threading.current_thread() is threading.main_thread()
        living = (one for one in iter(self._take_idle, None) if not one.has_ended)
        kept = next(living, None) if self._is_kept else None
        self._process = kept or ChildProcess("etl_assets.sources.child", role)

    def _take_idle(self) -> ChildProcess | None:
        idle = self.idle.get(self._role)
        return idle.pop() if idle else None

    def call(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        self._is_busy = True
        try:
            answer = super().call(request, seconds)
        except ChildFailedError:
            self._is_busy = False
            raise
        self._is_busy = False
        return answer

    def kill(self) -> None:
        if self._is_kept and not self._is_busy and not self._process.has_ended:
            self.idle.setdefault(self._role, []).append(self._process)
        else:
            super().kill()


@contextmanager
def kept_children() -> Iterator[type[KeptChild]]:
    """Keep the processes until the end of the session."""
    yield KeptChild
    for idle in KeptChild.idle.values():
        for process in idle:
            process.kill()
    KeptChild.idle.clear()
