"""Lands files as raw orders: one import per file, its rows and its `completed` status in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID, uuid4

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import DOWNSTREAM
from etl_assets.database.database import sqlstate_of
from etl_assets.database.frames import copy_rows
from etl_assets.database.schema import import_tasks
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import DatabaseUnavailableError, EtlError
from etl_assets.ledger import queue
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch
from etl_assets.ledger.queue import RawIdRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from etl_assets.database.database import Database
    from etl_assets.presets.model import Preset

INTERRUPTED: Final = "The import was interrupted before it ended; import the file again."


class Landable(Protocol):
    """Raw orders to be landed: an iterator of frames that counts what it has read and handed out."""

    lines: int
    rows: int
    unmatched: tuple[str, ...]
    """Columns that the mapping takes from headers that the source lacks, where the user should know; else empty."""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Frames of columns of `raw_orders` but import_id and raw_id; `replaces_raw_id` where rows correct others."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What one import came to. `lines` were read from the source, `rows` are the raw orders landed."""

    import_id: UUID
    source: str
    preset: str | None
    lines: int
    rows: int
    status: str
    error: str | None = None
    unmatched: tuple[str, ...] = ()
    """The columns that the mapping takes from headers that the file lacks; never those of a detected preset."""

    def as_dict(self) -> dict[str, Any]:
        """The result as the commands print it; `error` and `unmatched` only where there is something to say."""
        result: dict[str, Any] = {
            "import_id": str(self.import_id),
            "source": self.source,
            "preset": self.preset,
            "lines": self.lines,
            "rows": self.rows,
            "status": self.status,
        }
        if self.error is not None:
            result["error"] = self.error
        if self.unmatched:
            result["unmatched"] = list(self.unmatched)
        return result


def land_raw_orders(
    database: Database,
    path: Path | str,
    preset: Preset,
    frames: Landable,
    *,
    run_id: str | None = None,
    claim: Callable[[sa.Connection, UUID], None] | None = None,
) -> ImportResult:
    """Land the raw orders of one file.

    Args:
        database: the store.
        path: the file, or what else the rows came from, named in the ledger.
        preset: the format it was read with; stored with the import.
        frames: the file's raw orders.
        run_id: the Dagster run, for the ledger.
        claim: called first in the transaction of the rows, with the import's id; its `EtlError` fails the import.

    Returns:
        The completed import, or the failed one with its error when the file can't be read: then it has no rows.

    Raises:
        DatabaseUnavailableError: the server can't be reached; nothing was landed.
    """
    import_id = register_import(database, str(path), preset)
    try:
        with database.transaction() as connection:
            # The file is read inside: hours may pass before the first rows. Nobody waits for its only lock till then.
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            if claim is not None:
                claim(connection, import_id)
            batch_id = _land(connection, import_id, frames, run_id)
            lines, rows, unmatched = frames.lines, frames.rows, frames.unmatched
            _complete(connection, import_id, batch_id=batch_id, lines=lines, rows=rows, unmatched=unmatched)
    except EtlError as error:
        fail_import(database, import_id, str(error))
        if isinstance(error, DatabaseUnavailableError):
            raise  # no fault of the file
        return ImportResult(import_id, str(path), preset.name, frames.lines, 0, "failed", str(error))
    except BaseException as error:
        fail_import(database, import_id, _why(error))
        raise
    finally:
        frames.close()
    return ImportResult(import_id, str(path), preset.name, lines, rows, "completed", unmatched=unmatched)


def record_failed_import(database: Database, path: Path, error: EtlError) -> ImportResult:
    """Record a file that can't be imported for a reason known before it is read."""
    import_id = register_import(database, str(path), None)
    fail_import(database, import_id, str(error))
    return ImportResult(import_id, str(path), None, 0, 0, "failed", str(error))


def register_import(database: Database, source: str, preset: Preset | None) -> UUID:
    """Record that an import has begun; nothing reads it before it is completed."""
    import_id = uuid4()
    with database.transaction() as connection:
        connection.execute(
            sa.insert(import_tasks).values(
                import_id=import_id,
                source=_storable(source),
                preset=preset.name if preset else None,
                mapping=preset.model_dump(mode="json") if preset else None,
                status="pending",
            )
        )
    return import_id


def fail_import(database: Database, import_id: UUID, error: str) -> None:
    """Record why an import failed."""
    with database.transaction() as connection:
        connection.execute(
            sa.update(import_tasks)
            .where(import_tasks.c.import_id == import_id, import_tasks.c.status == "pending")
            .values(status="failed", error=_storable(error), completed_at=sa.func.now())
        )


@dataclass(frozen=True, slots=True)
class LandedTotals:
    """How many imports there are, and how many raw orders the completed ones landed."""

    completed: int
    failed: int
    rows: int


def landed_totals(database: Database) -> LandedTotals:
    """Count the imports and their rows."""
    with database.transaction() as connection:
        return LandedTotals(
            *connection.execute(
                sa.text(
                    "SELECT count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),"
                    " CAST(coalesce(sum(row_count), 0) AS bigint) FROM import_tasks"
                )
            ).one()
        )


def fail_interrupted_imports(database: Database) -> int:
    """Mark imports failed whose process is gone: pending ones whose row nobody holds. Returns how many."""
    with database.transaction() as connection:
        return connection.execute(
            sa.text(
                "UPDATE import_tasks SET status = 'failed', error = :error, completed_at = now() WHERE import_id IN ("
                "SELECT import_id FROM import_tasks WHERE status = 'pending'"
                " AND created_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)"
            ),
            {"error": INTERRUPTED},
        ).rowcount


def _land(connection: sa.Connection, import_id: UUID, frames: Iterable[pl.DataFrame], run_id: str | None) -> int:
    """COPY the rows and put them on the queue of the assets that read imports. Returns the ledger's batch."""
    connection.execute(
        sa.select(import_tasks.c.import_id).where(import_tasks.c.import_id == import_id).with_for_update()
    )
    low = connection.execute(
        sa.text("SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM raw_orders_raw_id_seq")
    ).scalar_one()
    rows, started = 0, time.perf_counter()
    for frame in frames:
        rows += copy_rows(connection, "raw_orders", frame.with_columns(import_id=pl.lit(str(import_id))))
    # Other imports wait for the lock that comes now: one that hangs from here on has to let go of it.
    connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = DEFAULT"))
    record = open_batch(connection, "raw_orders", run_id, expected_epoch=None, started=started)
    if rows:
        high = connection.execute(sa.text("SELECT currval('raw_orders_raw_id_seq')")).scalar_one()
        queue.enqueue(connection, DOWNSTREAM["raw_orders"], [RawIdRange(record.batch_id, low, high)])
    close_batch(connection, record, BatchCounts(inserted=rows), [import_id])
    return record.batch_id


def _why(error: BaseException) -> str:
    """Word the error of an import that failed for a reason that is not its file's."""
    state = sqlstate_of(error)
    return f"The database refused it (SQLSTATE {state}): {meaning_of(state)}." if state else INTERRUPTED


def _storable(text: str) -> str:
    """The text without what no database holds: bytes in the name of a file that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _complete(
    connection: sa.Connection,
    import_id: UUID,
    *,
    batch_id: int,
    lines: int,
    rows: int,
    unmatched: Sequence[str] = (),
) -> None:
    connection.execute(
        sa.update(import_tasks)
        .where(import_tasks.c.import_id == import_id)
        .values(
            status="completed",
            batch_id=batch_id,
            row_count=rows,
            line_count=lines,
            unmatched=list(unmatched),
            completed_at=sa.func.now(),
        )
    )
