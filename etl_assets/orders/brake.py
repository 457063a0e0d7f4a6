"""The brake: imports that would remove or empty too much of a table are held before their batch commits.

Here: the rule, and which imports it judges, which are therefore committed as a whole. What an import removes is counted
in `removals`, held imports are in `reverts`. Why it is decided here: docs/decisions.md, "Held imports".
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import sqlalchemy as sa

from etl_assets.ledger import queue
from etl_assets.orders.removals import (
    COUNTED,
    copy_candidates,
    count_removals,
    most_removals,
)
from etl_assets.pipeline.protocol import HeldImportsError
from etl_assets.reverts.held import hold_imports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import polars as pl

    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.pipeline.protocol import Batch
    from etl_assets.settings import Settings

_JUDGED: Final = """
    SELECT t.batch_id, t.import_id FROM import_tasks t
    WHERE t.batch_id = ANY (:batches) AND t.status = 'completed' AND NOT t.is_redecided AND NOT EXISTS (
        SELECT FROM etl_batches b
        WHERE b.asset = 'orders' AND b.batch_id > t.batch_id AND t.import_id = ANY (b.import_ids)
        AND (NOT :is_part OR b.run_id IS DISTINCT FROM :run_id)
    ) AND (SELECT sum(inserted - deleted) FROM etl_batches WHERE asset = 'orders') > 0
"""
STORED_ROWS: Final = """
    SELECT asset, CAST(sum(inserted - deleted) AS bigint) FROM etl_batches WHERE asset = ANY (:assets) GROUP BY asset
"""


@dataclass(frozen=True, slots=True)
class Brake:
    """The rule: an import may remove at most `share` of a table's rows; fewer than `rows` removed rows never matter."""

    share: float
    rows: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the brake as it is configured."""
        return cls(settings.brake_share, settings.brake_rows)

    @property
    def is_on(self) -> bool:
        """False where an import may remove all rows."""
        return self.share < 1

    @property
    def least(self) -> int:
        """Rows from which on a removal matters."""
        return max(self.rows, 1)

    def is_exceeded(self, removed: int, stored: int) -> bool:
        """Decide whether that many of a table's stored rows are too many to remove."""
        return stored > 0 and removed >= self.least and removed / stored > self.share

    def exceeded(self, removed: Mapping[str, int], stored: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Return the tables of which an import removes too much: `removed` and stored `rows`. None: it may commit."""
        return {
            table: {"removed": count, "rows": stored.get(table, 0)}
            for table, count in removed.items()
            if self.is_exceeded(count, stored.get(table, 0))
        }


def complete_ranges(
    connection: sa.Connection, ranges: Sequence[RawIdRange], without: Sequence[RawIdRange], settings: Settings
) -> Sequence[RawIdRange]:
    """Return ranges of which no import that the brake judges is cut: all of the first one, or none of a later one.

    Hazard: an import larger than a batch would have committed a part of what it removes before the rest is counted.
    """
    brake = Brake.of(settings)
    if not brake.is_on or queue.max_rows(ranges) < settings.batch_size:
        return ranges
    pending = queue.next_ranges(connection, "orders", sys.maxsize, without=without).ranges
    widths = {one.batch_id: (_width(pending, one.batch_id), _width(ranges, one.batch_id)) for one in ranges}
    cut = [batch_id for batch_id, (whole, part) in widths.items() if whole > part and whole >= brake.least]
    judged = judged_imports(connection, cut) if cut else {}
    first = ranges[0].batch_id
    if first in judged:
        return [one for one in pending if one.batch_id == first]
    return [one for one in ranges if one.batch_id not in judged]


def _width(ranges: Sequence[RawIdRange], batch_id: int) -> int:
    return queue.max_rows([one for one in ranges if one.batch_id == batch_id])


def judged_imports(
    connection: sa.Connection, batch_ids: Sequence[int], *, run_id: str | None = None, is_part: bool = False
) -> dict[int, UUID]:
    """Return those of the imports (by their batch) that `orders` has not processed yet and users have not decided on.

    None where no orders are stored: a first load removes nothing. For a part of a batch that was bisected, other parts
    that the same run has committed don't count as processed.
    """
    parameters = {"batches": list(batch_ids), "run_id": run_id, "is_part": is_part}
    found = connection.execute(sa.text(_JUDGED), parameters)
    return {row.batch_id: row.import_id for row in found}


def judge(batch: Batch, candidates: pl.DataFrame, *, bucket: int, buckets: int) -> None:
    """Judge the imports of a batch once its last bucket is written.

    Args:
        batch: within its transaction; nothing of it is committed yet.
        candidates: of this bucket, of its rows of orders and of lines (`removal_candidates`).
        bucket: the number of this bucket, from 0.
        buckets: how many the batch has.

    Raises:
        HeldImportsError: some imports remove too much.
    """
    brake = Brake.of(batch.settings)
    if not brake.is_on:
        return
    if buckets == 1 and not _may_exceed(batch, brake, candidates):
        return
    copy_candidates(batch.connection, candidates, is_first=bucket == 0)
    if bucket + 1 == buckets:
        _judge_candidates(batch, brake)


def _may_exceed(batch: Batch, brake: Brake, candidates: pl.DataFrame) -> bool:
    """Decide whether a batch may remove too much, by what it removes at most: usual ones cost two statements."""
    if candidates.height < brake.least:
        return False
    return bool(brake.exceeded(most_removals(batch, candidates, brake.least), _count_stored(batch.connection)))


def _count_stored(connection: sa.Connection) -> dict[str, int]:
    """Count the rows of the tables by the ledger: as they were before this batch."""
    return {
        COUNTED[asset]: count for asset, count in connection.execute(sa.text(STORED_ROWS), {"assets": list(COUNTED)})
    }


def _judge_candidates(batch: Batch, brake: Brake) -> None:
    connection = batch.connection
    batch_ids = sorted({one.batch_id for one in batch.ranges})
    judged = judged_imports(connection, batch_ids, run_id=batch.run_id, is_part=batch.is_careful)
    if not judged:
        return
    stored = _count_stored(connection)
    removed = count_removals(batch, list(judged.values()), least=brake.least, rows_in_memory=batch.settings.batch_size)
    beyond = {import_id: brake.exceeded(counts, stored) for import_id, counts in removed.items()}
    held = {import_id: tables for import_id, tables in beyond.items() if tables}
    if held:
        msg = f"{len(held)} imports are held: they would remove too many rows."
        raise HeldImportsError(msg, partial(hold_imports, held=held, run_id=batch.run_id))
