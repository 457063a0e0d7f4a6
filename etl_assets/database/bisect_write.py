"""Bisection of writes: a write that the store refuses is halved until the rows to blame are alone.

One bad row so never takes its neighbours with it. For writes of values that come from exports; any other failure of a
batch is bisected by its ranges (`pipeline.bisect_batch`). Savepoints cost two statements for each write, which is why
not every statement has one (docs/decisions.md, "Bisecting refused batches").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import psycopg
from sqlalchemy.exc import DBAPIError

from etl_assets.database.database import sqlstate_of
from etl_assets.errors import PanicError, RowCountError

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

DATA_ERROR_CLASSES: Final = ("22", "23", "54", "P0")
"""SQLSTATE classes of errors that are the row's fault: data, constraint, size of an index entry, RAISE in a trigger."""

_ERRORS_OF_ROWS: Final = (
    *(pl.exceptions.PolarsError, PanicError, RowCountError),
    *(psycopg.DataError, psycopg.IntegrityError, UnicodeError, OverflowError),
)
"""Errors without a SQLSTATE that a row may cause: a library can't read or encode it, a trigger skips it."""

REJECTION_SCHEMA: Final = {"reason_code": pl.String(), "reason": pl.String()}


def write_bisecting(
    connection: sa.Connection, units: pl.DataFrame, write: Callable[[pl.DataFrame], object]
) -> pl.DataFrame:
    """Write `units`, leaving out those that the store refuses.

    Hazard: errors that are no row's fault (a lost connection, a deadlock) must not put rows into quarantine. They are
    raised, and the batch is retried as a whole (docs/decisions.md, "Rehearsal before a rejection").

    Args:
        connection: the batch's transaction; each try runs in a savepoint of its own.
        units: one row for each unit that is written or refused as a whole (an order, a customer …).
        write: writes the given part of `units`.

    Returns:
        The refused rows of `units` with `reason_code` (DB_REJECTED) and `reason` (SQLSTATE and column, no value).
    """
    refused = units.clear().with_columns(pl.lit(None, dtype).alias(name) for name, dtype in REJECTION_SCHEMA.items())
    if units.is_empty():
        return refused
    try:
        with connection.begin_nested():
            write(units)
    except (DBAPIError, psycopg.Error) as error:
        reason = rejection_reason(error)
        if reason is None:
            raise
        if units.height == 1:
            return units.with_columns(reason_code=pl.lit("DB_REJECTED"), reason=pl.lit(reason))
        half = units.height // 2
        parts = [write_bisecting(connection, part, write) for part in (units.head(half), units.tail(-half))]
        refused = pl.concat(parts)
    return refused


def rejection_reason(error: BaseException) -> str | None:
    """Return the reason that rows are refused, without any value, or None where it is not their fault."""
    original = error.orig if isinstance(error, DBAPIError) else error
    state = sqlstate_of(error)
    if state is not None:
        return _reason(state, original) if state.startswith(DATA_ERROR_CLASSES) else None
    is_of_arrow = "ArrowException" in (kind.__name__ for kind in type(original).__mro__)  # importing it takes 0.2 s
    if is_of_arrow or isinstance(original, _ERRORS_OF_ROWS):
        return f"The row can't be processed: {type(original).__name__}."
    return None


def _reason(state: str, original: BaseException | None) -> str:
    diagnosis = getattr(original, "diag", None)
    named = [
        f"{what} {name}"
        for what in ("table", "column", "constraint")
        if (name := getattr(diagnosis, f"{what}_name", None)) is not None
    ]
    return f"The database refused the row: SQLSTATE {state}{', ' if named else ''}{', '.join(named)}."
