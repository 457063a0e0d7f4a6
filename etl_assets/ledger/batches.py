"""The ledger: one row per committed batch with its exact counts, the asset's epoch, and the batch's event.

The epoch of an asset is the number of its commits and serves as a fencing token: a batch states the one that it was
made from, and a commit of another run in between makes it out of date (docs/decisions.md, "Fencing token"). The ranges
of a batch are in `ledger.queue`.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl_assets.asset_graph import SUBJECT_OF
from etl_assets.database.ledger_schema import etl_batches
from etl_assets.errors import ConcurrentRunError
from etl_assets.events.payload import EventPayload, Status, as_text, publish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from etl_assets.asset_graph import AssetName


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Counts of the rows of a batch: input_rows = inserted + updated + unchanged + superseded + quarantined.

    `deleted` rows were taken out of the asset's table besides; `anonymous_orders` orders were passed over.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0
    deleted: int = 0
    anonymous_orders: int = 0

    @property
    def input_rows(self) -> int:
        """Rows that the batch was about."""
        return self.success_count + self.quarantined

    @property
    def success_count(self) -> int:
        """Rows that are in the table as they should be."""
        return self.inserted + self.updated + self.unchanged + self.superseded

    @property
    def written(self) -> int:
        """Rows of the table that were changed."""
        return self.inserted + self.updated + self.deleted

    @property
    def status(self) -> Status:
        """Status of the batch (a batch that failed as a whole has no counts)."""
        return "partial_success" if self.quarantined else "success"

    def __add__(self, other: BatchCounts) -> BatchCounts:
        return BatchCounts(*(getattr(self, name) + getattr(other, name) for name in BatchCounts.__slots__))


@dataclass(slots=True)
class BatchRecord:
    """A batch while it is being worked on."""

    asset: AssetName
    run_id: str | None
    batch_id: int
    started: float = field(default_factory=time.perf_counter)

    @property
    def duration(self) -> float:
        """Seconds since the batch was opened."""
        return time.perf_counter() - self.started


def outdate_batches(connection: sa.Connection, asset: AssetName) -> None:
    """Move the asset's epoch on: batches that were read before are read again, one that is committing is waited for.

    For a change, in this transaction, of data that a batch has read and that no row of its queue stands for.
    """
    connection.execute(
        sa.text(
            "INSERT INTO asset_epochs AS e (asset, epoch) VALUES (:asset, 1)"
            " ON CONFLICT (asset) DO UPDATE SET epoch = e.epoch + 1"
        ),
        {"asset": asset},
    )


def open_batch(
    connection: sa.Connection,
    asset: AssetName,
    run_id: str | None,
    *,
    expected_epoch: int | None,
    started: float | None = None,
) -> BatchRecord:
    """Lock the asset's epoch until the transaction ends, move it on, and number the batch.

    Batch numbers of one asset are therefore committed in their order.

    Args:
        connection: the transaction of the batch.
        asset: whose batch it is.
        run_id: the Dagster run.
        expected_epoch: the asset's epoch when the data was read, where that matters.
        started: the `perf_counter` of when the work on it began, if that was before.

    Raises:
        ConcurrentRunError: the epoch is not the expected one: another run committed since the data was read.
    """
    epoch, batch_id = connection.execute(
        sa.text(
            "INSERT INTO asset_epochs AS e (asset, epoch) VALUES (:asset, 1)"
            " ON CONFLICT (asset) DO UPDATE SET epoch = e.epoch + 1"
            " RETURNING epoch, nextval(pg_get_serial_sequence('etl_batches', 'batch_id'))"  # once the row is locked
        ),
        {"asset": asset},
    ).one()
    if expected_epoch is not None and epoch != expected_epoch + 1:
        msg = f"{asset}: another run committed a batch since this one was read."
        raise ConcurrentRunError(msg)
    return BatchRecord(asset, run_id, batch_id, time.perf_counter() if started is None else started)


def close_batch(
    connection: sa.Connection, batch: BatchRecord, counts: BatchCounts, import_ids: Sequence[UUID]
) -> EventPayload:
    """Write the ledger row and the event of a batch; both commit with its data."""
    duration = batch.duration
    row = sa.insert(etl_batches).values(
        batch_id=batch.batch_id,
        asset=batch.asset,
        run_id=batch.run_id,
        import_ids=list(import_ids),
        status=counts.status,
        input_rows=counts.input_rows,
        duration=duration,
        # Both by the server's clock, which may not be ours; now() would be the beginning of the transaction.
        started_at=sa.func.clock_timestamp() - sa.cast(dt.timedelta(seconds=duration), sa.Interval),
        finished_at=sa.func.clock_timestamp(),
        **{name: getattr(counts, name) for name in BatchCounts.__slots__},
    )
    payload = EventPayload(
        event=SUBJECT_OF[batch.asset],
        batch_id=batch.batch_id,
        import_ids=as_text(import_ids),
        status=counts.status,
        success_count=counts.success_count,
        error_count=counts.quarantined,
        duration=round(duration, 6),
    )
    publish(connection, payload, with_insert=row)
    return payload


def publish_failure(connection: sa.Connection, asset: AssetName, *, rows: int, duration: float) -> EventPayload:
    """Publish that a batch of `rows` rows failed as a whole; its rows stay pending."""
    payload = EventPayload(
        event=SUBJECT_OF[asset],
        batch_id=None,
        import_ids=(),
        status="failed",
        success_count=0,
        error_count=rows,
        duration=round(duration, 6),
    )
    publish(connection, payload)
    return payload
