"""The data that all ways start from: generated orders, imported once by the project's own import."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa
from psycopg import sql
from pydantic import SecretStr

from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.generator.benchmark import write_benchmark_orders
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import import_file
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.server import Server

EMPTY = "empty"
CHANGED = 1_000
ORDER_TYPES = {"sample": "SAMPLE", "proof": "PROOF", "bulk": "BULK", "reorder": "BULK"}


def make_empty(server: Server) -> str:
    """Create the database with the project's tables and order types, the template of all others."""
    server.create(EMPTY)
    database = _database(server.url(EMPTY))
    migrate.upgrade(database)
    with database.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO order_type_mappings VALUES (:raw, :system)"),
            [{"raw": raw, "system": system} for raw, system in ORDER_TYPES.items()],
        )
    database.dispose()
    return EMPTY


def orders_file(folder: Path, orders: int, *, bad_share: float = 0.0, seed: int = 1) -> Path:
    """Generate orders as Parquet, once."""
    path = folder / f"orders_{orders}_{round(bad_share * 10_000)}_{seed}.parquet"
    if not path.exists():
        write_benchmark_orders(path, orders=orders, bad_share=bad_share, seed=seed)
    return path


CHANGES: Final[dict[str, dict[str, pl.Expr]]] = {
    "changed": {
        "amount": (pl.col("amount").cast(pl.Decimal(18, 2)) + 10).cast(pl.String),
        "items": pl.col("items").str.replace('"quantity":', '"quantity":1', literal=True),
        "order_status": pl.when(pl.col("row") // pl.col("step") % 20 == 0)
        .then(pl.lit("cancelled"))
        .otherwise("order_status"),
    },
    "shipped": {"order_status": pl.lit("shipped")},
}
"""Columns that differ in the new orders of each kind of case."""


def changed_orders_file(folder: Path, orders: Path, number: int, kind: str) -> Path:
    """Write the `number`-th thousand of changed orders, spread over all; each kind changes other orders."""
    path = folder / f"{kind}_{orders.stem}_{number}.parquet"
    lazy = pl.scan_parquet(orders)
    total = lazy.select(pl.len()).collect().item()
    step = total // CHANGED
    first = list(CHANGES).index(kind) * step // len(CHANGES)
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    later = pl.col("updated_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%:z") + pl.duration(days=30)
    (
        lazy.with_columns(row=row, step=pl.lit(step))
        .filter((pl.col("row") % step == (number + first) % step) & (pl.col("row") // step < CHANGED))
        .with_columns(
            updated_at=later.dt.to_string("%Y-%m-%dT%H:%M:%S+00:00"),
            **CHANGES[kind],
        )
        .drop("row", "step")
        .collect()
        .write_parquet(path)
    )
    return path


def split_file(folder: Path, orders: Path, parts: int) -> list[Path]:
    """Write the same orders to several files of equal size."""
    frame = pl.read_parquet(orders)
    size = frame.height // parts
    paths = [folder / f"part_{orders.stem}_{number}.parquet" for number in range(parts)]
    for number, path in enumerate(paths):
        frame.slice(number * size, size).write_parquet(path)
    return paths


def land(server: Server, database: str, path: Path) -> float:
    """Import a file into a database; returns the seconds."""
    connected = _database(server.url(database))
    started = time.perf_counter()
    landed = import_file(connected, path, get_preset("generic"))
    seconds = time.perf_counter() - started
    connected.dispose()
    if landed.error is not None:
        raise RuntimeError(landed.error)
    return seconds


def landed_template(server: Server, path: Path) -> tuple[str, float]:
    """Create a database with a file landed and vacuumed, the template of each run; return its name and the seconds."""
    name = server.create(f"landed_{path.stem}", template=EMPTY)
    return name, land_and_vacuum(server, name, path)


def land_and_vacuum(server: Server, database: str, path: Path) -> float:
    """Import a file and vacuum, as the server's autovacuum does within a minute; returns the seconds of the import."""
    seconds = land(server, database, path)
    server.execute(sql.SQL("VACUUM (ANALYZE) etl.raw_orders, etl.import_tasks"), database)
    return seconds


def _database(url: str) -> Database:
    return Database(Settings(database_url=SecretStr(url)))
