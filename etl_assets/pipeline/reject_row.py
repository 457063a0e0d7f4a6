"""The step in place of an asset's own for the one row of a batch that it can't load: the row goes into quarantine.

`bisect_batch` finds the row; the asset's `reject_row` decides what becomes of its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import DOWNSTREAM
from etl_assets.database.bisect_write import write_bisecting
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger import queue
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.pending_checks import mark_for_check
from etl_assets.pipeline.protocol import Batch, LoadResult, Step
from etl_assets.quarantine.rows import quarantine_rows
from etl_assets.values.order_keys import order_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.pipeline.bisect_batch import Rejected
    from etl_assets.vectorized_queries import VectorizedQueries


class RejectRow(Step):
    """Quarantine one row instead of loading it.

    Hazard: the batch may have failed for a reason that has nothing to do with the row, and every row would go into
    quarantine one by one. So everything that a batch does whatever its rows are is rehearsed first, without the row
    (docs/decisions.md, "Rehearsal before a rejection").
    """

    def __init__(self, step: Step, rejected: Rejected) -> None:
        self.step, self.asset, self.rejected = step, step.asset, rejected

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:  # noqa: ARG002  # of the protocol
        """Read the raw row, with the names of its order."""
        names = dict.fromkeys(("platform", "shop", "order_id"), pl.String())
        query = f"SELECT raw_id, {', '.join(names)} FROM raw_orders WHERE raw_id = {self.rejected.raw_id:d}"  # noqa: S608  # an integer
        return database.read(query, {"raw_id": pl.Int64(), **names}, rows=1)

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> pl.DataFrame:  # noqa: ARG002  # as above
        """Return the row as a rejected one (`REJECTED_SCHEMA`)."""
        why = {"reason_code": pl.lit("DB_REJECTED"), "reason": pl.lit(self.rejected.reason)}
        return order_keys(rows, queries.batch_lookup_shops()).select("raw_id", "shop_id", "order_id", **why)

    def load(self, batch: Batch, transformed: pl.DataFrame) -> LoadResult:
        """Reject the row as its step does; if the store refuses what comes with that, only quarantine it."""
        self._rehearse(batch)
        result = LoadResult(BatchCounts(quarantined=1), batch.ranges)

        def reject_row(rejected: pl.DataFrame) -> None:
            nonlocal result
            result = self.step.reject_row(batch, rejected)
            batch.connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))  # or the commit would be refused for it

        refused = write_bisecting(batch.connection, transformed, reject_row)
        quarantine_rows(batch.connection, self.asset, refused.select(*REJECTED_SCHEMA))
        return result

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Reject as the asset's step does."""
        return self.step.reject_row(batch, rejected)

    def _rehearse(self, batch: Batch) -> None:
        """Do and undo what a batch does whatever its rows are; raises if that is what fails."""
        with batch.connection.begin_nested() as rehearsal:
            queue.enqueue(batch.connection, DOWNSTREAM[self.asset], batch.ranges)
            mark_for_check(batch.connection, self.asset, batch.ranges)
            rehearsal.rollback()
