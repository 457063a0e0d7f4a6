"""The smallest part of a round that still fails in the same way."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl_assets_tests.fuzz.rounds import Import, Round

FEW_ROWS: Final = 4
"""Only so few are taken apart cell by cell."""


def shrink(drawn: Round, fails: Callable[[Round], bool], *, seconds: float) -> Round:
    """Leave out imports, rows, cells and halves of texts as long as `fails` holds, for so long at most."""
    until = time.monotonic() + seconds

    def tried(candidate: Round) -> bool:
        return time.monotonic() < until and fails(candidate)

    for simpler in (_without_imports, _without_runs):
        drawn = _simplified(drawn, simpler, tried)
    for at in range(len(drawn.imports)):
        drawn = _with_fewer_rows(drawn, at, tried)
    for simpler in (_without_imports, _without_cells, _with_shorter_texts):
        drawn = _simplified(drawn, simpler, tried)
    return drawn


def _simplified(drawn: Round, simpler: Callable[[Round], Iterator[Round]], fails: Callable[[Round], bool]) -> Round:
    """Take the first simpler one that fails, until none does."""
    while (found := next(filter(fails, simpler(drawn)), None)) is not None:
        drawn = found
    return drawn


def _with_fewer_rows(drawn: Round, at: int, fails: Callable[[Round], bool]) -> Round:
    """Leave out halves of an import's rows, then quarters, down to single rows."""
    size = len(drawn.imports[at].rows)
    while size:
        start = 0
        while start < len(drawn.imports[at].rows):
            one = drawn.imports[at]
            candidate = _with(drawn, at, replace(one, rows=one.rows[:start] + one.rows[start + size :]))
            if fails(candidate):
                drawn = candidate
            else:
                start += size
        size //= 2
    return drawn


def _without_imports(drawn: Round) -> Iterator[Round]:
    for at in range(len(drawn.imports)):
        yield replace(drawn, imports=drawn.imports[:at] + drawn.imports[at + 1 :])


def _without_runs(drawn: Round) -> Iterator[Round]:
    if drawn.runs_between:
        yield replace(drawn, runs_between=False)


def _with(drawn: Round, at: int, one: Import) -> Round:
    return replace(drawn, imports=[*drawn.imports[:at], one, *drawn.imports[at + 1 :]])


def _without_cells(drawn: Round) -> Iterator[Round]:
    for at, one in enumerate(drawn.imports):
        for number, row in enumerate(one.rows[:FEW_ROWS]):
            for header, text in row.items():
                if text is not None:
                    rows = [*one.rows[:number], {**row, header: None}, *one.rows[number + 1 :]]
                    yield _with(drawn, at, replace(one, rows=rows))


def _with_shorter_texts(drawn: Round) -> Iterator[Round]:
    for at, one in enumerate(drawn.imports):
        for number, row in enumerate(one.rows[:FEW_ROWS]):
            for header, text in row.items():
                if text is not None and len(text) > 1:
                    for part in (text[: len(text) // 2], text[len(text) // 2 :], text[:-1], text[1:]):
                        rows = [*one.rows[:number], {**row, header: part}, *one.rows[number + 1 :]]
                        yield _with(drawn, at, replace(one, rows=rows))
