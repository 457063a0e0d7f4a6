"""What a database wants before and after many rows are loaded: indexes made at once, and new statistics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.database.database import sqlstate_of
from etl_assets.database.schema import DEFERRED_INDEX, metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database

logger = logging.getLogger(__name__)

_NOT_ALLOWED_NOW: Final = ("42501", "55P03", "40P01")
"""SQLSTATE where the table is another role's, or in use, also by somebody who waits for a row of this load."""
MAX_WAIT_SECONDS: Final = 10
"""How long to wait for those who write into a table that gets an index: those who come after them wait, too."""


def rows_in_statistics(connection: sa.Connection, table: str) -> int:
    """How many rows a table had when its statistics were collected; 0 if they never were."""
    return max(int(connection.execute(sa.text(_ROWS_IN_STATISTICS), {"table": table}).scalar_one()), 0)


def are_empty(connection: sa.Connection, tables: Sequence[str]) -> bool:
    """Whether none of the tables has a row."""
    return not any(connection.execute(_has_rows(name)).scalar_one() for name in tables)


def drop_indexes_of_empty_tables(database: Database, tables: Sequence[str]) -> None:
    """Drop the deferred indexes (`DEFERRED_INDEX`) of empty tables, until `build_deferred_indexes` builds them.

    At once they take a fraction of the time that it takes to keep them up with every row. Where the role may not or
    somebody uses the table, they stay. Keys stay in any case.

    Args:
        database: the store; each table is looked at in a short transaction of its own.
        tables: names of tables.
    """
    for name in tables:
        later = deferred_indexes([name])
        try:
            with database.transaction() as connection:
                if not later or not are_empty(connection, [name]):
                    continue
                connection.execute(sa.text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE NOWAIT"))
                if are_empty(connection, [name]):
                    for one in later:
                        one.drop(connection, checkfirst=True)
        except DBAPIError as error:
            if sqlstate_of(error) not in _NOT_ALLOWED_NOW:
                raise
            logger.info("%s is loaded with its indexes: sqlstate=%s", name, sqlstate_of(error))


def build_deferred_indexes(connection: sa.Connection, tables: Sequence[str], written: int) -> None:
    """Make the indexes that are missing, and have the statistics collected if much has changed.

    The server would collect them by itself within minutes; what runs next needs them now. What can't be made because
    somebody uses the table is left to the next load.

    Args:
        connection: the transaction of the last batch of a load.
        tables: names of tables.
        written: how many rows were written into them.
    """
    later = deferred_indexes(tables)
    if later:
        known = set(connection.execute(sa.text(_INDEXES), {"tables": list(tables)}).scalars())
        _make(connection, [one for one in later if one.name not in known])
    for name in tables:
        if written > max(CHANGED_SHARE * rows_in_statistics(connection, name), MIN_CHANGED_ROWS):
            connection.execute(sa.text(f"ANALYZE {name}"))


CHANGED_SHARE: Final = 0.1
"""The share of changed rows after which statistics are collected anew, as PostgreSQL's autovacuum has it."""
MIN_CHANGED_ROWS: Final = 100
"""Fewer are left to autovacuum."""

_INDEXES: Final = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY (:tables)"
_ROWS_IN_STATISTICS: Final = "SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)"


def _has_rows(table: str) -> sa.Select[tuple[bool]]:
    return sa.select(sa.exists().select_from(metadata.tables[table]))


def deferred_indexes(tables: Sequence[str]) -> list[sa.Index]:
    """The indexes of tables that a first load makes at its end."""
    marked = [one for name in tables for one in metadata.tables[name].indexes if one.info.get(DEFERRED_INDEX)]
    return sorted(marked, key=lambda one: str(one.name))


def _make(connection: sa.Connection, missing: Sequence[sa.Index]) -> None:
    if not missing:
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{MAX_WAIT_SECONDS:d}s'"))
            for one in missing:
                one.create(connection)
            connection.execute(sa.text("SET LOCAL lock_timeout = DEFAULT"))
    except DBAPIError as error:
        if sqlstate_of(error) not in _NOT_ALLOWED_NOW:
            raise
        names = ", ".join(str(one.name) for one in missing)
        logger.warning("The next load makes %s: sqlstate=%s", names, sqlstate_of(error))
