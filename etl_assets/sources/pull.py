"""Pulls what changed in a source into an import, once; or all of it, to find what was missed.

The rows, what is remembered of them and the new position commit together. A pull that dies before leaves nothing; one
that dies after, before it has released what it claimed in the source, makes the next one read the same rows again,
which the ledger knows.
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

from etl_assets.errors import ConcurrentRunError
from etl_assets.raw_orders.load import land_raw_orders
from etl_assets.sources import bookmarks
from etl_assets.sources.config import source_url
from etl_assets.sources.errors import SourceError
from etl_assets.sources.process import ChildFailedError
from etl_assets.sources.rows import ADDED, PENDING, raw_order_frames
from etl_assets.sources.session import SourceSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    import polars as pl
    import sqlalchemy as sa

    from etl_assets.database.database import Database
    from etl_assets.sources.backend import Backend, Window
    from etl_assets.sources.bookmarks import Progress
    from etl_assets.sources.model import SourceConfig
    from etl_assets.sources.session import RowFile

DEADLOCKS: Final = frozenset({"1205", "1213", "1020"})
RELEASE_ATTEMPTS: Final = 6


@dataclass(frozen=True, slots=True)
class PullResult:
    """What one pull came to."""

    source: str
    mode: str
    """`changes`, or `full` where all of the source was read."""
    why_full: str | None
    read: int
    """Rows read from the source."""
    landed: int
    """Raw orders landed: new ones, and those that say something else than before."""
    missed: int | None
    """Of those, the ones that earlier pulls should have brought; None where nothing can be said about it."""
    import_id: UUID | None
    """The import; None where there was nothing new."""
    duration: float = field(compare=False)
    """Seconds."""

    def as_dict(self) -> dict[str, Any]:
        """The result as the commands print it."""
        return {**asdict(self), "import_id": None if self.import_id is None else str(self.import_id)}


def pull(database: Database, source: SourceConfig, run_id: str | None = None) -> PullResult:
    """Land what changed in a source since the last pull; all of it where that can't be told.

    Args:
        database: the store.
        source: one of `load_sources`.
        run_id: the Dagster run, for the ledger.

    Raises:
        ConcurrentRunError: another pull of the source committed first; nothing is lost, and nothing to be done.
        EtlError: the source can't be read or used; nothing was written.
    """
    return _pull(database, source, run_id, full=False)


def reconcile(database: Database, source: SourceConfig, run_id: str | None = None) -> PullResult:
    """Read all of a source and land what is not known of it; `missed` says how much pulls should have brought.

    Arguments and errors as for `pull`.
    """
    return _pull(database, source, run_id, full=True)


def due_sources(database: Database, sources: Sequence[SourceConfig], now: datetime) -> list[str]:
    """The names of the sources whose last pull is `every_seconds` ago, in their order."""
    progress = bookmarks.progress_of_all(database)
    return [
        source.name
        for source in sources
        if _is_due(progress[source.name].pulled_at if source.name in progress else None, source.every_seconds, now)
    ]


def due_reconciles(database: Database, sources: Sequence[SourceConfig], now: datetime) -> list[str]:
    """The names of the sources that were read as a whole `reconcile_seconds` ago, or never, in their order."""
    progress = bookmarks.progress_of_all(database)
    return [
        source.name
        for source in sources
        if source.reconcile_seconds is not None
        and _is_due(
            progress[source.name].reconciled_at if source.name in progress else None, source.reconcile_seconds, now
        )
    ]


class _NewOrders:
    """The raw orders of a read that the ledger does not know, to be landed; a `Landable`."""

    def __init__(self, source: SourceConfig, file: RowFile, backend: Backend, claim: Callable[[Any], None]) -> None:
        self.lines = file.rows
        self.rows = 0
        self.missed = 0
        self.unmatched: tuple[str, ...] = ()
        self.is_fenced = False
        self._frames: Callable[[], Iterator[pl.DataFrame]] = lambda: raw_order_frames(source, file, backend)
        self._source = source.name
        self._advance = claim
        self._connection: sa.Connection | None = None

    def is_empty(self, connection: sa.Connection) -> bool:
        """Whether the ledger knows them all."""
        return not any(bookmarks.is_anything_new(connection, self._source, frame) for frame in self._frames())

    def claim(self, connection: sa.Connection, import_id: UUID | None = None) -> None:  # noqa: ARG002  # none needed
        """Take the next position, first in the transaction."""
        self._connection = connection
        try:
            self._advance(connection)
        except ConcurrentRunError:
            self.is_fenced = True
            raise

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The frames to be landed, noted in the ledger as they are handed out."""
        if self._connection is None:
            msg = "claim comes before the rows"
            raise RuntimeError(msg)
        for frame in self._frames():
            new = bookmarks.remember(self._connection, self._source, frame)
            self.rows += new.height
            self.missed += new.height - int(new[PENDING].sum())
            if new.height:
                yield new.drop(ADDED)

    def close(self) -> None:
        """Nothing is open between frames."""


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

        def claim(connection: sa.Connection) -> None:
            bookmarks.advance(connection, source.name, progress.epoch, position, full=is_full)

        read, landed, missed, import_id = 0, 0, 0, None
        if is_full or not window.is_empty:
            file = session.read(window, Path(folder), full=is_full)
            orders = _NewOrders(source, file, session.backend, claim)
            read = file.rows
            import_id = _land(database, source, orders, run_id)
            landed, missed = orders.rows, orders.missed
        else:
            with database.transaction() as connection:
                claim(connection)
        _release(session, window)
    is_measured = is_full and known is not None and source.changes.kind != "reconcile"
    return PullResult(
        source=source.name,
        mode="full" if is_full else "changes",
        why_full=why_full,
        read=read,
        landed=landed,
        missed=missed if is_measured else None,
        import_id=import_id,
        duration=time.monotonic() - started,
    )


def _land(database: Database, source: SourceConfig, orders: _NewOrders, run_id: str | None) -> UUID | None:
    """Land what is new; where nothing is, only take the next position. Returns the import."""
    with database.transaction() as connection:
        if orders.is_empty(connection):
            orders.claim(connection)
            return None
    result = land_raw_orders(
        database, f"source:{source.name}", source.mapping, orders, run_id=run_id, claim=orders.claim
    )
    if result.status == "failed":
        raise (ConcurrentRunError if orders.is_fenced else SourceError)(result.error)
    return result.import_id


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
    """A hash of what decides which rows there are and what they become: none of it may change between positions."""
    url = source_url(source)
    content = source.model_dump(mode="json", include={"table", "query", "key", "changes", "mapping"})
    place = [url.host, url.port, url.database]
    return hashlib.sha256(json.dumps([content, place], sort_keys=True).encode()).hexdigest()


def _is_due(last: datetime | None, seconds: int, now: datetime) -> bool:
    return last is None or now - last >= timedelta(seconds=seconds)
