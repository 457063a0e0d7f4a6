"""A short fuzzing session, and that one would find what is wrong. Long ones: `make fuzz`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from etl_assets_tests.fuzz.layouts import LAYOUTS
from etl_assets_tests.fuzz.rounds import Import, Round, draw_round, good_rows
from etl_assets_tests.fuzz.session import Session
from etl_assets_tests.helpers import reference_values

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

SEED = 7
ROUNDS = 2 * len(LAYOUTS)
ROWS = 400


def session_of(services: Services, folder: Path, said: list[str]) -> Session:
    return Session(services, folder, SEED, ROWS, said.append)


@pytest.mark.slow
def test_odd_values_and_files_come_to_what_the_oracles_say(services: Services, tmp_path: Path) -> None:
    said: list[str] = []
    session = session_of(services, tmp_path, said)
    session.run(until=lambda so_far: so_far.rounds >= ROUNDS)
    assert session.failures == [], said
    assert session.rounds == ROUNDS


@pytest.mark.slow
def test_what_is_wrong_is_found_kept_and_made_small(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_values, "LEAP_SECOND", 59)  # as if the pipeline were wrong about these
    said: list[str] = []
    session = session_of(services, tmp_path, said)
    drawn = Round("generic", [Import("csv", 1, good_rows(LAYOUTS["generic"])[:4]) for _ in range(2)])
    drawn.imports[1].rows[2] = {**drawn.imports[1].rows[2], "ordered_at": "2016-12-31 23:59:60"}
    session.try_round(drawn, "planted")
    assert len(session.failures) == 1
    smallest = Round.load(tmp_path / "planted" / "smallest.json")
    (one,) = smallest.imports
    (row,) = one.rows
    assert str(row["ordered_at"]).endswith("6-12-31 23:59:60")
    assert sum(text is not None for text in row.values()) == 4  # the order's key and that time
    assert any("planted FAILED" in line for line in said)
    monkeypatch.undo()
    again = session_of(services, tmp_path, said)
    again.try_round(smallest, "corrected")
    assert again.failures == []


def test_a_round_is_the_same_whenever_it_is_drawn_and_can_be_kept(tmp_path: Path) -> None:
    drawn = draw_round(SEED, 5, 300)
    assert draw_round(SEED, 5, 300) == drawn
    assert draw_round(SEED + 1, 5, 300) != drawn
    drawn.save(tmp_path / "round.json")
    assert Round.load(tmp_path / "round.json") == drawn
    assert replace(drawn, imports=[]).cells == 0
