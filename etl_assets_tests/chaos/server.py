"""The server that faults befall: the embedded PostgreSQL, crashed and started again as often as wanted."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
from psycopg import sql
from pydantic import SecretStr

from etl_assets.database import embedded, migrate, postmaster
from etl_assets.database.database import Database
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

SETTINGS: Final = {
    "fsync": "off",  # what is written is safe from a crash of the server, if not from one of the machine
    "autovacuum": "off",  # what it does meanwhile is no fault of ours
    "max_connections": "200",
}
SECONDS_TO_START: Final = 30


class Server:
    """A server of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        self._directory = folder / "postgres"
        self._start()
        self.socket = f"{self._url.query['host']}/.s.PGSQL.{self._url.port or 5432}"
        for name, value in SETTINGS.items():
            self.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        self.restart()

    @property
    def owner(self) -> tuple[int, int]:
        """Whom its files belong to: user and group."""
        status = self._directory.stat()
        return status.st_uid, status.st_gid

    def url(self, database: str, *, port: int | None = None, options: str = "") -> sa.URL:
        """Where a database is: by the server's socket, or through a proxy on a port."""
        url = self._url.set(drivername="postgresql", database=database)
        if port is not None:
            url = url.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
        return url.update_query_dict({"options": options}) if options else url

    def address(self, database: str) -> str:
        """Where a database is, for psycopg."""
        return self.url(database).render_as_string(hide_password=False)

    def settings(self, database: str) -> Settings:
        """Settings that lead to a database directly."""
        return Settings(database_url=SecretStr(self.address(database)))

    def create(self, database: str, *, template: str = "template1", tablespace: str = "pg_default") -> None:
        """Make a database, as a copy of another."""
        statement = (
            "CREATE DATABASE {} TEMPLATE {} TABLESPACE {} STRATEGY file_copy"  # cheaper by half than the default
        )
        self.execute(sql.SQL(statement).format(*map(sql.Identifier, (database, template, tablespace))))

    def create_migrated(self, database: str) -> None:
        """Make a database with all tables."""
        self.create(database)
        migrated = Database(self.settings(database))
        migrate.upgrade(migrated)
        migrated.dispose()

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        """Run one statement outside a transaction."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def restart(self) -> None:
        """Crash (an immediate stop: no process cleans up) and start, and wait until it has recovered."""
        self._postmaster.send_signal(signal.SIGQUIT)
        self._postmaster.wait(SECONDS_TO_START)
        self._start()

    def kill_process(self, pid: int) -> None:
        """SIGKILL one of its processes: it then ends all others, and recovers, which is waited for."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.ppid() == self._postmaster.pid:
                with psycopg.connect(self.address("postgres"), autocommit=True) as witness:
                    process.kill()
                    _wait_until_lost(witness)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it takes connections."""
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                psycopg.connect(self.address("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """Stop it for good."""
        embedded.stop(self._directory)

    def _start(self) -> None:
        self._url = embedded.start(self._directory)
        server = postmaster.find_server(self._directory)
        assert server is not None
        assert server.process is not None
        self._postmaster = server.process


def _wait_until_lost(witness: psycopg.Connection[Any]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    with suppress(psycopg.OperationalError):
        while time.monotonic() < end:
            witness.execute("SELECT")
            time.sleep(0.01)
