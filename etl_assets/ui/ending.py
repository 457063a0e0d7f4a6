"""Termination of process groups; as a program, the watchdog of `dev`.

The watchdog reads numbers of groups from its standard input and ends them at end of file. The kernel closes that pipe
when the parent ends, even by kill -9, so no process is left behind. It imports the standard library only.
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
    """Interrupt groups as Ctrl-C does, wait until they are gone, and kill those that are not gone in time.

    Args:
        groups: their numbers; groups that are gone are skipped.
        reap: waits for ended children of this process, which exist as zombies until then.
    """
    left = [group for group in groups if _signal_group(group, signal.SIGINT)]
    until = time.monotonic() + SECONDS_TO_END
    while left and time.monotonic() < until:
        time.sleep(0.1)
        reap()
        left = [group for group in left if _signal_group(group, 0)]
    for group in left:
        _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal; return whether the group exists."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # PermissionError: the number belongs to another user by now
        return False
    return True


if __name__ == "__main__":
    end_groups([int(line) for line in sys.stdin])
