"""The whole pipeline against the oracle, on random histories of raw orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from etl_assets_tests import running, strategies
from etl_assets_tests.running import Services, land, run_all, start_afresh, with_batch_size

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset
    from etl_assets_tests.strategies import RawFields


def _imported(services: Services, imports: list[list[RawFields]], preset: Preset) -> None:
    start_afresh(services)
    for rows in imports:
        land(services, rows, preset)


def _assert_ledger_adds_up(services: Services, rows: int) -> None:
    sums = running.query(
        services,
        "SELECT asset, sum(input_rows) AS input, sum(inserted + updated + unchanged + superseded + quarantined) AS fates,"
        " bool_and(input_rows = inserted + updated + unchanged + superseded + quarantined) AS is_exact"
        " FROM etl_batches GROUP BY asset",
    )
    assert all(row["is_exact"] for row in sums)
    if rows:
        assert next(row["input"] for row in sums if row["asset"] == "orders") == rows
    assert running.scalar(services, "SELECT count(*) FROM etl_work") == 0


@given(rows=strategies.raw_field_lists(), preset=strategies.presets(), batch_size=st.integers(1, 12))
def test_the_tables_are_what_the_oracle_works_out(
    services: Services, rows: list[RawFields], preset: Preset, batch_size: int
) -> None:
    _imported(with_batch_size(services, batch_size), [rows], preset)
    run_all(services)
    running.assert_as_expected(services, strategies.number_rows([rows]), preset)
    _assert_ledger_adds_up(services, len(rows))
