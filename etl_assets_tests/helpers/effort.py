"""Effort of a test session: the number of random cases, by the profile of Hypothesis.

`make test` tries some of the cases of random and exhaustive tests, others each time; `make storm` tries all of them.
The cases of rules and behaviours are not sampled: they belong in parameters of their tests.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

Case = TypeVar("Case")

EXAMPLES: Final = {"fast": 5, "default": 25, "full": 100, "thorough": 1000}
"""Examples of each property, by profile."""
PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "default")
HISTORIES: Final = {"fast": 2, "default": 6, "full": 25, "thorough": 500}[PROFILE]
"""Random histories of a test that runs the pipeline for each of them: seconds, not milliseconds."""
IS_FULL: Final = PROFILE in ("full", "thorough")
WRITING_SECONDS: Final = 6.0 if IS_FULL else 1.5
"""Time for which many write to a source that is read meanwhile."""


def some_of(cases: Collection[Case], count: int) -> list[Case]:
    """Choose cases at random, in their order; all of them with full effort.

    pytest-randomly seeds the choice before each test: the seed at the head of a session (`-p randomly
    --randomly-seed=N`) repeats it.
    """
    if IS_FULL or count >= len(cases):
        return list(cases)
    chosen = sorted(random.sample(range(len(cases)), count))
    listed = list(cases)
    return [listed[number] for number in chosen]
