"""Indexes and statistics of bulk loads: a first load builds secondary indexes at its end, and collects statistics.

Saves keeping indexes up row by row: the two of `orders` took 7.2 s of the server's time with COPY of a million orders,
and 3.4 s built at the end; that of `lead_orders` 3.7 and 2.1 s. Statistics collected from a hundred changed rows on
made the checks of 100 small imports take 8 s instead of 31 s (docs/performance.md, "Gain of each optimisation").

Hazards: dropping locks readers out, so only indexes of empty tables are dropped, and not where another session uses the
table; keys are never dropped, because other programs rely on them; a load that is killed leaves indexes missing, and
the next one builds them (docs/decisions.md, "Deferred indexes" and "Keys are never dropped").
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.database.columns import DEFERRED_INDEX
from etl_assets.database.database import sqlstate_of
from etl_assets.database.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database

logger = logging.getLogger(__name__)

_NOT_ALLOWED_NOW: Final = ("42501", "55P03", "40P01")
"""SQLSTATE where the table is another role's, or in use, also by a session that waits for a row of this load."""
LEAST_DEFERRED_ROWS: Final = 10_000
"""Rows of a first load from which its indexes are deferred: dropping and building them takes 60 ms, as long as keeping
them up for so many rows."""
MAX_WAIT_SECONDS: Final = 10
"""Limit of the wait for sessions that write into a table that gets an index: later writers wait behind it, too."""


def rows_in_statistics(connection: sa.Connection, table: str) -> int:
    """Return how many rows a table had when its statistics were collected; 0 if they never were."""
    return max(int(connection.execute(sa.text(_ROWS_IN_STATISTICS), {"table": table}).scalar_one()), 0)


def are_empty(connection: sa.Connection, tables: Sequence[str]) -> bool:
    """Decide whether all the tables are empty."""
    return not any(connection.execute(_has_rows(name)).scalar_one() for name in tables)


def drop_indexes_of_empty_tables(database: Database, tables: Sequence[str]) -> None:
    """Drop the deferred indexes (`DEFERRED_INDEX`) of empty tables, until `build_deferred_indexes` builds them.

    They stay where the role may not drop them or another session uses the table. Keys stay in any case.

    Args:
        database: the store; each empty table has a short transaction of its own.
        tables: names of tables.
    """
    for name, deferred in _empty_tables(database, tables).items():
        try:
            with database.transaction() as connection:
                connection.execute(sa.text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE NOWAIT"))
                if are_empty(connection, [name]):
                    names = ", ".join(str(index.name) for index in deferred)
                    connection.execute(sa.text(f"DROP INDEX IF EXISTS {names}"))
        except DBAPIError as error:
            if sqlstate_of(error) not in _NOT_ALLOWED_NOW:
                raise
            logger.info("%s is loaded with its indexes: sqlstate=%s", name, sqlstate_of(error))


def _empty_tables(database: Database, tables: Sequence[str]) -> dict[str, list[sa.Index]]:
    """Return the deferred indexes of those tables that are empty, by table."""
    deferred = {name: indexes for name in tables if (indexes := deferred_indexes([name]))}
    if not deferred:
        return {}
    has_rows = (sa.exists().select_from(metadata.tables[name]).label(name) for name in deferred)
    with database.autocommit() as connection:
        found = connection.execute(sa.select(*has_rows)).mappings().one()
    return {name: indexes for name, indexes in deferred.items() if not found[name]}


def build_deferred_indexes(connection: sa.Connection, tables: Sequence[str], written: int) -> None:
    """Build the missing deferred indexes, and collect statistics if much has changed.

    The server would collect them by itself within minutes; the next asset needs them now. An index that can't be built
    because another session uses the table is left to the next load.

    Args:
        connection: the transaction of the last batch of a load.
        tables: names of tables.
        written: how many rows were written into them.
    """
    deferred = deferred_indexes(tables)
    if not deferred and written <= MIN_CHANGED_ROWS:
        return
    states = connection.execute(sa.text(_STATES), {"tables": list(tables)}).all()
    known = {index for state in states for index in state.indexes}
    _build(connection, [index for index in deferred if index.name not in known])
    for state in states:
        if written > max(CHANGED_SHARE * state.rows, MIN_CHANGED_ROWS):
            connection.execute(sa.text(f"ANALYZE {state.name}"))


CHANGED_SHARE: Final = 0.1
"""The share of changed rows after which statistics are collected anew, as PostgreSQL's autovacuum has it."""
MIN_CHANGED_ROWS: Final = 100
"""Fewer are left to autovacuum."""

_STATES: Final = """
    SELECT name, greatest(reltuples, 0) AS rows,
           ARRAY(SELECT CAST(i.relname AS text) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                 WHERE x.indrelid = t.oid) AS indexes
    FROM unnest(CAST(:tables AS text[])) name JOIN pg_class t ON t.oid = to_regclass(name)
"""
_ROWS_IN_STATISTICS: Final = "SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)"


def _has_rows(table: str) -> sa.Select[tuple[bool]]:
    return sa.select(sa.exists().select_from(metadata.tables[table]))


def deferred_indexes(tables: Sequence[str]) -> list[sa.Index]:
    """Return the indexes of tables that a first load builds at its end."""
    marked = [one for name in tables for one in metadata.tables[name].indexes if one.info.get(DEFERRED_INDEX)]
    return sorted(marked, key=lambda one: str(one.name))


def _build(connection: sa.Connection, missing: Sequence[sa.Index]) -> None:
    if not missing:
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{MAX_WAIT_SECONDS:d}s'"))
            for index in missing:
                index.create(connection)
            connection.execute(sa.text("SET LOCAL lock_timeout = DEFAULT"))
    except DBAPIError as error:
        if sqlstate_of(error) not in _NOT_ALLOWED_NOW:
            raise
        names = ", ".join(str(one.name) for one in missing)
        logger.warning("The next load builds %s: sqlstate=%s", names, sqlstate_of(error))
