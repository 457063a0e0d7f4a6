"""The change log: SQL that notes the old and new values of rows in the statement that updates or deletes them.

So the log holds what the table held, is committed with the change or not at all, and costs no statement of its own.
Inserted rows are not logged: they name their batch (`created_batch_id`), and a first load writes nothing here
(docs/decisions.md, "Change log"). Reading is in the package `changes`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from psycopg import sql

from etl_assets.database.columns import CREATED_BATCH_ID, metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_LOGGED: Final = ("created_at", "updated_at")
_TABLE: Final = sql.SQL("t")
_STAGED: Final = sql.SQL("s")
_DELETED: Final = sql.SQL("d")


def key_of(table: str) -> list[str]:
    """Return the columns of a table's primary key, by which the log names its rows."""
    return [column.name for column in metadata.tables[table].primary_key.columns]


def created_batch_of(table: str) -> str:
    """Return the column of the batch that inserted a row; leads had one before the others."""
    return CREATED_BATCH_ID if CREATED_BATCH_ID in metadata.tables[table].columns else "batch_id"


@cache
def log_updates(table: str, staged: str, columns: tuple[str, ...]) -> sql.Composed:
    """Return the query that logs an UPDATE to staged rows, for the WITH in front of it.

    The batch that makes the change is the parameter `batch_id` of the statement.

    Args:
        table: the table that is updated.
        staged: name of the rows with the key of `table` and the new values.
        columns: that the update sets.
    """
    logged = [sql.Identifier(name) for name in columns if name != "batch_id"]
    differing = [sql.SQL("t.{0} IS DISTINCT FROM s.{0}").format(name) for name in logged]
    return sql.SQL(
        "logged AS (INSERT INTO row_changes (batch_id, row_key, created_batch_id, before, after)"
        " SELECT {batch}, {key}, t.{created}, {before}, {after} FROM {table} t JOIN {staged} s ON {same}"
        " WHERE {differs})"
    ).format(
        batch=sql.Placeholder("batch_id"),
        key=_key(table, _TABLE),
        created=sql.Identifier(created_batch_of(table)),
        before=_changed_values(columns, _TABLE),
        after=_changed_values(columns, _STAGED),
        table=sql.Identifier(table),
        staged=sql.Identifier(staged),
        same=sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in key_of(table)),
        differs=sql.SQL(" OR ").join(differing),
    )


def with_queries(*queries: sql.Composed) -> sql.Composed:
    """Return the WITH of a statement, or nothing where there are no queries."""
    return sql.SQL("WITH {} ").format(sql.SQL(", ").join(queries)) if queries else sql.Composed([])


def log_deletion(table: str, deletion: sql.Composable, batch_id: int) -> sql.Composed:
    """Return a DELETE of rows of `table`, with the alias `t`, as one statement that logs them; it affects as many rows.

    Args:
        table: the table that they are deleted from.
        deletion: the DELETE, without RETURNING.
        batch_id: the batch that makes the change.
    """
    created = created_batch_of(table)
    left_out = [*key_of(table), created, *_NOT_LOGGED]
    return sql.SQL(
        "WITH deleted AS ({deletion} RETURNING t.*)"
        " INSERT INTO row_changes (batch_id, row_key, created_batch_id, before)"
        " SELECT {batch}, {key}, d.{created}, jsonb_strip_nulls(to_jsonb(d) - {left_out}) FROM deleted d"
    ).format(
        deletion=deletion,
        batch=sql.Literal(batch_id),
        key=_key(table, _DELETED),
        created=sql.Identifier(created),
        left_out=sql.Literal(left_out),
    )


def _key(table: str, alias: sql.SQL) -> sql.Composed:
    pairs = (sql.SQL("{}, {}.{}").format(sql.Literal(name), alias, sql.Identifier(name)) for name in key_of(table))
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))


def _changed_values(columns: Sequence[str], alias: sql.SQL) -> sql.Composed:
    """Return the values of `alias` in the columns that differ; null ones are left out."""
    pairs = (
        sql.SQL("{literal}, CASE WHEN t.{name} IS DISTINCT FROM s.{name} THEN {alias}.{name} END").format(
            literal=sql.Literal(name), name=sql.Identifier(name), alias=alias
        )
        for name in columns
        if name != "batch_id"
    )
    return sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(sql.SQL(", ").join(pairs))
