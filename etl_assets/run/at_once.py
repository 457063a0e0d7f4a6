"""Run of pending work at once, in this process and without Dagster: for small work whose result a user waits for.

The steps, their batches and the blocking checks are those of a Dagster run, and safe beside one (docs/architecture.md,
"Two runs at once"); Dagster has no record of it, the ledger has. Large work is left to a run of its own. Why this way:
docs/decisions.md, "Runs at once".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_assets.batch_processor import BatchProcessor
from etl_assets.errors import DatabaseUnavailableError, EtlError
from etl_assets.ledger.pending_checks import MAX_RANGES, read_pending_checks
from etl_assets.ledger.queue import count_pending_rows, max_rows
from etl_assets.pipeline.protocol import Services
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_checks
from etl_assets.run.registry import STEPS, run_asset
from etl_assets.vectorized_queries import VectorizedQueries

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

logger = logging.getLogger(__name__)

ROWS_AT_ONCE: Final = 20_000
"""Pending rows up to which users wait for the run: about two seconds."""
_OF_WHOLE_TABLES: Final = frozenset(check.name for check in CHECKS if check.full_table_only)


@dataclass(frozen=True, slots=True)
class RunAtOnce:
    """Outcome of a run."""

    pending_rows: int
    """Rows that are still pending, at most."""
    is_left: bool = False
    """Nothing was run: too much is pending."""
    problem: str | None = None
    """Error of an asset, or the blocking check that failed; the assets downstream were not run."""


def run_at_once(database: Database, *, at_most: int = ROWS_AT_ONCE) -> RunAtOnce:
    """Run all assets upstream first, unless more rows than `at_most` are pending.

    Raises:
        DatabaseUnavailableError: the server can't be reached.
    """
    pending = _pending_rows(database)
    if not pending or pending > at_most:
        return RunAtOnce(pending, is_left=pending > 0)
    services = Services(database, BatchProcessor(), VectorizedQueries(database))
    for asset in STEPS:
        problem = _run(asset, services)
        if problem is not None:
            return RunAtOnce(_pending_rows(database), problem=problem)
    return RunAtOnce(_pending_rows(database))


def _run(asset: AssetName, services: Services) -> str | None:
    """Run an asset and its checks; return why the assets downstream may not run."""
    try:
        result = run_asset(asset, services)
    except DatabaseUnavailableError:
        raise
    except EtlError as error:
        logger.warning("%s", error)
        return str(error)
    if not result.batches:
        return None
    if _takes_long(services.database, asset):
        return None  # the next Dagster run looks
    outcomes = run_checks(services.database, asset, left_out=_OF_WHOLE_TABLES)
    failed = [check.name for check, outcome in outcomes if check.is_blocking and not outcome.passed]
    return f"{asset}: the check {', '.join(failed)} failed." if failed else None


def _takes_long(database: Database, asset: AssetName) -> bool:
    """Decide whether the checks of an asset have to look at whole tables that may be large."""
    with database.transaction() as connection:
        pending = read_pending_checks(connection, asset)
    return pending.is_large and (max_rows(pending.ranges) > ROWS_AT_ONCE or len(pending.ranges) > MAX_RANGES)


def _pending_rows(database: Database) -> int:
    with database.transaction() as connection:
        return count_pending_rows(connection)
