"""Ends groups of processes. As a program it is told of them by lines of its input, and ends them when that ends.

That is when whoever started it ends, however: nothing stays behind when that is killed. It needs nothing but Python.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS_TO_END: Final = 20


def end_groups(groups: Sequence[int], reap: Callable[[], object] = lambda: None) -> None:
    """Interrupt the groups as Ctrl-C does, wait until they are gone, and kill what is not gone in time.

    Args:
        groups: their numbers; those that are gone do not matter.
        reap: asks for the ends of one's own children, which count as there until then.
    """
    left = [group for group in groups if _signalled(group, signal.SIGINT)]
    until = time.monotonic() + SECONDS_TO_END
    while left and time.monotonic() < until:
        time.sleep(0.1)
        reap()
        left = [group for group in left if _signalled(group, 0)]
    for group in left:
        _signalled(group, signal.SIGKILL)


def _signalled(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter: it is somebody else's by now
        return False
    return True


if __name__ == "__main__":
    end_groups([int(line) for line in sys.stdin])
