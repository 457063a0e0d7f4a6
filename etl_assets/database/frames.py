"""Transfer of Polars frames into and out of an open transaction, by COPY both ways and never row by row.

Rows are updated and deleted in key order, so that two writers never deadlock; new rows are sorted by the caller in the
order of an index, which then grows at its right edge. Every write checks that the server processed exactly the given
rows. Large reads outside a transaction belong in `database.Database.read`.
"""

from __future__ import annotations

import io
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB, UUID

from etl_assets.database.change_log import log_deletion, log_updates, with_queries
from etl_assets.database.schema import metadata
from etl_assets.errors import RowCountError
from etl_assets.values.text import cut_by_bytes
from etl_assets.values.timestamps import TIMESTAMP_UTC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import psycopg
    import pyarrow as pa

STAGING = "staged_rows"
ROWS_PER_WRITE = 20_000
"""Rows encoded at once: few enough for the server to start immediately and for memory to stay flat."""
MAX_INLINED_ROWS: Final = 2_000
"""Rows up to which a statement has them as arrays: no temporary table is made, filled, analysed and dropped."""
MAX_INLINED_BYTES: Final = 4 << 20
_PERSONAL: Final = frozenset(("customer_key", "customer_nickname"))
BYTES_PER_WRITE: Final = 32 << 20
"""Bytes of text encoded at once, roughly: texts that rows share in memory are copied for each row."""


def copy_rows(connection: sa.Connection, table: str, rows: pl.DataFrame, *, like: str | None = None) -> int:
    """Append `rows` to `table` by COPY. Returns the number of rows.

    Args:
        connection: an open transaction.
        table: the table's name.
        rows: columns of the table; uuid and jsonb as text, others in the equivalent Polars type.
        like: for a temporary table, the table of the schema with its column types.
    """
    if rows.is_empty():
        return 0
    table_columns = metadata.tables[like or table].columns
    rows = _without_empty_columns(rows, table_columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), _column_list(rows.columns)
    )
    with _driver_connection(connection).cursor() as cursor:
        with cursor.copy(statement) as copy:
            for piece in encode_binary(rows, table_columns):
                copy.write(piece)
        _require_row_count(cursor.rowcount, rows.height, f"COPY into {table}")
    return rows.height


def _without_empty_columns(rows: pl.DataFrame, table_columns: sa.ColumnCollection[str, sa.Column[Any]]) -> pl.DataFrame:
    """Leave out columns without a value that are null by themselves: the server need not read them row by row."""
    return rows.drop(
        name
        for name in rows.columns
        if name in table_columns
        and table_columns[name].server_default is None
        and rows[name].null_count() == rows.height
    )


def encode_binary(rows: pl.DataFrame, table_columns: sa.ColumnCollection[str, sa.Column[Any]]) -> Iterator[bytes]:
    """Encode in PostgreSQL's binary format, which the server reads several times faster than text."""
    types = {column: table_columns[column].type for column in rows.columns if column in table_columns}

    def as_arrow(part: pl.DataFrame) -> pa.Table:
        stored = part.select(_cast_for_storage(column, types.get(column)) for column in part.columns)
        return stored.to_arrow(compat_level=pl.CompatLevel.oldest())

    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    pieces = cut_by_bytes(rows, texts, BYTES_PER_WRITE)
    first = as_arrow(next(pieces))
    schema = first.schema
    encoders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in schema}
    for column, stored in types.items():
        if isinstance(stored, JSONB):
            encoders[column] = LargeStringEncoderBuilder.new_with_output(schema.field(column), Jsonb())
    encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)
    yield encoder.write_header()
    for table in chain([first], map(as_arrow, pieces)):
        for batch in table.to_batches(max_chunksize=ROWS_PER_WRITE):
            yield encoder.write_batch(batch)
    yield encoder.finish()


def _cast_for_storage(column: str, stored: sa.types.TypeEngine[Any] | None) -> pl.Expr:
    """Return a column in the type whose binary form equals the stored one."""
    match stored:
        case UUID():
            return pl.col(column).str.replace_all("-", "", literal=True).str.decode("hex")
        case sa.BigInteger():
            return pl.col(column).cast(pl.Int64)
        case sa.Integer():
            return pl.col(column).cast(pl.Int32)
        case sa.Text():
            return pl.col(column).cast(pl.String)
        case _:
            return pl.col(column)


def copy_to_temp_table(
    connection: sa.Connection,
    like: str,
    rows: pl.DataFrame,
    *,
    name: str = STAGING,
    joined_by: Sequence[str] | None = None,
) -> None:
    """Copy `rows` into a temporary table that is dropped at commit.

    A read-only transaction (`Database.snapshot`) makes no table: there the rows travel with the queries that name it.

    Args:
        connection: an open transaction.
        like: the table whose columns of the same names give the types; other columns are boolean or bigint.
        rows: the rows to copy.
        name: the name of the temporary table.
        joined_by: columns to collect statistics of, which takes time for each; by default all.
    """
    inlined = _inlined_rows(connection)
    if inlined is not None:
        inlined[name] = _as_query(like, rows, sql.Literal).as_string()
        return
    driver = _driver_connection(connection)
    driver.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(sql.Identifier(name)))
    known = metadata.tables[like].columns
    selected = [
        sql.Identifier(column) if column in known else sql.SQL("{} AS {}").format(_NULLS[dtype], sql.Identifier(column))
        for column, dtype in rows.schema.items()
    ]
    driver.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            sql.Identifier(name), sql.SQL(", ").join(selected), sql.Identifier(like)
        )
    )
    copy_rows(connection, name, rows, like=like)
    driver.execute(sql.SQL("ANALYZE {} ({})").format(sql.Identifier(name), _column_list(joined_by or rows.columns)))


INLINED: Final = "etl_inlined_rows"
"""Execution option of a connection that may write nothing: the rows that its queries name, as queries."""


def _inlined_rows(connection: sa.Connection) -> dict[str, str] | None:
    inlined: dict[str, str] | None = connection.get_execution_options().get(INLINED)
    return inlined


def _as_query(like: str, rows: pl.DataFrame, place: Callable[[str], sql.Composable]) -> sql.Composed:
    """Return rows as a query of arrays, of which `place` gives the text a place in the statement."""
    known = metadata.tables[like].columns
    types = [
        _type_name(known[name].type) if name in known else _PLAIN_TYPES[dtype] for name, dtype in rows.schema.items()
    ]
    arrays = [
        sql.SQL("CAST({} AS {}[])").format(place(text), sql.SQL(type_name))
        for text, type_name in zip(_as_arrays(rows), types, strict=True)
    ]
    return sql.SQL("SELECT * FROM unnest({}) inlined ({})").format(
        sql.SQL(", ").join(arrays), _column_list(rows.columns)
    )


def _type_name(stored: sa.types.TypeEngine[Any]) -> str:
    """Return the name of a column's type, without its collation."""
    return "text" if isinstance(stored, sa.Text) else stored.compile(postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy has no type for it


def _as_arrays(rows: pl.DataFrame) -> list[str]:
    """Return each column as the text of an array of PostgreSQL, with each value quoted, so that none can leave it."""
    texts = [
        pl.format('"{}"', pl.col(name).str.replace_many(["\\", '"'], ["\\\\", '\\"']))
        if dtype == pl.String
        else pl.format('"{}"', pl.col(name).cast(pl.String))
        for name, dtype in rows.schema.items()
    ]
    columns = rows.select(
        pl.when(pl.col(name).is_null()).then(pl.lit("NULL")).otherwise(text).str.join(",").alias(name)
        for name, text in zip(rows.columns, texts, strict=True)
    )
    return [f"{{{text or ''}}}" for text in columns.row(0)]


def _with_inlined_rows(connection: sa.Connection, query: str, *, has_parameters: bool) -> str:
    """Put the rows that a query names before it, where no temporary table has them."""
    inlined = _inlined_rows(connection) or {}
    named = {name: rows for name, rows in inlined.items() if re.search(rf"\b{name}\b", query)}
    if not named:
        return query
    parts = ", ".join(f"{name} AS ({rows})" for name, rows in named.items())
    escaped = parts.replace("%", "%%") if has_parameters else parts
    return f"WITH {escaped} SELECT * FROM ({query}) named"  # noqa: S608  # as above


_PLAIN_TYPES: Final = {pl.Boolean(): "boolean", pl.Int64(): "bigint"}
_NULLS: Final = {dtype: sql.SQL(f"NULL::{name}") for dtype, name in _PLAIN_TYPES.items()}


def update_rows(
    connection: sa.Connection,
    table: str,
    rows: pl.DataFrame,
    *,
    key: Sequence[str],
    set_now: str | None = None,
    batch_id: int | None = None,
) -> int:
    """Update the rows of `table` that have the keys of `rows` to the frame's other columns.

    Args:
        connection: an open transaction.
        table: the table's name.
        rows: key columns and new values; keys are unique and all exist.
        key: the names of the key columns.
        set_now: a timestamp column to set to now().
        batch_id: the batch that makes the change: it is logged under it (`change_log`), if there is one.
    """
    if rows.is_empty():
        return 0
    staged, parameters = _stage(connection, table, rows.sort(key), joined_by=key)
    columns = [column for column in rows.columns if column not in key]
    assignments = [sql.SQL("{0} = s.{0}").format(sql.Identifier(column)) for column in columns]
    if set_now is not None:
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(set_now)))
    logged = [] if batch_id is None else [log_updates(table, STAGING, tuple(columns))]
    statement = with_queries(*staged, *logged) + sql.SQL("UPDATE {} t SET {} FROM {} s WHERE {}").format(
        sql.Identifier(table), sql.SQL(", ").join(assignments), sql.Identifier(STAGING), _same_key(key)
    )
    updated = _driver_connection(connection).execute(statement, {**parameters, "batch_id": batch_id}).rowcount
    _require_row_count(updated, rows.height, f"UPDATE of {table}")
    return rows.height


def _stage(
    connection: sa.Connection, table: str, rows: pl.DataFrame, *, joined_by: Sequence[str]
) -> tuple[list[sql.Composed], dict[str, str]]:
    """Make rows of `table` known as `STAGING`: in a temporary table, or few as a query with parameters, for a WITH."""
    if not is_inlined(rows):
        copy_to_temp_table(connection, table, rows, joined_by=joined_by)
        return [], {}
    parameters: dict[str, str] = {}

    def place(text: str) -> sql.Placeholder:
        parameters[f"column_{len(parameters)}"] = text
        return sql.Placeholder(f"column_{len(parameters) - 1}")

    query = _as_query(table, rows, place)
    return [sql.SQL("{} AS MATERIALIZED ({})").format(sql.Identifier(STAGING), query)], parameters


def delete_rows(connection: sa.Connection, table: str, keys: pl.DataFrame, *, batch_id: int) -> int:
    """Delete the rows of `table` that have the keys in `keys` (all its columns), and log them under the batch.

    Returns:
        The number of rows deleted.
    """
    if keys.is_empty():
        return 0
    copy_to_temp_table(connection, table, keys.sort(keys.columns))
    statement = sql.SQL("DELETE FROM {} t USING {} s WHERE {}").format(
        sql.Identifier(table), sql.Identifier(STAGING), _same_key(keys.columns)
    )
    return _driver_connection(connection).execute(log_deletion(table, statement, batch_id)).rowcount


def delete_logged(connection: sa.Connection, table: str, deletion: str, *, batch_id: int) -> int:
    """Delete rows of `table` by a statement of the project's own (`DELETE FROM … t …`), logged as by `delete_rows`.

    Returns:
        The number of rows deleted.
    """
    statement = log_deletion(table, sql.SQL(deletion), batch_id)  # constants and integers
    return _driver_connection(connection).execute(statement).rowcount


def fetch_frame(
    connection: sa.Connection, query: str, schema: dict[str, Any], parameters: Mapping[str, object] | None = None
) -> pl.DataFrame:
    """Run a SELECT inside the transaction and return its rows as a frame with `schema` (names in the query's order).

    Args:
        connection: an open transaction.
        query: a constant of the project, or one with only integers and hex literals formatted into it.
        schema: the columns and their types.
        parameters: values of the query's placeholders, ``%(name)s``; COPY has none, so the driver quotes them.
    """
    with _driver_connection(connection).cursor() as cursor:
        named = _with_inlined_rows(connection, query, has_parameters=parameters is not None)
        statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(sql.SQL(named))  # constants only
        with cursor.copy(statement, parameters) as copy:
            text = b"".join(copy)
    if not text:
        return pl.DataFrame(schema=schema)
    # Timestamps come as ISO text with the session's offset (UTC), booleans as t and f.
    raw = {name: pl.String if dtype in _AS_TEXT else dtype for name, dtype in schema.items()}
    frame = pl.read_csv(io.BytesIO(text), has_header=False, schema=raw)
    return frame.with_columns(_from_text(name, dtype) for name, dtype in schema.items() if dtype in _AS_TEXT)


_AS_TEXT = (pl.Boolean(), TIMESTAMP_UTC)


def _from_text(name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean():
        return pl.col(name) == "t"
    return pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", time_zone="UTC")


def look_up(
    connection: sa.Connection, query: str, schema: dict[str, Any], *, keys: pl.DataFrame, like: str, name: str
) -> pl.DataFrame:
    """Run a SELECT that names keys, like `fetch_frame`: few travel with the query, many by COPY into a temporary table.

    Saves three statements of four, and the entries of the temporary table in the server's catalogue
    (docs/performance.md, "Gain of each optimisation"). Names of customers always go by COPY: the server's log has the
    text of a query that fails.

    Args:
        connection: an open transaction.
        query: as of `fetch_frame`.
        schema: its columns and their types.
        keys: the rows that the query names.
        like: the table whose columns of the same names give the types; other columns are boolean or bigint.
        name: by which the query names them.
    """
    if not is_inlined(keys) or not _PERSONAL.isdisjoint(keys.columns):
        copy_to_temp_table(connection, like, keys, name=name)
        return fetch_frame(connection, query, schema)
    rows = _as_query(like, keys, sql.Literal).as_string()
    return fetch_frame(connection, f"WITH {name} AS ({rows}) SELECT * FROM ({query}) named", schema)  # noqa: S608  # quoted by the driver


def is_inlined(rows: pl.DataFrame) -> bool:
    """Return whether rows travel with the statement that names them."""
    return rows.height <= MAX_INLINED_ROWS and rows.estimated_size() <= MAX_INLINED_BYTES


def _driver_connection(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver: Any = connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]  # SQLAlchemy does not know which driver it holds


def _column_list(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _same_key(key: Sequence[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(sql.Identifier(column)) for column in key)


def _require_row_count(actual: int, expected: int, statement: str) -> None:
    if actual != expected:
        msg = f"{statement} affected {actual} rows, not {expected}: another program has changed the table."
        raise RowCountError(msg)
