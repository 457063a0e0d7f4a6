"""Ingestion of the asset `raw_orders`: complete files of the inbox, and changed rows of the sources.

Not here: how a file is imported (`inbox`, `raw_orders`) or a source pulled (`sources`), and Dagster.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from etl_assets.errors import ConcurrentRunError, DatabaseUnavailableError, EtlError
from etl_assets.inbox.ingest import InboxOutcome, ingest_inbox
from etl_assets.sources.config import load_sources
from etl_assets.sources.pull import pull, reconcile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl_assets.database.database import Database
    from etl_assets.sources.pull import PullResult

LISTED: Final = 100
"""Entries of each list of `Landed.as_dict`; the counts beside it are complete."""


@dataclass(slots=True)
class Landed:
    """Inputs that were ingested, were refused, or wait."""

    inbox: InboxOutcome = field(default_factory=InboxOutcome)
    pulls: list[PullResult] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Faults of files and sources that somebody has to correct, in words."""

    @property
    def pulled_rows(self) -> int:
        """Return the number of orders that the sources landed."""
        return sum(result.landed for result in self.pulls)

    def as_dict(self) -> dict[str, Any]:
        """Return what `run` reports, with counts of all and the first `LISTED` entries of each list."""
        imported = [result for result in self.inbox.imports if result.error is None]
        refused, stuck, waiting, known = self.inbox.refused, self.inbox.problems, self.inbox.waiting, self.inbox.known
        return {
            "imported_count": len(imported),
            "imported_rows": sum(result.rows for result in imported),
            "imported": [result.as_dict() for result in imported[:LISTED]],
            "refused_count": len(refused),
            "refused": [result.as_dict() for result in refused[:LISTED]],
            "known_count": len(known),
            "known": [str(path) for path in known[:LISTED]],
            "stuck_count": len(stuck),
            "stuck": [{"source": str(path), "reason": stuck[path]} for path in list(stuck)[:LISTED]],
            "waiting_count": len(waiting),
            "waiting": [{"source": str(one.path), "reason": one.reason} for one in waiting[:LISTED]],
            "pulled_rows": self.pulled_rows,
            "pulled": [result.as_dict() for result in self.pulls[:LISTED]],
            "problem_count": len(self.problems),
            "problems": self.problems[:LISTED],
        }


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
        landed.inbox = ingest_inbox(
            database, settings.inbox_folder, settle_seconds=settings.inbox_settle_seconds, run_id=run_id
        )
        landed.problems += [f"{path} stays in the inbox: {why}" for path, why in landed.inbox.problems.items()]
        landed.problems += [result.error for result in landed.inbox.refused if result.error is not None]
    sources = {source.name: source for source in load_sources(settings)} if pulled or reconciled else {}
    for read, names in ((pull, pulled), (reconcile, reconciled)):
        for name in names:
            with _collect_problems(landed.problems):
                landed.pulls.append(read(database, sources[name], run_id))
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
