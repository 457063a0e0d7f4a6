"""The engine: runs the step of any asset batch by batch, each batch one transaction.

Here is what all assets have in common: taking ranges from the queue, concurrency of runs, retries, the ledger, the
event, enqueueing for downstream assets. Reading ahead is in `read_ahead`, the search for rows that make a batch fail in
`bisect_batch`. No rule of an asset belongs here, and no Dagster.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from functools import partial, reduce
from operator import add
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from etl_assets.asset_graph import DOWNSTREAM, TABLES_OF
from etl_assets.database import bulk_load
from etl_assets.database.bisect_write import rejection_reason
from etl_assets.database.bulk_load import build_deferred_indexes, drop_indexes_of_empty_tables
from etl_assets.database.database import sqlstate_of
from etl_assets.errors import BatchFailedError, ConcurrentRunError, panics_as_errors
from etl_assets.ledger import batches, queue
from etl_assets.ledger.pending_checks import mark_for_check
from etl_assets.pipeline.bisect_batch import BatchBisection, Rejected
from etl_assets.pipeline.protocol import Batch, HeldImportsError, LoadResult, Services, Step, StepResult
from etl_assets.pipeline.read_ahead import PlannedBatch, ReadAhead
from etl_assets.pipeline.reject_row import RejectRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.ledger.queue import RawIdRange

logger = logging.getLogger(__name__)


def run_step(step: Step, services: Services, *, run_id: str | None = None) -> StepResult:
    """Process everything that is pending for the asset.

    Args:
        step: the asset.
        services: database, batch processor and queries.
        run_id: the Dagster run, for the ledger.

    Raises:
        BatchFailedError: some batches failed after all retries; they stay pending, all others are loaded.
        EtlError: the database can't be used at all.
    """
    with ReadAhead(services) as read_ahead:
        runner = StepRunner(step, services, run_id, read_ahead)
        runner.run()
    result = runner.result
    if result.failed_batches:
        msg = (
            f"{step.asset}: {result.failed_batches} of {result.batches + result.failed_batches}"
            f" batches failed and stay pending ({result.failed_rows} rows){runner.bisection.summary}:"
            f" {'; '.join(sorted(runner.processor.problems))}. See the log, then run again."
        )
        raise BatchFailedError(msg)
    result.counts += step.finish(services, run_id)
    return result


class StepRunner:
    """One run of one step.

    Hazard: a run plans several batches ahead, so between the planning of a batch and its commit the asset's epoch (its
    fencing token, the number of its commits) is moved on by this run itself. A batch therefore remembers the commits of
    *other* runs only (`base_epoch`, the epoch less this run's own batches); at its commit these and this run's batches
    until then must make up the epoch, or another run has come between (docs/decisions.md, "Fencing token").
    """

    def __init__(self, step: Step, services: Services, run_id: str | None, read_ahead: ReadAhead) -> None:
        self.step = step
        self.services = services
        self.run_id = run_id
        self.read_ahead = read_ahead
        self.processor = services.batch_processor.for_task(step.asset)
        self.result = StepResult(step.asset)
        self.bisection = BatchBisection(step.asset, services.database)
        self.started = time.perf_counter()
        self.is_all_planned = False
        """True while nothing was left to plan when a batch was planned; looked at anew once that is committed."""

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.started

    def run(self) -> None:
        """Run batch after batch; the next ones are extracted and transformed while this one is loaded."""
        failed: list[RawIdRange] = []
        planned: deque[PlannedBatch] = deque()
        self._plan_ahead(planned, failed)
        rows = sum(queue.max_rows(one.ranges) for one in planned)
        if planned and rows >= bulk_load.LEAST_DEFERRED_ROWS:
            drop_indexes_of_empty_tables(self.services.database, TABLES_OF[self.step.asset])
        while planned:
            failed += self._run_batch(planned.popleft(), planned)
            self._plan_ahead(planned, failed)
        if (failed or self.result.held_batches) and self.result.batches:
            with self.services.database.transaction() as connection:
                build_deferred_indexes(connection, TABLES_OF[self.step.asset], self.result.counts.written)

    def _plan_ahead(self, planned: deque[PlannedBatch], failed: Sequence[RawIdRange]) -> None:
        """Plan batches until as many are planned as are in work at once, or nothing is left."""
        self.is_all_planned = self.is_all_planned and bool(planned)
        while len(planned) < self.step.batches_ahead and not self.is_all_planned:
            following = self._plan([*failed, *(one for batch in planned for one in batch.ranges)])
            if following is None:
                return
            planned.append(following)

    def _plan(self, without: Sequence[RawIdRange]) -> PlannedBatch | None:
        """Plan a batch of the oldest ranges, or None where nothing is left; the epoch is read before the data."""
        step, batch_size = self.step, self.services.settings.batch_size
        with self.services.database.autocommit() as connection:
            oldest = queue.next_ranges(connection, step.asset, batch_size * step.batch_factor, without=without)
            if not oldest.ranges:
                return None
            ranges = step.complete_ranges(connection, oldest.ranges, without, self.services.settings)
            self.is_all_planned = oldest.is_all and ranges == oldest.ranges
            rows = queue.max_rows(ranges)
            # Before the first batch of this run only other runs may write, and the epoch tells of those.
            if not (without or self.result.batches):
                step = step.for_first_load(connection, rows)
        return PlannedBatch(ranges, oldest.epoch - self.result.batches, step.in_buckets(rows, batch_size))

    def _run_batch(self, planned: PlannedBatch, following: Sequence[PlannedBatch]) -> Sequence[RawIdRange]:
        """Load a batch; return those of its ranges that stay pending because it failed."""
        error = self._load(planned, following)
        if error is None or isinstance(error, ConcurrentRunError):
            return []
        left = planned.ranges
        if rejection_reason(error) is not None:
            left = self.bisection.load_good_rows(planned.ranges, partial(self._load_part, planned, following))
        if left:
            self.result.failed_batches += 1
            self.result.failed_rows += queue.max_rows(left)
            self._publish_failure(queue.max_rows(left))
        return left

    def _load_part(
        self,
        planned: PlannedBatch,
        following: Sequence[PlannedBatch],
        ranges: Sequence[RawIdRange],
        rejected: Rejected | None,
    ) -> Exception | None:
        """Load some ranges of a batch as a batch of their own, or quarantine their one row; return why it failed."""
        step = RejectRow(self.step, rejected) if rejected else self.step
        buckets = step.in_buckets(queue.max_rows(ranges), self.services.settings.batch_size)
        return self._load(PlannedBatch(ranges, planned.base_epoch, buckets, is_careful=True), following)

    def _load(self, planned: PlannedBatch, following: Sequence[PlannedBatch]) -> Exception | None:
        """Load a batch, with retries; return why it could not be, if so."""
        try:
            return self.processor.process_batch(
                planned.max_rows, partial(self._commit_unless_overtaken, planned, following)
            )
        except Exception as error:  # noqa: BLE001  # logged by the processor; the caller decides by its kind
            return error

    def _commit_unless_overtaken(
        self, planned: PlannedBatch, following: Sequence[PlannedBatch]
    ) -> ConcurrentRunError | None:
        """Commit a batch; return the error if another run has committed since the batch was planned.

        That is no failure of the batch and no reason to retry it: it is planned and read anew. So is a batch of which
        imports are held, without them.
        """
        try:
            with panics_as_errors():
                self._commit(planned, following)
        except HeldImportsError as error:
            error.hold(self.services.database)
            self.result.held_batches += 1
            return ConcurrentRunError(str(error))
        except ConcurrentRunError as error:
            return error
        return None

    def _commit(self, planned: PlannedBatch, following: Sequence[PlannedBatch]) -> None:
        """Commit a batch in one transaction: data, quarantine, queue, ledger row and event.

        Hazards: a kill at any moment must leave all of it or nothing, and two runs of the asset must not both commit
        what they made of the same rows. So the asset's epoch is moved on first, under its row lock, and only if it is
        the expected one; then the ranges are taken off the queue, which fails if another run has done so
        (docs/architecture.md, "One batch, one transaction"; docs/decisions.md, "Queue as a set of ranges"). The first
        bucket is read before the lock is taken, so that other runs wait for the writing only.
        """
        asset, ranges = self.step.asset, planned.ranges
        self.read_ahead.wait_for(planned)
        with self.services.database.transaction() as connection:
            expected_epoch = planned.base_epoch + self.result.batches
            record = batches.open_batch(connection, asset, self.run_id, expected_epoch=expected_epoch)
            import_ids = queue.dequeue(connection, asset, ranges)
            batch = Batch(
                connection, record.batch_id, ranges, self.services.vectorized_queries, self.services.settings,
                self.run_id, is_careful=planned.is_careful,
            )  # fmt: skip
            result = self._load_buckets(batch, planned, following)
            queue.enqueue_each(connection, {consumer: result.ranges_for(consumer) for consumer in DOWNSTREAM[asset]})
            mark_for_check(connection, asset, result.ranges_to_check)
            counts = self.result.counts + result.counts
            if not following:
                build_deferred_indexes(connection, TABLES_OF[asset], written=counts.written)
            written = batches.close_batch(connection, record, result.counts, import_ids)
        self.result.counts = counts
        self.result.batches += 1
        self.result.duration += written.duration

    def _load_buckets(self, batch: Batch, planned: PlannedBatch, following: Sequence[PlannedBatch]) -> LoadResult:
        """Load the buckets of a batch one after the other; the next buckets or batches are read meanwhile."""
        results = []
        for index, step in enumerate(planned.buckets):
            self.read_ahead.wait_for(planned, index)
            for later_bucket in range(index + 1, index + self.step.batches_ahead):
                self.read_ahead.start(planned, later_bucket)
            if index + 1 == len(planned.buckets):
                for later in following:
                    self.read_ahead.start(later)
            results.append(step.load(batch, self.read_ahead.take(planned, index)))
        return reduce(add, results)

    def _publish_failure(self, rows: int) -> None:
        try:
            with self.services.database.transaction() as connection:
                batches.publish_failure(connection, self.step.asset, rows=rows, duration=self.elapsed)
        except DBAPIError as error:  # the batches after it are loaded all the same
            logger.error("%s: its failure can't be published: sqlstate=%s", self.step.asset, sqlstate_of(error))  # noqa: TRY400  # a traceback would show the error's text
