"""Hand-written set-based SQL inside PostgreSQL, one transaction per asset (`benchmarks/sql/`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from benchmarks.ways.way import ASSETS, Stopwatch, Task

if TYPE_CHECKING:
    from benchmarks.ways.way import Way

FOLDER = Path(__file__).parents[1] / "sql"
SCHEMA = "set_sql"


def make_tables(connection: psycopg.Connection, schema: str) -> None:
    """Create the tables of `sql/tables.sql` in a schema of their own."""
    statements = sql.SQL((FOLDER / "tables.sql").read_text(encoding="utf-8"))
    connection.execute(statements.format(schema=sql.Identifier(schema)))


class SetSql:
    """`{last_raw_id}` in the statements is the last raw row that an earlier run has seen."""

    def __init__(self, task: Task) -> None:
        self.connection = psycopg.connect(task.url, autocommit=True)
        self.connection.execute(f"SET search_path = {SCHEMA}, etl")
        self.connection.execute("SET work_mem = '256MB'; SET temp_buffers = '256MB'; SET timezone = 'UTC'")

    def prepare(self) -> None:
        """Make the tables."""
        make_tables(self.connection, SCHEMA)

    def run(self) -> dict[str, float]:
        """One transaction per asset."""
        watch = Stopwatch()
        query = "SELECT last_raw_id, (SELECT coalesce(max(raw_id), 0) FROM raw_orders) FROM progress"
        last, newest = self.connection.execute(query).fetchone() or (0, 0)
        for asset in ASSETS:
            text = (FOLDER / f"{asset}.sql").read_text(encoding="utf-8")
            with watch.of(asset), self.connection.transaction():
                for statement in text.split(";\n"):
                    if statement.strip():
                        self.connection.execute(sql.SQL(statement).format(last_raw_id=sql.Literal(last)))
        self.connection.execute("UPDATE progress SET last_raw_id = %s", (newest,))
        return watch.seconds


def build(task: Task) -> Way:
    return SetSql(task)
