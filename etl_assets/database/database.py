"""Database: the only place that creates an engine, and the bulk reads.

Large reads go through ConnectorX (`Database.read`), small ones and everything else through SQLAlchemy connections
(`Database.transaction`, `Database.autocommit`); see docs/decisions.md, "Bulk reads by ConnectorX, look-ups by COPY".
All set the same `search_path`, so that SQL names tables without a schema. Dagster's resource of the same name wraps
this class (`orchestration/resources.py`); SQL of assets does not belong here.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.database import embedded
from etl_assets.database.frames import INLINED, fetch_frame
from etl_assets.database.pool import ping_after_idling
from etl_assets.database.reader_uri import reader_uri
from etl_assets.database.sqlstates import meaning_of, state_of_refused_connection
from etl_assets.errors import DatabaseUnavailableError, PanicError, ReadError, panics_as_errors
from etl_assets.urls import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

    from etl_assets.settings import Settings

CONNECTION_DEFAULTS = {"connect_timeout": 10, "application_name": "etl_assets"}
TUNING = (
    "-c lock_timeout=60s -c idle_in_transaction_session_timeout=300s -c client_min_messages=warning"
    # Releases the locks of a client host that vanished during a COPY within two minutes.
    " -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6"
    " -c work_mem=64MB -c temp_buffers=64MB"  # a batch's joins and staging tables stay in memory
    " -c jit=off"  # compilation takes longer than it saves for any of our queries
)
LOOKUPS = "-c random_page_cost=1.1"  # keys are looked up in indexes: docs/decisions.md, "Planner settings"
"""Session settings that `options` in the user's URL may override."""
FEW_ROWS = 10_000
"""Largest read by COPY: it takes 17 ms, ConnectorX 27 (10 of them to connect); at twice the rows they are even."""
READER_OPTIONS = "-c max_parallel_workers_per_gather=0"  # leaves cores for the batch that is written meanwhile
FORMATS = "-c timezone=UTC -c datestyle=ISO,YMD"
"""Session settings that parsing of results relies on."""


class Database:
    """PostgreSQL database, and the schema in it that holds the tables of this project."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def url(self) -> URL:
        """Return the URL of the database; starts the embedded one if none is configured."""
        configured = self.settings.database_url
        if configured is None:
            return embedded.start(self.settings.postgres_directory)
        form = "postgresql://user:password@host:5432/database (the store is PostgreSQL 14 or newer)"
        return database_url(configured.get_secret_value(), "ETL_DATABASE_URL", form, ["postgresql"])

    @property
    def is_embedded(self) -> bool:
        """Return whether the database is the embedded one."""
        return self.settings.database_url is None

    @property
    def schema(self) -> str:
        """Return the schema that holds all tables."""
        return self.settings.db_schema

    @cached_property
    def engine(self) -> sa.Engine:
        """Return the SQLAlchemy engine (psycopg 3)."""
        engine = sa.create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            connect_args={
                **{name: value for name, value in CONNECTION_DEFAULTS.items() if name not in self.url.query},
                "client_encoding": "utf8",
                "options": f"{LOOKUPS} {self._options}",
            },
        )
        ping_after_idling(engine)
        return engine

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction that commits at the end of the block and rolls back on any error.

        Raises:
            DatabaseUnavailableError: the server can't be reached, or the embedded one ended meanwhile.
        """
        with self._losses_explained(), self._connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[sa.Connection]:
        """Open a connection of which each statement is a transaction of its own, and sees what is committed by then.

        Saves the BEGIN and COMMIT of look-ups that need no transaction. Keys travel with the queries, as in `snapshot`.

        Raises:
            DatabaseUnavailableError: as for `transaction`.
        """
        with self._losses_explained(), self._connect() as connection:
            options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", INLINED: {}}
            yield connection.execution_options(**options)

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Open a read-only transaction that sees one state of the database until the end of the block.

        Look-ups by many keys work in it as elsewhere: the keys travel with the queries (`frames.copy_to_temp_table`).

        Raises:
            DatabaseUnavailableError: as for `transaction`.
        """
        with self._losses_explained(), self._connect() as connection:
            options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True, INLINED: {}}
            connection.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def _losses_explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if self.is_embedded and error.connection_invalidated:
                raise embedded.lost(self.settings.postgres_directory) from None
            raise

    def read(
        self, query: str, schema: Mapping[str, pl.DataType], *, rows: int | None = None, alone: bool = False
    ) -> pl.DataFrame:
        """Read a query in one snapshot: through ConnectorX, or by COPY if few rows are expected.

        Only integers and hex literals may be formatted into `query`: ConnectorX has no parameters.

        Args:
            query: a SELECT.
            schema: the columns of the result in order and their types; the result is cast to them.
            rows: expected number of rows, approximately.
            alone: true if no other query runs meanwhile, so that the server may use all cores.

        Raises:
            ReadError: the read failed. The message holds no data.
            DatabaseUnavailableError: the server can't be reached, or the URL demands a feature that the reader lacks.
        """
        if rows is not None and rows <= FEW_ROWS:
            with self.autocommit() as connection:
                return fetch_frame(connection, query, dict(schema))
        with self.autocommit() as connection:
            driver: Any = connection.connection.driver_connection
            uri = reader_uri(driver.info, self._options if alone else f"{self._options} {READER_OPTIONS}")
        try:
            with panics_as_errors():
                frame = pl.read_database_uri(query, uri, engine="connectorx")
        except Exception as error:
            if isinstance(error, PanicError):
                raise
            msg = f"The bulk read of the database failed ({type(error).__name__}): see the server's log."
            raise ReadError(msg) from None
        return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())

    def _connect(self) -> sa.Connection:
        try:
            return self.engine.connect()
        except DBAPIError as error:
            if not self.is_embedded:
                raise _unavailable_error(self.url, error) from None
        embedded.start(self.settings.postgres_directory)  # restarts a server that crashed or was stopped
        try:
            return self.engine.connect()
        except DBAPIError as error:
            raise _unavailable_error(self.url, error) from None

    def dispose(self) -> None:
        """Close all pooled connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @property
    def _options(self) -> str:
        """Return the session settings: defaults, then those of the user's URL, then those that must hold."""
        wanted = self.url.normalized_query.get("options", ())
        return " ".join([TUNING, *wanted, FORMATS, f"-c search_path={self.schema}"])


def _unavailable_error(url: URL, error: DBAPIError) -> DatabaseUnavailableError:
    """Return the error for a refused connection, with the meaning of its code instead of the driver's text."""
    state = sqlstate_of(error) or state_of_refused_connection(str(error.orig))
    return DatabaseUnavailableError(
        f"The database at {url.host or 'the local socket'} does not accept connections "
        f"(SQLSTATE {state or 'unknown'}): {meaning_of(state)}. Its URL is ETL_DATABASE_URL."
    )


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver's error, wrapped by SQLAlchemy or not."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None)
