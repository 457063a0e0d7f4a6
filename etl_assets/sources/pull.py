"""Pull of a source: its changes become an import, once; a reconcile reads all of it and lands missed rows.

The rows, their hashes and the new position commit together. The hazard is a kill: a pull that dies before the commit
leaves nothing; one that dies between the commit and the release of its change rows makes the next pull read the same
rows again, whose hashes are known (docs/sources.md).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.raw_orders.load import land_raw_orders
from etl_assets.raw_orders.shop_checks import ShopChecks
from etl_assets.sources import bookmarks
from etl_assets.sources.config import source_url
from etl_assets.sources.errors import SourceError
from etl_assets.sources.process import ChildFailedError
from etl_assets.sources.rows import ADDED, PENDING, raw_order_frames
from etl_assets.sources.session import SourceSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    import polars as pl
    import sqlalchemy as sa

    from etl_assets.database.database import Database
    from etl_assets.raw_orders.findings import Finding
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.sources.backend import Window
    from etl_assets.sources.bookmarks import Progress
    from etl_assets.sources.model import SourceConfig
    from etl_assets.sources.session import RowFile

DEADLOCKS: Final = frozenset({"1205", "1213", "1020"})
RELEASE_ATTEMPTS: Final = 6


@dataclass(frozen=True, slots=True)
class PullResult:
    """Result of one pull."""

    source: str
    mode: str
    """`changes`, or `full` where all of the source was read."""
    why_full: str | None
    read: int
    """Rows read from the source."""
    landed: int
    """Raw orders landed: new and changed ones."""
    missed: int | None
    """Of those, the ones that earlier pulls should have brought; None where that is unknown."""
    import_id: UUID | None
    """The import; None where no order was new."""
    duration: float = field(compare=False)
    """Seconds."""
    findings: tuple[Finding, ...] = ()
    """Findings of the import, for the user."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as the commands print it; `findings` only where there are any."""
        result = {**asdict(self), "import_id": None if self.import_id is None else str(self.import_id)}
        del result["findings"]
        return result | ({"findings": [one.as_dict() for one in self.findings]} if self.findings else {})


def pull(database: Database, source: SourceConfig, run_id: str | None = None) -> PullResult:
    """Land the changes of a source since the last pull; all of it where they are unknown.

    Args:
        database: the store.
        source: one of `load_sources`.
        run_id: the Dagster run, for the ledger.

    Raises:
        ConcurrentRunError: another pull of the source committed first; nothing is lost, and there is nothing to do.
        EtlError: the source can't be read or used; nothing was written.
    """
    return _pull(database, source, run_id, full=False)


def reconcile(database: Database, source: SourceConfig, run_id: str | None = None) -> PullResult:
    """Read all of a source and land its new and changed orders; `missed` counts those that pulls should have brought.

    Arguments and errors as for `pull`.
    """
    return _pull(database, source, run_id, full=True)


def due_sources(database: Database, sources: Sequence[SourceConfig], now: datetime) -> list[str]:
    """Return the names of the sources whose last pull is `every_seconds` ago, in their order."""
    progress = bookmarks.progress_of_all(database)
    return [
        source.name
        for source in sources
        if _is_due(progress[source.name].pulled_at if source.name in progress else None, source.every_seconds, now)
    ]


def due_reconciles(database: Database, sources: Sequence[SourceConfig], now: datetime) -> list[str]:
    """Return the names of the sources last read as a whole `reconcile_seconds` ago, or never, in their order."""
    progress = bookmarks.progress_of_all(database)
    return [
        source.name
        for source in sources
        if source.reconcile_seconds is not None
        and _is_due(
            progress[source.name].reconciled_at if source.name in progress else None, source.reconcile_seconds, now
        )
    ]


def _pull(database: Database, source: SourceConfig, run_id: str | None, *, full: bool) -> PullResult:
    started = time.monotonic()
    progress = bookmarks.begin(database, source.name)
    definition = _definition(source)
    with SourceSession(source) as session, tempfile.TemporaryDirectory(prefix="etl-assets-") as folder:
        known = progress.position if (progress.position or {}).get("definition") == definition else None
        window = session.backend.window(session.run, source, known)
        why_full = "asked for" if full else _why_full(window, progress, known)
        is_full = full or window.changed is None
        position = {"kind": source.changes.kind, "definition": definition, **window.position}

        def record_position(connection: sa.Connection) -> None:
            bookmarks.advance(connection, source.name, progress.epoch, position, full=is_full)

        read, missed = 0, 0
        result: ImportResult | None = None
        if is_full or not window.is_empty:
            file = session.read(window, Path(folder), full=is_full)
            result, missed = _land_new_orders(database, session, file, record_position, run_id)
            read = file.rows
        else:
            with database.transaction() as connection:
                record_position(connection)
        _release(session, window)
    is_measured = is_full and known is not None and source.changes.kind != "reconcile"
    return PullResult(
        source=source.name,
        mode="full" if is_full else "changes",
        why_full=why_full,
        read=read,
        landed=0 if result is None else result.rows,
        missed=missed if is_measured else None,
        import_id=None if result is None else result.import_id,
        duration=time.monotonic() - started,
        findings=() if result is None else result.findings,
    )


def _land_new_orders(
    database: Database,
    session: SourceSession,
    file: RowFile,
    record_position: Callable[[sa.Connection], None],
    run_id: str | None,
) -> tuple[ImportResult | None, int]:
    """Land the new and changed orders of a read; where there are none, only record the position.

    Returns:
        The import, and how many of its orders earlier pulls should have brought.
    """
    source = session.source
    with database.transaction() as connection:
        frames = raw_order_frames(source, file, session.backend)
        if not any(bookmarks.has_new_orders(connection, source.name, frame) for frame in frames):
            record_position(connection)
            return None, 0
    missed, counts = 0, ReadCounts(lines=file.rows, headers=file.headers)

    def new_orders(connection: sa.Connection, import_id: UUID, frame: pl.DataFrame) -> pl.DataFrame:
        nonlocal missed
        new = bookmarks.record_orders(connection, source.name, frame, import_id)
        missed += new.height - int(new[PENDING].sum())
        return new.drop(ADDED)

    result = land_raw_orders(
        database,
        f"source:{source.name}",
        source.mapping,
        raw_order_frames(source, file, session.backend, counts),
        counts,
        run_id=run_id,
        before_rows=lambda connection, _: record_position(connection),
        keep=new_orders,
        shop_checks=ShopChecks(source.mapping),
    )
    if result.status == "failed":
        raise SourceError(result.error)
    return result, missed


def _release(session: SourceSession, window: Window) -> None:
    """Delete the change rows that have been landed; writers of the source may be in the way for a moment."""
    statements = tuple(session.backend.release(session.source, window.claimed))
    retrying = Retrying(
        stop=stop_after_attempt(RELEASE_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        retry=retry_if_exception(lambda error: isinstance(error, ChildFailedError) and error.code in DEADLOCKS),
        reraise=True,
    )
    for statement in statements:
        retrying(session.run, statement)


def _why_full(window: Window, progress: Progress, known: dict[str, Any] | None) -> str | None:
    if window.why_full == "first pull" and known is None and progress.position is not None:
        return "its description in the file of sources changed"
    return window.why_full


def _definition(source: SourceConfig) -> str:
    """Hash the description of a source, as far as it decides its rows: a position holds for one description only.

    Defaults are left out, so that a key that a later version adds does not make every source be read as a whole.
    """
    url = source_url(source)
    decisive = {"table", "query", "key", "changes", "mapping"}
    content = source.model_dump(mode="json", include=decisive, exclude_defaults=True)
    place = [url.host, url.port, url.database]
    return hashlib.sha256(json.dumps([content, place], sort_keys=True).encode()).hexdigest()


def _is_due(last: datetime | None, seconds: int, now: datetime) -> bool:
    return last is None or now - last >= timedelta(seconds=seconds)
