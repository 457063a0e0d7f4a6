"""Reverts and restores of imports: afterwards all tables are what they would be without, or again with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.orders.redecide import narrow_ranges
from etl_assets.pipeline.runner import run_step
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.reverts.imports import RevertError, restore_imports, revert_imports
from etl_assets.run.registry import STEPS, run_asset
from etl_assets.shop.configure import set_shop
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.pipeline import (
    PRESET,
    comparable,
    land,
    query,
    raw_fields,
    run_all,
    scalar,
    snapshot,
    with_batch_size,
)
from etl_assets_tests.helpers.wrapped_step import WrappedStep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services

WARNINGS_OF_SPEED = ("within_time_limit", "near_recent_median")


def order(order_id: str | None, **fields: str | None) -> dict[str, str | None]:
    usual = {"customer_name": "Ann", "amount": "5", "items": "Mug*2", "ordered_at": "2024-01-05 10:00"}
    return raw_fields(order_id, **(usual | fields))


def revert(services: Services, *import_ids: UUID) -> None:
    revert_imports(services.database, import_ids)
    run_all(services)


def restore(services: Services, *import_ids: UUID) -> None:
    restore_imports(services.database, import_ids)
    run_all(services)


def with_ids(services: Services) -> dict[str, Any]:
    """All that must be as before after a restore: rows without history, and the ids of shops."""
    shops = {row["shop_id"]: row["shop_name"] for row in query(services, "SELECT * FROM shop_configs")}
    return comparable(services) | {"shop ids": shops, "open": open_rows(services)}


def open_rows(services: Services) -> set[tuple[str, int, str]]:
    return pipeline.read_tables(services).tables.open_quarantine


def resolutions(services: Services) -> dict[tuple[str, int], str | None]:
    return {(row["asset"], row["raw_id"]): row["resolution"] for row in query(services, "SELECT * FROM quarantine")}


def assert_sound(services: Services) -> None:
    """The checks of whole tables hold, nothing is pending, and a full refresh changes nothing."""
    for check in CHECKS:
        if check.severity == "error" and check.name not in WARNINGS_OF_SPEED:
            outcome = run_check(services.database, check)
            assert outcome.passed, (check.asset, check.name, outcome.violations)
    assert query(services, "SELECT * FROM etl_work") == []
    before = snapshot(services)
    run_all(services, full_refresh=True)
    assert snapshot(services) == before


def count_rows(services: Services) -> dict[str, int]:
    return {table: scalar(services, f"SELECT count(*) FROM {table}") for table in pipeline.TABLES}  # noqa: S608  # ours


def test_a_reverted_import_leaves_nothing_in_any_table_and_a_restore_brings_all_back(services: Services) -> None:
    first = land(services, [order("1"), order("2", customer_name="Bob", processes="Print:2"), order("3", amount="x")])
    run_all(services)
    before, counted = with_ids(services), count_rows(services)
    assert set(counted.values()) != {0}
    revert(services, first)
    assert count_rows(services) == dict.fromkeys(pipeline.TABLES, 0)
    assert resolutions(services) == {("orders", 3): "reverted"}
    assert query(services, "SELECT status, row_count FROM import_tasks") == [{"status": "reverted", "row_count": 3}]
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 3
    assert_sound(services)
    restore(services, first)
    assert with_ids(services) == before
    assert_sound(services)


def test_an_order_falls_to_its_newest_other_version(services: Services) -> None:
    old = order("1", updated_at="2024-01-01 00:00", amount="1", items="Mug*1")
    newest = order("1", updated_at="2024-01-03 00:00", amount="3", items="Cup*3", customer_name="Bob")
    between = order(" １", updated_at="2024-01-02 00:00", amount="2", items="Pen*2")
    land(services, [old])
    reverted = land(services, [newest])
    land(services, [between])
    run_all(services)
    before = with_ids(services)
    revert(services, reverted)
    assert query(services, "SELECT amount::int, raw_id, customer_nickname FROM orders") == [
        {"amount": 2, "raw_id": 3, "customer_nickname": "Ann"}
    ]
    assert [row["product"] for row in query(services, "SELECT * FROM order_items")] == ["Pen"]
    assert [row["customer_nickname"] for row in query(services, "SELECT * FROM customers")] == ["Ann"]
    assert scalar(services, "SELECT sum(total_amount)::int FROM business_leads") == 2
    assert_sound(services)
    restore(services, reverted)
    assert with_ids(services) == before
    assert_sound(services)
