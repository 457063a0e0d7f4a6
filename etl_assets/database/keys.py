"""Keys of the tables: finds missing ones and restores them.

Other programs rely on keys, so they exist at all times (docs/decisions.md, "Keys are never dropped"). Secondary
indexes, which may be missing during a first load, belong in `bulk_load`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import AddConstraint, CreateIndex

from etl_assets.database.database import sqlstate_of
from etl_assets.database.schema import metadata
from etl_assets.errors import MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

Key = sa.PrimaryKeyConstraint | sa.UniqueConstraint | sa.Index


def all_keys() -> Iterator[Key]:
    """Yield the keys of all tables: primary keys, unique constraints and unique indexes."""
    for table in metadata.sorted_tables:
        yield from (one for one in table.constraints if isinstance(one, sa.PrimaryKeyConstraint | sa.UniqueConstraint))
        yield from (one for one in table.indexes if one.unique)


def missing_keys(connection: sa.Connection) -> list[Key]:
    """Return the keys that the database lacks; a key under another name is not missing."""
    found = {(table, is_partial, frozenset(columns)) for table, is_partial, columns in connection.execute(_FOUND)}
    return [key for key in all_keys() if _signature(key) not in found]


def restore_keys(connection: sa.Connection) -> None:
    """Create missing keys: up to version 0.1.0 a first load that was killed left some out.

    Raises:
        MissingKeyError: the table has rows that violate the key; the user has to choose among them.
    """
    for key in missing_keys(connection):
        table = _table_of(key)
        statement = CreateIndex(key) if isinstance(key, sa.Index) else AddConstraint(key, isolate_from_table=False)
        try:
            with connection.begin_nested():
                connection.execute(statement)
        except DBAPIError as error:
            if not (sqlstate_of(error) or "").startswith(_REFUSED_ROWS):
                raise
            raise MissingKeyError(_refusal_message(connection, key)) from None
        logger.warning("The table %s lacked its key %s: created.", table.name, key.name)


_REFUSED_ROWS: Final = "23"
"""Class of SQLSTATE of rows that violate a key."""
_FOUND: Final = sa.text("""
    SELECT t.relname, i.indpred IS NOT NULL, ARRAY(
        SELECT CAST(a.attname AS text)
        FROM unnest(CAST(i.indkey AS int2[])) WITH ORDINALITY k (number, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts
    )
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE i.indisunique AND i.indisvalid
    AND t.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
""")


def _table_of(key: Key) -> sa.Table:
    assert isinstance(key.table, sa.Table)  # noqa: S101  # for mypy: all of them come from tables
    return key.table


def _signature(key: Key) -> tuple[str, bool, frozenset[str]]:
    is_partial = isinstance(key, sa.Index) and key.dialect_options["postgresql"]["where"] is not None
    return _table_of(key).name, is_partial, frozenset(column.name for column in key.columns)


def _refusal_message(connection: sa.Connection, key: Key) -> str:
    """Explain why a key can't be created, with the remedy and without a value of any row."""
    table, columns = _table_of(key), list(key.columns)
    where = key.dialect_options["postgresql"]["where"] if isinstance(key, sa.Index) else None
    copies = sa.select(*columns, sa.func.count().label("copies")).group_by(*columns).having(sa.func.count() > 1)
    copies = copies if where is None else copies.where(where)
    number = connection.execute(sa.select(sa.func.count()).select_from(copies.subquery())).scalar_one()
    schema = connection.execute(sa.select(sa.func.current_schema())).scalar_one()
    written = copies.compile(
        connection,
        schema_translate_map={None: schema},
        render_schema_translate=True,
        compile_kwargs={"literal_binds": True},
    )
    listed = " ".join(str(written).split())
    return (
        f"The table {table.name} lacks its key {key.name} ({', '.join(one.name for one in columns)}), which the first"
        f" load of an older version left out, and {number} of its values occur more than once: the key can't be"
        f" created, and nothing was changed. List them with `{listed}`, delete the surplus rows (or those with empty"
        " columns), then run `etl-assets db upgrade`."
    )
