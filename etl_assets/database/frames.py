"""Polars frames in and out of an open transaction: COPY both ways, and nothing row by row.

Rows are changed in key order, so that two writers never wait for each other in a circle; new ones are given in the
order of an index, which then grows at its right edge. Every write checks that the server took exactly the rows it was
given.
"""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB, UUID

from etl_assets.database.schema import metadata
from etl_assets.errors import RowCountError
from etl_assets.values.text import cut_by_bytes
from etl_assets.values.timestamps import TIMESTAMP_UTC

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
    import pyarrow as pa

STAGING = "staged_rows"
ROWS_PER_WRITE = 20_000
"""How many rows are encoded at once: small enough that the server begins at once and memory stays flat."""
BYTES_PER_WRITE: Final = 32 << 20
"""About how many bytes of text are encoded at once: what rows share in memory, as an order's id, is copied for each."""


def copy_rows(connection: sa.Connection, table: str, rows: pl.DataFrame, *, like: str | None = None) -> int:
    """Append `rows` to `table` by COPY. Returns the number of rows.

    Args:
        connection: an open transaction.
        table: the table's name.
        rows: columns of the table: uuid and jsonb ones as text, the others in the Polars type of the same meaning.
        like: the table of the schema that a temporary one has its columns from.
    """
    if rows.is_empty():
        return 0
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(table), _columns(rows.columns))
    described = metadata.tables[like or table].columns
    with _driver(connection).cursor() as cursor:
        with cursor.copy(statement) as copy:
            for piece in _as_binary(rows, described):
                copy.write(piece)
        _expect(cursor.rowcount, rows.height, f"COPY into {table}")
    return rows.height


def _as_binary(rows: pl.DataFrame, described: sa.ColumnCollection[str, sa.Column[Any]]) -> Iterator[bytes]:
    """The frame in PostgreSQL's binary format, which the server reads several times faster than text."""
    types = {column: described[column].type for column in rows.columns if column in described}

    def as_arrow(part: pl.DataFrame) -> pa.Table:
        stored = part.select(_as_stored(column, types.get(column)) for column in part.columns)
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


def _as_stored(column: str, stored: sa.types.TypeEngine[Any] | None) -> pl.Expr:
    """A column in the type whose binary form the stored one has."""
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
    """Put `rows` into a temporary table `name`, gone at commit; columns named as in table `like` have its types.

    Others are boolean or bigint, as the frame has them. `joined_by` names the columns that the planner has to know,
    which takes time for each of them: all, if it is not given.
    """
    driver = _driver(connection)
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
    driver.execute(sql.SQL("ANALYZE {} ({})").format(sql.Identifier(name), _columns(joined_by or rows.columns)))


_NULLS: Final = {pl.Boolean(): sql.SQL("NULL::boolean"), pl.Int64(): sql.SQL("NULL::bigint")}


def update_rows(
    connection: sa.Connection, table: str, rows: pl.DataFrame, *, key: Sequence[str], set_now: str | None = None
) -> int:
    """Update the rows of `table` that have the keys of `rows` to the frame's other columns.

    Args:
        connection: an open transaction.
        table: the table's name.
        rows: key columns and new values; keys are unique and all exist.
        key: the names of the key columns.
        set_now: a timestamp column to set to now().
    """
    if rows.is_empty():
        return 0
    copy_to_temp_table(connection, table, rows.sort(key), joined_by=key)
    assignments = [
        sql.SQL("{0} = s.{0}").format(sql.Identifier(column)) for column in rows.columns if column not in key
    ]
    if set_now is not None:
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(set_now)))
    statement = sql.SQL("UPDATE {} t SET {} FROM {} s WHERE {}").format(
        sql.Identifier(table), sql.SQL(", ").join(assignments), sql.Identifier(STAGING), _same_key(key)
    )
    _expect(_driver(connection).execute(statement).rowcount, rows.height, f"UPDATE of {table}")
    return rows.height


def delete_rows(connection: sa.Connection, table: str, keys: pl.DataFrame) -> int:
    """Delete the rows of `table` that have the keys in `keys` (all its columns). Returns the number of rows deleted."""
    if keys.is_empty():
        return 0
    copy_to_temp_table(connection, table, keys.sort(keys.columns))
    statement = sql.SQL("DELETE FROM {} t USING {} s WHERE {}").format(
        sql.Identifier(table), sql.Identifier(STAGING), _same_key(keys.columns)
    )
    return _driver(connection).execute(statement).rowcount


def fetch_frame(connection: sa.Connection, query: str, schema: dict[str, Any]) -> pl.DataFrame:
    """Run a SELECT inside the transaction and return its rows as a frame with `schema` (names in the query's order).

    `query` is a constant of the project, or has only integers and hex literals formatted into it.
    """
    with _driver(connection).cursor() as cursor:
        statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(sql.SQL(query))  # constants only
        with cursor.copy(statement) as copy:
            text = b"".join(copy)
    if not text:
        return pl.DataFrame(schema=schema)
    # Instants come as ISO text with the session's offset (UTC), booleans as t and f.
    raw = {name: pl.String if dtype in _AS_TEXT else dtype for name, dtype in schema.items()}
    frame = pl.read_csv(io.BytesIO(text), has_header=False, schema=raw)
    return frame.with_columns(_from_text(name, dtype) for name, dtype in schema.items() if dtype in _AS_TEXT)


_AS_TEXT = (pl.Boolean(), TIMESTAMP_UTC)


def _from_text(name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean():
        return pl.col(name) == "t"
    return pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", time_zone="UTC")


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver: Any = connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]  # SQLAlchemy does not know which driver it holds


def _columns(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _same_key(key: Sequence[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(sql.Identifier(column)) for column in key)


def _expect(actual: int, expected: int, what: str) -> None:
    if actual != expected:
        msg = f"{what} touched {actual} rows instead of {expected}: the table was changed from outside the pipeline."
        raise RowCountError(msg)
