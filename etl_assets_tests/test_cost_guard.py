"""What the pipeline costs, in units that don't depend on the machine, stays within recorded limits.

2,000 orders are loaded, 100 of them change, and then nothing is new. Counted are the statements of each asset (it has
one batch), the bytes between client and server in both directions, and the rows that the server reads and writes. The
limits are what was measured when they were set and about a tenth on top, a quarter for the rows read, which depend on
the plans chosen; rows written are exact. Whoever makes something cheaper lowers them. In the first load of orders and
leads a few statements drop indexes and make them again; they are as many for a million orders.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from benchmarks.proxy import CountingProxy
from etl_assets.asset_graph import DOWNSTREAM, TABLES_OF
from etl_assets.generator.benchmark import write_benchmark_orders
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import import_file
from etl_assets.run.registry import build_services, run_asset
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.asset_graph import AssetName

pytestmark = pytest.mark.slow

ORDERS: Final = 2_000
CHANGED: Final = 100


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a run of the assets that have limits."""

    statements: dict[AssetName, int]
    bytes_sent: int
    bytes_received: int
    rows_read: int
    rows_written: int


LIMITS: Final = {
    "first load": Cost(
        statements={"shop": 24, "orders": 48, "order_items": 20, "process_items": 19, "customers": 22, "leads": 44},
        bytes_sent=2_080_000,
        bytes_received=2_430_000,
        rows_read=40_000,
        rows_written=13_037,
    ),
    "changed orders": Cost(
        statements={"shop": 22, "orders": 29, "order_items": 19, "process_items": 18, "customers": 15, "leads": 23},
        bytes_sent=165_000,  # the statements that log changes name each column
        bytes_received=367_000,
        rows_read=16_000,
        rows_written=900,  # as many again in the change log
    ),
    "nothing new": Cost(
        statements={"shop": 11, "orders": 1, "order_items": 1, "process_items": 1, "customers": 1, "leads": 2},
        bytes_sent=7_000,
        bytes_received=2_750,
        rows_read=8,
        rows_written=0,
    ),
}


ASSETS: Final = tuple(LIMITS["first load"].statements)


@dataclass(slots=True)
class Meter:
    """Runs the pipeline through a proxy that counts what passes."""

    database_url: sa.URL
    proxy: CountingProxy
    folder: Path

    def settings(self) -> Settings:
        url = self.database_url.set(host="127.0.0.1", port=self.proxy.port, query={"sslmode": "disable"})
        return Settings(database_url=SecretStr(url.render_as_string(hide_password=False)))

    def land(self, path: Path) -> None:
        services = build_services(self.settings())
        assert import_file(services.database, path, get_preset("generic")).error is None
        services.database.dispose()

    def cost_of_run(self) -> Cost:
        rows_read, rows_written = self._rows()
        before = self.proxy.traffic.snapshot()
        services = build_services(self.settings())
        statements: dict[AssetName, int] = {}
        for asset in ASSETS:
            counted = self.proxy.traffic.snapshot()
            run_asset(asset, services)
            statements[asset] = self.proxy.traffic.since(counted)["queries"]
        services.database.dispose()
        traffic = self.proxy.traffic.since(before)
        read_since, written_since = self._rows()
        return Cost(
            statements,
            traffic["bytes_sent"],
            traffic["bytes_received"],
            read_since - rows_read,
            written_since - rows_written,
        )

    def _rows(self) -> tuple[int, int]:
        """Rows ever read and written, once the sessions that are closing have reported."""
        engine = sa.create_engine(self.database_url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            others = sa.text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            until = time.monotonic() + 30
            while connection.execute(others).scalar_one():
                assert time.monotonic() < until
                time.sleep(0.05)
            read, written = connection.execute(
                sa.text(
                    "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)),"
                    " sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'etl'"
                )
            ).one()
        engine.dispose()
        return int(read), int(written)


@pytest.fixture
def meter(settings: Settings, database_url: sa.URL, tmp_path: Path) -> Iterator[Meter]:
    proxy = CountingProxy(f"{database_url.query['host']}/.s.PGSQL.5432")
    yield Meter(database_url, proxy, tmp_path)
    proxy.close()


def test_statements_rows_and_bytes_stay_within_the_recorded_limits(meter: Meter) -> None:
    orders = meter.folder / "orders.parquet"
    write_benchmark_orders(orders, orders=ORDERS)
    meter.land(orders)
    costs = {"first load": meter.cost_of_run()}
    meter.land(changed(orders, CHANGED, year=2027))
    costs["changed orders"] = meter.cost_of_run()
    costs["nothing new"] = meter.cost_of_run()
    assert [f"{name}: {text}" for name, cost in costs.items() for text in excess(cost, LIMITS[name])] == []


def test_statements_do_not_grow_with_the_number_of_changed_orders(meter: Meter) -> None:
    orders = meter.folder / "orders.parquet"
    write_benchmark_orders(orders, orders=ORDERS)
    meter.land(orders)
    meter.cost_of_run()
    meter.land(changed(orders, 40, year=2027))
    few = meter.cost_of_run()
    meter.land(changed(orders, 1_000, year=2028))
    many = meter.cost_of_run()
    grown = {asset: (few.statements[asset], number) for asset, number in many.statements.items()}
    # The bulk reader's pool looks after its connections by itself, with a statement more or less; and the statistics of
    # each table are collected when much of it has changed.
    # And where the lines of most orders change, the brake counts how many are fewer, in the statements of `removals`.
    brake = {"orders": 14}
    most = {asset: before + 2 + len(TABLES_OF[asset]) + brake.get(asset, 0) for asset, (before, _) in grown.items()}
    assert {asset: after for asset, (_, after) in grown.items() if after > most[asset]} == {}
    assert many.rows_written > 10 * few.rows_written


def changed(orders: Path, count: int, *, year: int) -> Path:
    """The first orders again, from that year, dearer and with more of the first item."""
    path = orders.with_name(f"changed_{year}.parquet")
    (
        pl.read_parquet(orders)
        .head(count)
        .with_columns(
            updated_at=pl.lit(f"{year}-01-01T00:00:00+00:00"),
            amount=(pl.col("amount").cast(pl.Decimal(18, 2)) + year).cast(pl.String),
            items=pl.col("items").str.replace('"quantity":', f'"quantity":{year % 10}', literal=True),
        )
        .write_parquet(path)
    )
    return path


def fed_without_limits(asset: AssetName) -> int:
    """Number of further assets, without limits, that an asset enqueues work for: a statement and a row each."""
    return len(set(DOWNSTREAM[asset]) - set(ASSETS))


def excess(cost: Cost, limit: Cost) -> list[str]:
    """What is above the limit, in words."""
    numbers = [
        ("statements of " + asset, cost.statements[asset], most + fed_without_limits(asset))
        for asset, most in limit.statements.items()
    ]
    numbers += [
        (name.replace("_", " "), getattr(cost, name), getattr(limit, name))
        for name in ("bytes_sent", "bytes_received", "rows_read")
    ]
    further = sum(fed_without_limits(asset) for asset in ASSETS)
    numbers.append(("rows written", cost.rows_written, limit.rows_written + further))
    return [f"{name} {actual}, at most {most}" for name, actual, most in numbers if actual > most]
