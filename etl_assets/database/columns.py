"""Building blocks of tables: the metadata object, kinds of columns, and the mark of deferred indexes.

The tables are in `schema` (data) and `ledger_schema` (state of the pipeline).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Numeric, Text, func, text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


DEFERRED_INDEX: Final = "deferred_indexes"
"""Key in the `info` of an index that a first load builds at its end, several times as fast as row by row.

Batches of that load read the table instead of the index, while it is new and small. Never a key: other programs rely
on keys at all times, and duplicates left by a killed load would prevent its creation (docs/decisions.md, "Deferred
indexes" and "Keys are never dropped").
"""

BYTES: Final = Text(collation="C")
"""Text compared as bytes, as in Polars, so that rows sorted there are in the order of the index."""


def timestamp_column(name: str, *, required: bool = False, comment: str | None = None) -> Column[object]:
    """Return a timestamp column."""
    return Column(name, DateTime(timezone=True), nullable=not required, comment=comment)


def now_column(name: str) -> Column[object]:
    """Return a timestamp column that defaults to the time of the transaction."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def money_column(name: str, *, comment: str | None = None) -> Column[object]:
    """Return a column for an amount."""
    return Column(name, Numeric(18, 4), comment=comment)


def total_column(name: str, *, server_default: str | None = None, comment: str | None = None) -> Column[object]:
    """Return a column for a sum of amounts."""
    default = None if server_default is None else text(server_default)
    return Column(name, Numeric(38, 4), nullable=False, server_default=default, comment=comment)


CREATED_BATCH_ID: Final = "created_batch_id"
"""Column of a table: the batch of the ledger that inserted the row, by which `changes` lists inserted rows."""


def created_batch_column() -> Column[int]:
    """Return the column of the batch that inserted a row; null in rows of versions that did not store it."""
    return Column(CREATED_BATCH_ID, BigInteger, comment="the batch of the ledger that inserted the row")


def count_column(name: str) -> Column[int]:
    """Return a column that counts from 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))
