"""The one server that all ways use: the embedded PostgreSQL as the project starts it, a new database for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from etl_assets.database import embedded

if TYPE_CHECKING:
    from pathlib import Path

MAINTENANCE = "postgres"


class Server:
    """A server of the benchmark's own in a folder."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "postgres"
        self._url = embedded.start(self.directory)
        self.socket = f"{self._url.query['host']}/.s.PGSQL.{self._url.port or 5432}"

    def stop(self) -> None:
        """Stop it; its data stay in the folder."""
        embedded.stop(self.directory)

    def url(self, database: str, *, proxy_port: int | None = None) -> str:
        """Return the address of a database: the server's socket, or a proxy."""
        url = self._url.set(drivername="postgresql", database=database)
        if proxy_port is not None:
            url = url.set(host="127.0.0.1", port=proxy_port, query={"sslmode": "disable"})
        return url.render_as_string(hide_password=False)

    def create(self, database: str, *, template: str | None = None) -> str:
        """A new database in place of one of that name, empty or a copy; returns its name."""
        self.drop(database)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(database), sql.Identifier(template or "template1")
        )
        self.execute(statement)
        return database

    def rename(self, database: str, name: str) -> str:
        """Give a database another name, which it returns."""
        self.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(database), sql.Identifier(name)))
        return name

    def drop(self, database: str) -> None:
        """Remove a database if it is there."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def settle(self) -> None:
        """Write everything to disk, so that no run pays for the dirty pages of an earlier one."""
        self.execute(sql.SQL("CHECKPOINT"))

    def execute(self, statement: sql.SQL | sql.Composed, database: str = MAINTENANCE) -> list[tuple[object, ...]]:
        """Run one statement outside a transaction; returns the rows of a SELECT."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def version(self) -> str:
        """The server's version."""
        return str(self.execute(sql.SQL("SHOW server_version"))[0][0])

    def wal_bytes(self) -> int:
        """The bytes of write-ahead log ever written."""
        return int(str(self.execute(sql.SQL("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))[0][0]))

    def rows_written(self, database: str, schema: str) -> int:
        """Rows ever inserted, updated and deleted in the tables of a schema."""
        query = sql.SQL(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables WHERE schemaname = {}"
        ).format(sql.Literal(schema))
        return int(str(self.execute(query, database)[0][0]))
