"""The asset graph is whole, and everything that goes by asset has an entry for each."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, get_args

import polars as pl
import pytest

from etl_assets.asset_graph import (
    ASSETS,
    DOWNSTREAM,
    SCOPE_COLUMNS,
    SPECS,
    STEP_ASSETS,
    TABLE_SPECS,
    AssetName,
    TableSpec,
)
from etl_assets.database.schema import metadata
from etl_assets.events import subjects
from etl_assets.ledger.queue import RawIdRange
from etl_assets.pipeline.order_lines import OrderChildTable
from etl_assets.quality.checks import CHECKS, Check
from etl_assets.quality.running import scope_condition
from etl_assets.run import async_runs
from etl_assets.run.registry import STEPS

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetSpec

per_asset = pytest.mark.parametrize("spec", ASSETS, ids=lambda spec: spec.name)


def test_the_names_for_the_type_checker_are_those_of_the_graph() -> None:
    assert get_args(AssetName) == tuple(SPECS)
    assert len(SPECS) == len(ASSETS)


def test_assets_stand_upstream_first() -> None:
    for place, spec in enumerate(ASSETS):
        before = {other.name for other in ASSETS[:place]}
        assert {*spec.deps, *filter(None, (spec.enqueued_by, spec.triggered_by))} <= before, spec.name


def test_every_asset_with_a_queue_has_a_step_under_its_name() -> None:
    assert tuple(STEPS) == STEP_ASSETS
    assert [step.asset for step in STEPS.values()] == list(STEP_ASSETS)
    assert [spec.name for spec in ASSETS if spec.enqueued_by is None] == ["raw_orders"]
    assert all((spec.enqueued_by is None) == (spec.triggered_by is None) for spec in ASSETS)


def test_ranges_are_handed_on_only_to_assets_that_read_them_so() -> None:
    """`orders` makes ranges of orders out of ranges of imports; every other asset hands its own on."""
    for asset, consumers in DOWNSTREAM.items():
        made = {"raw_orders": "imports", "shop": "imports"}.get(asset, "orders")
        assert all((SPECS[consumer].range_content == "imports") == (made == "imports") for consumer in consumers)


def test_subjects_are_unique_and_the_constants_are_all_published() -> None:
    published = [spec.publishes for spec in ASSETS]
    assert len(set(published)) == len(published)
    constants = {value for name, value in vars(subjects).items() if name.endswith("_COMPLETED")}
    assert constants <= set(published)


@per_asset
def test_tables_and_their_columns_exist(spec: AssetSpec) -> None:
    assert set(spec.key) <= set(metadata.tables[spec.table].columns.keys())
    for table in spec.tables:
        columns = set(metadata.tables[table.name].columns.keys())
        assert set(SCOPE_COLUMNS[table.scope]) <= columns
        for reference in table.references:
            assert set(reference.columns) <= columns & set(metadata.tables[reference.parent].columns.keys())


def test_a_table_belongs_to_one_asset() -> None:
    assert len(TABLE_SPECS) == sum(len(spec.tables) for spec in ASSETS)


@per_asset
def test_every_asset_with_a_step_has_its_checks_and_the_lineage_of_its_key(spec: AssetSpec) -> None:
    names = {check.name for check in CHECKS if check.asset == spec.name}
    assert {"row_count_equation", "table_matches_ledger"} <= names
    if spec.name in STEP_ASSETS:
        assert {"unique_keys", "within_time_limit", "near_recent_median"} <= names
        assert set(spec.key) <= set(spec.lineage)
    assert ("no_open_quarantine" in names) == spec.is_quarantining


def test_the_coroutines_of_the_contract_run_their_asset() -> None:
    for asset in ("shop", "orders", "order_items", "process_items", "customers", "leads"):
        function = getattr(async_runs, f"run_etl_{asset}")
        assert inspect.iscoroutinefunction(function)
        assert (function.__name__, inspect.getclosurevars(function).nonlocals["asset"]) == (f"run_etl_{asset}", asset)


def test_a_check_whose_table_has_no_declared_scope_is_refused_where_it_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = "SELECT count(*) FROM shop_configs t WHERE {scope}"
    with pytest.raises(ValueError, match="orders:some_check: no scope of shop_configs is declared"):
        Check("some_check", "orders", "Nothing.", query, table="shop_configs")
    with pytest.raises(ValueError, match="go together"):
        Check("some_check", "orders", "Nothing.", query)
    wrong = {**TABLE_SPECS, "shop_configs": TableSpec("shop_configs", scope="order_no")}
    monkeypatch.setattr("etl_assets.quality.checks.TABLE_SPECS", wrong)
    with pytest.raises(ValueError, match="no scope of shop_configs is declared"):
        Check("some_check", "orders", "Nothing.", query, table="shop_configs")


@pytest.mark.parametrize("table", [table.name for table in TABLE_SPECS.values() if table.scope != "none"])
def test_a_scope_names_the_columns_that_are_declared(table: str) -> None:
    condition = scope_condition(table, [RawIdRange(7, 10, 19)])
    assert all(f"t.{column}" in condition for column in SCOPE_COLUMNS[TABLE_SPECS[table].scope])


def test_a_table_of_order_lines_takes_name_and_key_from_the_graph() -> None:
    with pytest.raises(ValueError, match="leads: the schema of its rows lacks lead_id, order_no"):
        OrderChildTable(asset="leads", schema={})
    lines = OrderChildTable(asset="leads", schema={"order_no": pl.Int64(), "lead_id": pl.String()})
    assert (lines.name, lines.key) == ("business_leads", ("lead_id",))
