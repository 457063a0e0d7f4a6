"""The Online Retail data set through the whole pipeline: its well-known figures, however the file is cut."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from etl_assets.presets.catalog import load_mapping
from etl_assets.raw_orders.importing import import_file
from etl_assets_tests.conftest import SHARED_DATA
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.effort import IS_FULL
from etl_assets_tests.helpers.pipeline import query, run_all, scalar

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.load import ImportResult

DATA = SHARED_DATA / "online_retail.parquet"
MAPPING = Path(__file__).parents[1] / "docs" / "examples" / "online_retail.yaml"
PARTS = 7 if IS_FULL else 2
pytestmark = [
    pytest.mark.slow,
    pytest.mark.sampled,
    pytest.mark.skipif(not DATA.exists(), reason=f"the data set is not at {DATA}"),
]


def land_file(services: Services, path: Path) -> ImportResult:
    preset = load_mapping(MAPPING)
    return import_file(services.database, path, preset)


def content(services: Services) -> dict[str, tuple[Any, ...]]:
    """Read count and digest of each table, without history, surrogate keys and the raw row that an order came from."""
    ids = "'shop_id', 'raw_id', 'order_no', 'batch_id', 'created_batch_id'"
    times = "'created_at', 'updated_at', 'opened_at', 'reopened_at'"
    statement = (
        "SELECT count(*) AS rows, sum(hashtextextended((to_jsonb(t)"  # noqa: S608
        f" - ARRAY[{ids}, {times}, 'attached_at', 'strategy'])::text || s.shop_name, 0)) AS digest FROM {{}}"
    )
    tables = ("shop_configs", "orders", "order_items", "process_items", "customers", "lead_orders")
    sources = {table: f"{table} t JOIN shop_configs s USING (shop_id)" for table in tables}
    sources["business_leads"] = (
        "business_leads t JOIN customers c USING (customer_global_id) JOIN shop_configs s USING (shop_id)"
    )
    return {name: tuple(query(services, statement.format(source))[0].values()) for name, source in sources.items()}


def test_the_figures_of_the_data_set_hold_however_the_file_is_cut(services: Services, tmp_path: Path) -> None:
    landed = land_file(services, DATA)
    assert (landed.lines, landed.rows, landed.status) == (240_007, 12_469, "completed")
    run_all(services)
    _assert_figures(services)

    before = pipeline.snapshot(services)
    results = run_all(services, full_refresh=True)
    assert sum(result.counts.inserted + result.counts.updated for result in results.values()) == 0
    assert pipeline.snapshot(services) == before

    whole = content(services)
    pipeline.start_afresh(services)
    for part in _cut(tmp_path):
        land_file(services, part)
        run_all(services)
    assert content(services) == whole


def _assert_figures(services: Services) -> None:
    assert query(
        services,
        "SELECT count(*) AS orders, count(*) FILTER (WHERE is_cancelled) AS cancelled,"
        " count(*) FILTER (WHERE customer_nickname IS NULL) AS anonymous_orders, sum(amount) AS amount FROM orders",
    ) == [{"orders": 12_469, "cancelled": 1_946, "anonymous_orders": 2_032, "amount": Decimal("4275143.9310")}]
    rows = {table: scalar(services, f"SELECT count(*) FROM {table}") for table in (*pipeline.TABLES, "quarantine")}  # noqa: S608
    assert rows == {
        "shop_configs": 38,
        "orders": 12_469,
        "order_items": 240_007,
        "process_items": 0,
        "customers": 2_981,
        "business_leads": 2_938,
        "lead_orders": 8_591,
        "quarantine": 0,
    }
    assert scalar(services, "SELECT sum(total_amount) FROM business_leads") == Decimal("3888971.7410")
    assert scalar(services, "SELECT sum(order_count) FROM business_leads") == 8_591


def _cut(directory: Path) -> list[Path]:
    """Cut the file into parts, no order across a cut, and shuffle them."""
    lines = pl.read_parquet(DATA)
    part = pl.col("InvoiceNo").cast(pl.String).hash(seed=1) % PARTS
    paths = []
    for (number,), rows in lines.with_columns(part=part).group_by("part"):
        path = directory / f"part-{number}.parquet"
        rows.drop("part").write_parquet(path)
        paths.append(path)
    random.Random(3).shuffle(paths)  # noqa: S311  # not a secret
    return paths
