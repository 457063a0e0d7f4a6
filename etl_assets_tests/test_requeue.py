"""Requeue: rows of quarantine that are reported as queued are pending, whichever asset rejected them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_assets.asset_graph import REPLAY_ENTRY, SPECS, STEP_ASSETS
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.rows import quarantine_rows
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar
from etl_assets_tests.helpers.quarantine_round_trip import check_round_trip

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.conftest import Prepare


@pytest.fixture
def done(services: Services, prepare: Prepare) -> Services:
    prepare(load_an_order)
    return services


def load_an_order(services: Services) -> None:
    row = raw_fields("1", amount="5", customer_name="Ann", items="Mug*2", processes="embroidery*1")
    land(services, [row])
    run_all(services)


def reject(services: Services, asset: str) -> None:
    columns = {"raw_id": 1, "shop_id": 1, "order_id": "1", "reason_code": "DB_REJECTED", "reason": "refused"}
    rejected = pl.DataFrame([columns], schema=REJECTED_SCHEMA)
    with services.database.transaction() as connection:
        quarantine_rows(connection, asset, rejected)  # type: ignore[arg-type]  # also one that is no asset any more


@pytest.mark.parametrize("asset", STEP_ASSETS)
def test_a_row_that_any_asset_rejected_is_queued_and_read_again(done: Services, asset: AssetName) -> None:
    reject(done, asset)
    assert requeue(done.database).queued == (1,)
    entry = REPLAY_ENTRY[asset]
    made_by = "import_tasks" if SPECS[entry].range_content == "imports" else "orders"
    batch_id = scalar(done, f"SELECT batch_id FROM {made_by}")  # noqa: S608  # a constant
    (work,) = query(done, "SELECT asset, batch_id, low, high FROM etl_work")
    assert work == {"asset": entry, "batch_id": batch_id, "low": 1, "high": 1}
    assert run_all(done)[entry].batches == 1
    assert query(done, "SELECT asset FROM etl_work") == []


def test_a_row_of_an_asset_that_is_no_longer_in_the_graph_is_not_reported_as_queued(done: Services) -> None:
    reject(done, "a_former_asset")
    found = requeue(done.database)
    assert (found.queued, found.outdated) == ((), (1,))
    assert query(done, "SELECT asset FROM etl_work") == []


@pytest.mark.parametrize(
    ("asset", "condition", "texts"),
    [
        ("orders", "amount < 100", ("amount", "500", "50")),
        ("order_items", "quantity < 100", ("items", "Mug*500", "Mug*50")),
        ("process_items", "process_type <> '印花'", ("processes", "印花:左胸:2", "刺绣:左胸:2")),
        ("customers", "first_order_at < '2026-01-01'", ("ordered_at", "2026-05-01", "2025-05-01")),
        ("leads", "total_amount < 100", ("amount", "500", "50")),
    ],
)
def test_a_row_that_the_database_refuses_is_quarantined_listed_exported_corrected_and_loaded(
    services: Services, tmp_path: Path, asset: AssetName, condition: str, texts: tuple[str, str, str]
) -> None:
    column, bad, good = texts
    fields = {"amount": "5", "items": "Mug*2", "processes": "刺绣:左胸:2"}
    check_round_trip(services, tmp_path, asset, only=condition, column=column, bad=bad, good=good, **fields)
