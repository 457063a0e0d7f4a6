"""Cases of the benchmark, with the ways and sizes of a quick and of a full run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["first_load", "changed", "shipped", "nothing_new", "reimport", "imports", "reverted"]

WAYS = ("ours", "set_sql", "dlt_dbt", "orm", "floor")
INCREMENTAL = ("ours", "set_sql")
ORM_ORDERS = 500
"""Number of orders on which row by row is measured; its seconds per order are multiplied."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: `orders` are landed for the first load; other kinds work on top of that many."""

    kind: Kind
    orders: int
    ways: tuple[str, ...]
    bad_share: float = 0.0
    parts: int = 1
    once: bool = False
    """True if the case is so long that each way is timed once, compared in that run, and not counted."""

    @property
    def name(self) -> str:
        """Name in results and on the command line."""
        if self.kind == "first_load":
            return f"first_load_{short(self.orders)}" + ("_bad" if self.bad_share else "")
        if self.kind == "imports":
            return f"imports_{self.parts}x{short(self.orders // self.parts)}"
        return f"{self.kind}_on_{short(self.orders)}"

    @property
    def handled(self) -> int:
        """Number of raw orders that one run handles, for rows per second."""
        return {"changed": 1_000, "shipped": 1_000, "reverted": 1_000, "nothing_new": 0}.get(self.kind, self.orders)


def short(number: int) -> str:
    """Shorten a number: 10000 to 10k, 1000000 to 1m."""
    for unit, name in ((1_000_000, "m"), (1_000, "k")):
        if number >= unit and number % unit == 0:
            return f"{number // unit}{name}"
    return str(number)


def quick_cases() -> list[Case]:
    """Return the cases of `make bench`: a few minutes."""
    return [
        Case("first_load", 10_000, WAYS),
        Case("first_load", 100_000, WAYS),
        Case("first_load", 100_000, INCREMENTAL, bad_share=0.01),
        Case("changed", 10_000, INCREMENTAL),
        Case("changed", 100_000, INCREMENTAL),
        Case("shipped", 100_000, INCREMENTAL),
        Case("nothing_new", 100_000, INCREMENTAL),
        Case("reverted", 100_000, ("ours",)),
        Case("reimport", 100_000, INCREMENTAL),
        Case("imports", 10_000, INCREMENTAL, parts=10),
    ]


def full_cases() -> list[Case]:
    """Return all cases: two hours, and some 60 GB of disk for the ten million."""
    million = 1_000_000
    return [
        Case("first_load", 10_000, WAYS),
        Case("first_load", 100_000, WAYS),
        Case("first_load", million, WAYS),
        Case("first_load", million, ("ours",), bad_share=0.01),
        Case("changed", 10_000, INCREMENTAL),
        Case("changed", million, INCREMENTAL),
        Case("shipped", 10_000, INCREMENTAL),
        Case("shipped", million, INCREMENTAL),
        Case("nothing_new", million, INCREMENTAL),
        Case("reverted", million, ("ours",)),
        Case("reimport", million, INCREMENTAL),
        Case("imports", 100_000, INCREMENTAL, parts=100, once=True),
        Case("first_load", 10 * million, ("ours", "set_sql", "floor"), once=True),
        Case("changed", 10 * million, INCREMENTAL),
        Case("shipped", 10 * million, INCREMENTAL),
        Case("nothing_new", 10 * million, INCREMENTAL),
        Case("reverted", 10 * million, ("ours",)),
    ]
