"""What a database wants before and after many rows are loaded: indexes made at once, and new statistics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.database.database import sqlstate_of
from etl_assets.database.schema import MADE_LATER, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl_assets.database.database import Database

logger = logging.getLogger(__name__)

_NOT_ALLOWED_NOW: Final = ("42501", "55P03")
"""SQLSTATE where the table is another role's, or in use."""


def drop_indexes_of_empty_tables(database: Database, tables: Sequence[str]) -> None:
    """Drop the indexes marked `MADE_LATER` of those tables that are empty, until `finish_load` makes them at once.

    That takes a sixth of the time that it takes to keep them up with every row. Where the role may not or somebody
    uses the table, they stay.

    Args:
        database: the store; each table is looked at in a short transaction of its own.
        tables: names of tables.
    """
    for name in tables:
        later = list(_made_later([name]))
        has_rows = sa.select(sa.exists().select_from(metadata.tables[name]))
        try:
            with database.transaction() as connection:
                if not later or connection.execute(has_rows).scalar_one():
                    continue
                connection.execute(sa.text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE NOWAIT"))
                if not connection.execute(has_rows).scalar_one():
                    for index in later:
                        index.drop(connection, checkfirst=True)
        except DBAPIError as error:
            if sqlstate_of(error) not in _NOT_ALLOWED_NOW:
                raise
            logger.info("%s is loaded with its indexes: sqlstate=%s", name, sqlstate_of(error))


def finish_load(connection: sa.Connection, tables: Sequence[str], written: int) -> None:
    """Make the indexes that are missing, and have the statistics collected if much has changed.

    The server would collect them by itself within minutes; what runs next needs them now.

    Args:
        connection: the transaction of the last batch of a load.
        tables: names of tables.
        written: how many rows were written into them.
    """
    later = list(_made_later(tables))
    if later:
        known = set(connection.execute(sa.text(_INDEXES), {"tables": list(tables)}).scalars())
        for index in later:
            if index.name not in known:
                index.create(connection)
    for name in tables:
        rows = connection.execute(sa.text(_ROWS_IN_STATISTICS), {"table": name}).scalar_one()
        if written > CHANGED_SHARE * max(rows, MIN_CHANGED_ROWS):
            connection.execute(sa.text(f"ANALYZE {name}"))


CHANGED_SHARE: Final = 0.1
"""The share of changed rows after which statistics are collected anew, as PostgreSQL's autovacuum has it."""
MIN_CHANGED_ROWS: Final = 10_000
"""A smaller table is left to autovacuum."""

_INDEXES: Final = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY (:tables)"
_ROWS_IN_STATISTICS: Final = "SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)"


def _made_later(tables: Sequence[str]) -> Iterator[sa.Index]:
    for name in tables:
        marked = (index for index in metadata.tables[name].indexes if index.info.get(MADE_LATER))
        yield from sorted(marked, key=lambda index: str(index.name))
