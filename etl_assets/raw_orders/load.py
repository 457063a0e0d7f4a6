"""Landing of raw orders: one import per file, its rows and its `completed` status in one transaction.

The hazard is the half import: a process that dies leaves a pending import without rows, which the next one marks failed
(`fail_interrupted_imports`; docs/decisions.md, "One transaction per import"). Reading files, and finding
the new orders of a source, do not belong here.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import DOWNSTREAM
from etl_assets.database.database import sqlstate_of
from etl_assets.database.frames import copy_rows, copy_to_temp_table, fetch_frame
from etl_assets.database.schema import import_tasks
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import ConcurrentRunError, DatabaseUnavailableError, EtlError
from etl_assets.frame_schemas import CONFLICTING_ORDER
from etl_assets.ledger import queue
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch
from etl_assets.ledger.queue import RawIdRange
from etl_assets.raw_orders.arrivals import record_arrivals
from etl_assets.raw_orders.drift import compare_with_last
from etl_assets.raw_orders.findings import Finding, merge_findings, store_findings
from etl_assets.raw_orders.gone_rows import gone_rows
from etl_assets.raw_orders.shared_numbers import REPEAT_COLUMNS, RepeatedOrders, count_conflicts, settle_repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from etl_assets.database.database import Database
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.extract import ReadCounts
    from etl_assets.raw_orders.shop_checks import ShopChecks

INTERRUPTED: Final = "The import was interrupted before it ended; import the file again."

REPEATS_AT_ONCE: Final = 50_000
"""Rows of one order number that differ are compared in parts of about so many."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of one import. `lines` were read from the file or source, `rows` are the raw orders landed."""

    import_id: UUID
    source: str
    preset: str | None
    lines: int
    rows: int
    status: str
    error: str | None = None
    unmatched: tuple[str, ...] = ()
    """The columns that the mapping takes from headers that the file lacks; never those of a detected preset."""
    findings: tuple[Finding, ...] = ()
    """Findings of the import."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as the commands print it; `error`, `unmatched`, `findings` only where there are any."""
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
        if self.findings:
            result["findings"] = [finding.as_dict() for finding in self.findings]
        return result


def land_raw_orders(  # noqa: PLR0913  # the differences between files, sources and corrections
    database: Database,
    path: Path | str,
    preset: Preset,
    frames: Iterable[pl.DataFrame],
    counts: ReadCounts,
    *,
    run_id: str | None = None,
    before_rows: Callable[[sa.Connection, UUID], None] | None = None,
    keep: Callable[[sa.Connection, UUID, pl.DataFrame], pl.DataFrame] | None = None,
    shop_checks: ShopChecks | None = None,
    user_name: str | None = None,
) -> ImportResult:
    """Land the raw orders of one import, in one transaction.

    Args:
        database: the store.
        path: the file, or another name of where the rows are from, for the ledger.
        preset: the format it was read with; stored with the import.
        frames: columns of `raw_orders` but import_id and raw_id; with `replaces_raw_id` where rows correct others.
            A generator is closed at the end.
        counts: of the rows read, as `frames` keep them.
        run_id: the Dagster run, for the ledger.
        before_rows: called first in the transaction, with the import's id; its `EtlError` fails the import.
        keep: called in the transaction with the import's id and each frame; returns the rows of it that are landed.
        shop_checks: look at the landed rows; its `EtlError` fails the import.
        user_name: who imports them, by command or page.

    Returns:
        The completed import, or the failed one with its error when the file can't be read: then it has no rows.

    Raises:
        DatabaseUnavailableError: the server can't be reached; nothing was landed.
        ConcurrentRunError: `before_rows` found that another process was first; nothing was landed.
    """
    import_id = register_import(database, str(path), preset, user_name=user_name)
    try:
        with database.transaction() as connection:
            # The file is read inside: hours may pass before the first rows, and nothing waits for the one lock so long
            # (docs/decisions.md, "Time-outs of imports").
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            if before_rows is not None:
                before_rows(connection, import_id)
            kept = frames if keep is None else (keep(connection, import_id, frame) for frame in frames)
            if shop_checks is not None:
                kept = map(partial(shop_checks.look_at, connection), kept)
            profiled = _profiled(kept, preset, counts)
            batch_id, rows = copy_raw_orders(connection, import_id, profiled, run_id, preset, counts.findings)
            complete_findings(connection, str(path), preset, counts, shop_checks)
            complete_import(connection, import_id, batch_id, rows, counts, preset)
    except EtlError as error:
        fail_import(database, import_id, str(error))
        if isinstance(error, DatabaseUnavailableError | ConcurrentRunError):
            raise  # no fault of the rows
        return ImportResult(import_id, str(path), preset.name, counts.lines, 0, "failed", str(error))
    except BaseException as error:
        fail_import(database, import_id, _describe(error))
        raise
    finally:
        if isinstance(frames, Generator):
            frames.close()
    return ImportResult(
        import_id,
        str(path),
        preset.name,
        counts.lines,
        rows,
        "completed",
        None,
        counts.unmatched,
        tuple(counts.findings),
    )


def record_failed_import(
    database: Database, path: Path, error: EtlError, *, user_name: str | None = None
) -> ImportResult:
    """Record a file that can't be imported for a reason known before it is read."""
    import_id = register_import(database, str(path), None, user_name=user_name)
    fail_import(database, import_id, str(error))
    return ImportResult(import_id, str(path), None, 0, 0, "failed", str(error))


def register_import(database: Database, source: str, preset: Preset | None, *, user_name: str | None = None) -> UUID:
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
                user_name=user_name,
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


def count_imports(database: Database) -> dict[str, int]:
    """Count the `completed` and the `failed` imports, and the raw `rows` that were landed."""
    with database.transaction() as connection:
        counted = connection.execute(
            sa.text(
                "SELECT count(*) FILTER (WHERE status = 'completed') AS completed,"
                " count(*) FILTER (WHERE status = 'failed') AS failed,"
                " CAST(coalesce(sum(row_count), 0) AS bigint) AS rows FROM import_tasks"
            )
        )
        return dict(counted.mappings().one())


def fail_interrupted_imports(database: Database) -> int:
    """Mark pending imports failed whose process is gone, so that no session locks their row; return how many."""
    with database.transaction() as connection:
        return connection.execute(
            sa.text(
                "UPDATE import_tasks SET status = 'failed', error = :error, completed_at = now() WHERE import_id IN ("
                "SELECT import_id FROM import_tasks WHERE status = 'pending'"
                " AND created_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)"
            ),
            {"error": INTERRUPTED},
        ).rowcount


def copy_raw_orders(
    connection: sa.Connection,
    import_id: UUID,
    frames: Iterable[pl.DataFrame],
    run_id: str | None,
    preset: Preset,
    findings: list[Finding],
) -> tuple[int, int]:
    """COPY the rows and put them on the queue of the assets that read imports.

    Rows under one order number that are different orders are marked; what others disagree on is added to `findings`.

    Returns:
        The batch of the ledger, and the number of rows.
    """
    low = connection.execute(sa.text(_LOCK_IMPORT), {"import_id": import_id}).scalar_one()
    rows, conflicts, started, repeated = 0, 0, time.perf_counter(), RepeatedOrders()
    for frame in frames:
        if frame.height:
            rows += copy_rows(connection, "raw_orders", frame.with_columns(import_id=pl.lit(str(import_id))))
            repeated.add(frame)
            conflicts += count_conflicts(frame)
    for row_nos in repeated.differing(REPEATS_AT_ONCE):
        conflicts += _settle_repeats(connection, import_id, low, row_nos, preset, findings)
    if conflicts:
        findings.append(Finding("CONFLICTING_ORDERS", count=conflicts))
    # Other imports wait for the lock that comes now: one that hangs from here on has to release it.
    connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = DEFAULT"))
    record = open_batch(connection, "raw_orders", run_id, expected_epoch=None, started=started)
    if rows:
        high = connection.execute(sa.text("SELECT currval('raw_orders_raw_id_seq')")).scalar_one()
        queue.enqueue(connection, DOWNSTREAM["raw_orders"], [RawIdRange(record.batch_id, low, high)])
    close_batch(connection, record, BatchCounts(inserted=rows), [import_id])
    return record.batch_id, rows


def _settle_repeats(  # the parts of an import
    connection: sa.Connection,
    import_id: UUID,
    low: int,
    row_nos: pl.Series,
    preset: Preset,
    findings: list[Finding],
) -> int:
    """Mark those of the import's rows that are different orders under one number, and return how many.

    What the others disagree on is added to `findings`.
    """
    named = row_nos.to_frame().with_columns(import_id=pl.lit(str(import_id)))
    copy_to_temp_table(connection, "raw_orders", named, name="repeated_rows")
    rows = fetch_frame(
        connection,
        f"SELECT r.raw_id, r.row_no, {', '.join('r.' + name for name in REPEAT_COLUMNS)}"  # noqa: S608  # constants
        f" FROM repeated_rows JOIN raw_orders r USING (import_id, row_no) WHERE r.raw_id >= {low:d}",
        {"raw_id": pl.Int64(), "row_no": pl.Int32(), **dict.fromkeys(REPEAT_COLUMNS, pl.String())},
    )
    conflicting, disagreements = settle_repeats(rows, preset)
    findings += (Finding("DISAGREEING_ROWS", *one) for one in disagreements)
    if conflicting.is_empty():
        return 0
    copy_to_temp_table(connection, "raw_orders", conflicting.to_frame(), name="conflicting_rows")
    return connection.execute(
        sa.text(
            "UPDATE raw_orders r SET defect = concat_ws(' ', r.defect, :code) FROM conflicting_rows c"
            " WHERE r.raw_id = c.raw_id AND r.defect IS DISTINCT FROM :code"
            " AND coalesce(r.defect, '') NOT LIKE '% ' || :code"
        ),
        {"code": CONFLICTING_ORDER},
    ).rowcount


def complete_import(  # the facts of one import
    connection: sa.Connection, import_id: UUID, batch_id: int, rows: int, counts: ReadCounts, preset: Preset
) -> None:
    """Record that an import is completed, in the transaction of its rows, with what its file decided of its mapping."""
    connection.execute(
        sa.update(import_tasks)
        .where(import_tasks.c.import_id == import_id)
        .values(
            status="completed",
            batch_id=batch_id,
            row_count=rows,
            line_count=counts.lines,
            unmatched=list(counts.unmatched),
            headers=list(counts.headers),
            mapping=decided_preset(preset, counts).model_dump(mode="json"),
            feed=counts.feed,
            profile=counts.profile.as_dict(),
            last_raw_id=sa.func.currval("raw_orders_raw_id_seq") if rows else sa.null(),
            completed_at=sa.func.now(),
        )
    )
    store_findings(connection, import_id, counts.findings)
    if counts.headers:  # corrected rows of other imports have none, and say nothing about when a shop delivers
        record_arrivals(connection, counts.profile.shops())


def decided_preset(preset: Preset, counts: ReadCounts) -> Preset:
    """Return the preset with what the file has decided: rows are read with that."""
    return preset.model_copy(
        update={"date_order": counts.date_order or preset.date_order, "year": counts.year or preset.year}
    )


def complete_findings(
    connection: sa.Connection | None, origin: str, preset: Preset, counts: ReadCounts, shop_checks: ShopChecks | None
) -> None:
    """Add to the findings of an import whose rows were read what they show beside the stored shops and imports."""
    if shop_checks is not None:
        counts.findings += shop_checks.findings(connection)
    if connection is not None and counts.places is not None:
        counts.findings += gone_rows(connection, preset, counts.places)
    counts.findings += compare_with_last(connection, origin, preset, counts)
    counts.findings[:] = merge_findings(counts.findings)


def _profiled(frames: Iterable[pl.DataFrame], preset: Preset, counts: ReadCounts) -> Iterator[pl.DataFrame]:
    for frame in frames:
        counts.profile.count_orders(frame, preset)
        yield frame


_LOCK_IMPORT: Final = """
    UPDATE import_tasks SET first_raw_id = (
        SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM raw_orders_raw_id_seq
    ) WHERE import_id = :import_id RETURNING first_raw_id
"""


def _describe(error: BaseException) -> str:
    """Describe the error of an import that failed for a reason that is not its file's."""
    state = sqlstate_of(error)
    return f"The database refused it (SQLSTATE {state}): {meaning_of(state)}." if state else INTERRUPTED


def _storable(text: str) -> str:
    """Replace bytes in the name of a file that are not UTF-8, which PostgreSQL refuses."""
    return text.encode("utf-8", "replace").decode()
