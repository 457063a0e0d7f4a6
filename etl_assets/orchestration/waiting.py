"""Waits within the tick of a sensor, so that work is requested when it comes and not at the next tick.

Saves the time until the next tick: Dagster's daemon evaluates sensors every five seconds at most, which was 4.2 of the
11 seconds from an import to its leads. Sensors are evaluated in threads (`sensors.use_threads` of the instance), so
that one that waits holds up no other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Callable

Outcome = dg.RunRequest | dg.SkipReason


def look_repeatedly(look: Callable[[], Outcome], wait: Callable[[float], object], *, seconds: float) -> Outcome:
    """Look for work, and again after each `wait`, until there is some or the seconds are over.

    Args:
        look: returns a request, or the reason why there is none.
        wait: waits for at most so many seconds.
        seconds: to look for; with 0 it looks once.
    """
    end = time.monotonic() + seconds
    while True:
        outcome = look()
        left = end - time.monotonic()
        if isinstance(outcome, dg.RunRequest) or left <= 0:
            return outcome
        wait(left)
