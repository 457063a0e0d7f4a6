"""Ingestion of the asset `raw_orders`: complete files of the inbox, and changed rows of the sources.

Not here: how a file is imported (`inbox`, `raw_orders`) or a source pulled (`sources`), and Dagster.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.errors import ConcurrentRunError, DatabaseUnavailableError, EtlError
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.sources.config import load_sources
from etl_assets.sources.pull import pull, reconcile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl_assets.database.database import Database


@dataclass(slots=True)
class Landed:
    """Counts of ingested inputs; `problems` are those of single files and sources, in words."""

    files: int = 0
    failed_files: int = 0
    pulled_rows: int = 0
    problems: list[str] = field(default_factory=list)


def ingest_pending_inputs(
    database: Database, *, run_id: str, pulled: Sequence[str] = (), reconciled: Sequence[str] = ()
) -> Landed:
    """Ingest the inbox and the named sources. A problem of one of them stops no other.

    Args:
        database: the store.
        run_id: the Dagster run, for the ledger.
        pulled: names in sources.yaml of which to read what changed.
        reconciled: names of which to read everything.
    """
    landed = Landed()
    settings = database.settings
    with _collect_problems(landed.problems):
        results = ingest_inbox(
            database, settings.inbox_folder, settle_seconds=settings.inbox_settle_seconds, run_id=run_id
        )
        landed.files = len(results)
        landed.failed_files = sum(result.status == "failed" for result in results)
    sources = {source.name: source for source in load_sources(settings)} if pulled or reconciled else {}
    for read, names in ((pull, pulled), (reconcile, reconciled)):
        for name in names:
            with _collect_problems(landed.problems):
                landed.pulled_rows += read(database, sources[name], run_id).landed
    return landed


@contextmanager
def _collect_problems(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailableError:
        raise
    except ConcurrentRunError:
        pass  # another run has just ingested the same
    except EtlError as error:
        problems.append(str(error))
