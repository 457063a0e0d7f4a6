"""The lower bound: COPY of exactly the rows of our tables into empty ones with the same keys and indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from benchmarks.ways.way import Stopwatch, Task

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.ways.way import Way

TABLES = {
    "shop": ("shop_configs",),
    "orders": ("orders",),
    "order_items": ("order_items",),
    "process_items": ("process_items",),
    "customers": ("customers",),
    "leads": ("business_leads", "lead_orders"),
}
BLOCK = 1 << 20
_PRIMARY_KEY = """
    SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, place)
    JOIN pg_attribute a ON a.attnum = k.attnum
    WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.place
"""


def export(url: str, folder: Path) -> int:
    """Write our tables, in the order of their keys, to files; returns their size in bytes."""
    size = 0
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = etl")
        for table in (table for tables in TABLES.values() for table in tables):
            key = [sql.Identifier(name) for (name,) in connection.execute(_PRIMARY_KEY, (table,))]
            query = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
                sql.Identifier(table), sql.SQL(", ").join(key)
            )
            with connection.cursor().copy(query) as copy, (folder / f"{table}.copy").open("wb") as file:
                size += sum(file.write(block) for block in copy)
    return size


class Floor:
    """COPY of the files that `export` wrote to `task.folder`; the database has the project's tables, all empty."""

    def __init__(self, task: Task) -> None:
        self.folder = task.folder
        self.connection = psycopg.connect(task.url, autocommit=True)
        self.connection.execute("SET search_path = etl")

    def prepare(self) -> None:
        """The database has the tables already."""

    def run(self) -> dict[str, float]:
        """One transaction per asset."""
        watch = Stopwatch()
        for asset, tables in TABLES.items():
            with watch.of(asset), self.connection.transaction():
                for table in tables:
                    self._copy(table)
        return watch.seconds

    def _copy(self, table: str) -> None:
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(table))
        with (self.folder / f"{table}.copy").open("rb") as file, self.connection.cursor().copy(statement) as copy:
            while block := file.read(BLOCK):
                copy.write(block)


def build(task: Task) -> Way:
    return Floor(task)
