"""The whole pipeline against the oracle, on random histories of raw orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets_tests.helpers import pipeline, strategies
from etl_assets_tests.helpers.effort import HISTORIES
from etl_assets_tests.helpers.pipeline import TABLES, land, run_all, start_afresh, with_batch_size

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services
    from etl_assets.presets.model import Preset
    from etl_assets_tests.helpers.strategies import RawFields

random_histories = settings(max_examples=HISTORIES)
pytestmark = pytest.mark.sampled


def _imported(services: Services, imports: list[list[RawFields]], preset: Preset) -> None:
    start_afresh(services)
    for rows in imports:
        land(services, rows, preset)


def _assert_ledger_adds_up(services: Services, rows: int) -> None:
    sums = pipeline.query(
        services,
        "SELECT asset, sum(input_rows) AS input,"
        " bool_and(input_rows = inserted + updated + unchanged + superseded + quarantined) AS is_exact"
        " FROM etl_batches GROUP BY asset",
    )
    assert all(row["is_exact"] for row in sums)
    if rows:
        assert next(row["input"] for row in sums if row["asset"] == "orders") == rows
    assert pipeline.scalar(services, "SELECT count(*) FROM etl_work") == 0


@given(
    rows=strategies.raw_field_lists(max_size=15), preset=strategies.presets(), batch_size=st.sampled_from((4, 7, 1000))
)
@settings(max_examples=2 * HISTORIES)
def test_the_tables_are_what_the_oracle_works_out(
    services: Services, rows: list[RawFields], preset: Preset, batch_size: int
) -> None:
    _imported(with_batch_size(services, batch_size), [rows], preset)
    run_all(services)
    pipeline.assert_as_expected(services, strategies.number_rows([rows]), preset)
    _assert_ledger_adds_up(services, len(rows))


@pytest.mark.slow
@given(data=st.data(), preset=strategies.presets(), batch_size=st.sampled_from((3, 1000)))
@random_histories
def test_runs_between_imports_make_no_difference(
    services: Services, data: st.DataObject, preset: Preset, batch_size: int
) -> None:
    rows = data.draw(strategies.raw_field_lists(max_size=15))
    imports = data.draw(strategies.split_into_imports(rows))
    start_afresh(with_batch_size(services, batch_size))
    for part in imports:
        land(services, part, preset)
        if data.draw(st.booleans()):
            run_all(services)
    run_all(services)
    pipeline.assert_as_expected(services, strategies.number_rows(imports), preset)
    _assert_ledger_adds_up(services, len(rows))


@pytest.mark.slow
@given(data=st.data(), preset=strategies.presets())
@random_histories
def test_imports_may_come_in_any_order_where_every_version_says_when_it_is_from(
    services: Services, data: st.DataObject, preset: Preset
) -> None:
    rows = data.draw(strategies.raw_field_lists(max_size=12))
    for second, row in enumerate(rows):
        row |= {"updated_at": f"2024-01-01 00:00:{second:02}", "platform_order_id": None}  # which the first one keeps
    imports = data.draw(strategies.split_into_imports(rows))
    shuffled = data.draw(st.permutations(imports))
    start_afresh(with_batch_size(services, 5))
    for part in shuffled:
        land(services, part, preset)
        run_all(services)
    landed = strategies.number_rows(shuffled)
    pipeline.assert_as_expected(services, landed, preset)
    in_order, as_landed = (pipeline.work_out(each, preset) for each in (strategies.number_rows(imports), landed))
    for table in ("shops", "order_items", "process_items", "customers", "leads", "lead_orders"):
        pipeline.assert_same(table, getattr(as_landed, table), getattr(in_order, table))


@pytest.mark.slow
@given(rows=strategies.raw_field_lists(max_size=12), preset=strategies.presets())
@random_histories
def test_nothing_new_writes_nothing(services: Services, rows: list[RawFields], preset: Preset) -> None:
    _imported(with_batch_size(services, 1000), [rows], preset)
    run_all(services)
    before = pipeline.snapshot(services)
    run_all(services)
    assert pipeline.snapshot(services) == before, "a second run"
    with_batch_size(services, 4)
    run_all(services, full_refresh=True)
    assert pipeline.snapshot(services) == before, "a full refresh"
    with_batch_size(services, 1000)
    land(services, rows, preset)
    result = run_all(services)["orders"]
    after = pipeline.snapshot(services)
    assert {table: after[table] for table in TABLES} == {table: before[table] for table in TABLES}, (
        "the same file again"
    )
    assert result.counts.inserted == result.counts.updated == 0
