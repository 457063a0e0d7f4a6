"""How any of the six assets is run: batch by batch, each batch one transaction.

A step of an asset is `extract` (a bulk read of the pending ranges), `transform` (the asset's pure rules) and `load`
(what is written). While a batch is loaded, the next one is transformed and the one after that is extracted, so that
the client and the server are both at work. Everything that assets have in common is here: taking work, the fence, the
ledger, the event, handing on. No rule of an asset is here, and no Dagster.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.asset_graph import DOWNSTREAM, TABLES_OF
from etl_assets.database.bisect_write import rejection_reason, write_bisecting
from etl_assets.database.bulk_load import (
    are_empty,
    build_deferred_indexes,
    drop_indexes_of_empty_tables,
    rows_in_statistics,
)
from etl_assets.database.database import sqlstate_of
from etl_assets.errors import BatchFailedError, ConcurrentRunError, panics_as_errors
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger import batches, queue
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.pending_checks import mark_for_check
from etl_assets.pipeline.bisect_batch import BatchBisection, Rejected
from etl_assets.pipeline.customer_buckets import BUCKET_FACTOR, CustomerStep
from etl_assets.pipeline.protocol import Batch, LoadResult, Services, Step, StepResult
from etl_assets.quarantine.rows import quarantine_rows
from etl_assets.values.order_keys import order_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

logger = logging.getLogger(__name__)


class _RejectRow:
    """In place of the step, for the one row of a batch that it can't load: the row goes into quarantine."""

    batch_factor = 1

    def __init__(self, step: Step, rejected: Rejected) -> None:
        self.step, self.asset, self.rejected = step, step.asset, rejected

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:  # noqa: ARG002  # of the protocol
        """The raw row, with what names its order."""
        names = dict.fromkeys(("platform", "shop", "order_id"), pl.String())
        query = f"SELECT raw_id, {', '.join(names)} FROM raw_orders WHERE raw_id = {self.rejected.raw_id:d}"  # noqa: S608  # an integer
        return database.read(query, {"raw_id": pl.Int64(), **names}, rows=1)

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> pl.DataFrame:  # noqa: ARG002  # as above
        """The row as a rejected one (`REJECTED_SCHEMA`)."""
        why = {"reason_code": pl.lit("DB_REJECTED"), "reason": pl.lit(self.rejected.reason)}
        return order_keys(rows, queries.batch_lookup_shops()).select("raw_id", "shop_id", "order_id", **why)

    def load(self, batch: Batch, transformed: pl.DataFrame) -> LoadResult:
        """Put it into quarantine as the step does; if the store refuses what comes with that, put it there only."""
        self._rehearse(batch)
        result = LoadResult(BatchCounts(quarantined=1), batch.ranges)

        def reject_row(rejected: pl.DataFrame) -> None:
            nonlocal result
            result = self.step.reject_row(batch, rejected)
            batch.connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))  # or the commit would be refused for it

        refused = write_bisecting(batch.connection, transformed, reject_row)
        quarantine_rows(batch.connection, self.asset, refused.select(*REJECTED_SCHEMA))
        return result

    def _rehearse(self, batch: Batch) -> None:
        """Do what a batch does whatever its rows are, and undo it: if that is what fails, the row is not to blame."""
        with batch.connection.begin_nested() as rehearsal:
            queue.enqueue(batch.connection, DOWNSTREAM[self.asset], batch.ranges)
            mark_for_check(batch.connection, self.asset, batch.ranges)
            rehearsal.rollback()

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """As the step does."""
        return self.step.reject_row(batch, rejected)


def run_step(step: Step, services: Services, *, run_id: str | None = None) -> StepResult:
    """Consume everything that is pending for the asset.

    Args:
        step: the asset.
        services: database, batch processor and queries.
        run_id: the Dagster run, for the ledger.

    Raises:
        BatchFailedError: some batches failed after all retries; they stay pending, all others are loaded.
        EtlError: the database can't be used at all.
    """
    runner = _Runner(step, services, run_id)
    runner.run()
    runner.result.duration = runner.elapsed
    if runner.result.failed_batches:
        msg = (
            f"{step.asset}: {runner.result.failed_batches} of {runner.result.batches + runner.result.failed_batches}"
            f" batches failed and stay pending ({runner.result.failed_rows} rows){runner.bisection.summary}:"
            f" {'; '.join(sorted(runner.processor.problems))}. See the log, then run again."
        )
        raise BatchFailedError(msg)
    return runner.result


@dataclass(frozen=True, slots=True)
class _Planned:
    """A batch to be loaded, and the asset's epoch less this run's own batches when that was planned."""

    ranges: Sequence[RawIdRange]
    base_epoch: int
    parts: Sequence[Step]
    """The step itself, or the step for each bucket."""
    is_careful: bool = False
    """Whether it is a part of a batch that was refused."""
    started: dict[int, Future[Any]] = field(default_factory=dict)
    """The parts that are being read, or have been."""

    @property
    def max_rows(self) -> int:
        """How many rows it has at most."""
        return queue.max_rows(self.ranges)


class _Runner:
    """One run of one step."""

    def __init__(self, step: Step, services: Services, run_id: str | None) -> None:
        self.step = step
        self.services = services
        self.processor = services.batch_processor.for_task(step.asset)
        self.run_id = run_id
        self.batch_size = services.database.settings.batch_size * step.batch_factor
        self.result = StepResult(step.asset)
        self.bisection = BatchBisection(step.asset, services.database)
        self.started = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.started

    def run(self) -> None:
        """Run batch after batch; the next one is read and transformed while this one is written."""
        failed: list[RawIdRange] = []
        planned: deque[_Planned] = deque()
        with (
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="extract") as self.extracting,
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="transform") as self.transforming,
        ):
            self._plan_ahead(planned, failed)
            if planned:
                drop_indexes_of_empty_tables(self.services.database, TABLES_OF[self.step.asset])
            while planned:
                failed += self._run_batch(planned.popleft(), planned)
                self._plan_ahead(planned, failed)
        if failed and self.result.batches:
            with self.services.database.transaction() as connection:
                build_deferred_indexes(connection, TABLES_OF[self.step.asset], self.result.counts.written)

    def _plan_ahead(self, planned: deque[_Planned], failed: Sequence[RawIdRange]) -> None:
        """Plan as many batches as are worked on at once; those of customers, which are large, are two at most."""
        at_once = 2 if isinstance(self.step, CustomerStep) else 3
        while len(planned) < at_once:
            following = self._plan([*failed, *(part for batch in planned for part in batch.ranges)])
            if following is None:
                return
            planned.append(following)

    def _plan(self, without: Sequence[RawIdRange]) -> _Planned | None:
        """Plan a batch, or None where nothing is left."""
        with self.services.database.transaction() as connection:
            ranges = queue.next_ranges(connection, self.step.asset, self.batch_size, without=without)
            if not ranges:
                return None
            epoch = batches.read_epoch(connection, self.step.asset)
            planned = _Planned(ranges, epoch - self.result.batches, [self.step])
            if not isinstance(self.step, CustomerStep):
                return planned
            # Before the first batch of this run only other runs may write, and the epoch tells of those.
            is_first_load = (
                not (without or self.result.batches)
                and 2 * planned.max_rows >= rows_in_statistics(connection, "orders")
                and are_empty(connection, TABLES_OF[self.step.asset])
            )
        return replace(planned, parts=self._in_buckets(planned, is_first_load=is_first_load))

    def _in_buckets(self, planned: _Planned, *, is_first_load: bool = False) -> Sequence[Step]:
        """The parts in which a batch is read and loaded."""
        if not isinstance(self.step, CustomerStep):
            return [self.step]
        of = -(-planned.max_rows // (BUCKET_FACTOR * self.services.database.settings.batch_size))
        return self.step.in_buckets(of, is_first_load=is_first_load)

    def _begin(self, planned: _Planned, number: int) -> None:
        """Begin to extract and transform a part of a batch, if that has not started."""
        if number not in planned.started:
            part, ranges = planned.parts[number], planned.ranges
            extracted = self.extracting.submit(part.extract, self.services.database, ranges)
            planned.started[number] = self.transforming.submit(self._transform, part, extracted, ranges)

    def _transform(self, part: Step, extracted: Future[pl.DataFrame], ranges: Sequence[RawIdRange]) -> object:
        rows = extracted.result().sort("raw_id")
        return part.transform(self.services.vectorized_queries, rows, ranges)

    def _run_batch(self, planned: _Planned, following: Sequence[_Planned]) -> Sequence[RawIdRange]:
        """Load a batch; returns those of its ranges that stay pending because it failed."""

        def load_part(ranges: Sequence[RawIdRange], rejected: Rejected | None) -> Exception | None:
            part = _Planned(ranges, planned.base_epoch, [], is_careful=True)
            steps = [_RejectRow(self.step, rejected)] if rejected else self._in_buckets(part)
            return self._load(replace(part, parts=steps), following)

        error = self._load(planned, following)
        if error is None or isinstance(error, ConcurrentRunError):
            return []
        left = planned.ranges
        if rejection_reason(error) is not None:
            left = self.bisection.load_good_rows(planned.ranges, load_part)
        if left:
            self.result.failed_batches += 1
            self.result.failed_rows += queue.max_rows(left)
            self._publish_failure(queue.max_rows(left))
        return left

    def _load(self, planned: _Planned, following: Sequence[_Planned]) -> Exception | None:
        """Load a batch, with retries; returns why it was not."""
        problem: Exception | None = None

        def load(_rows: pl.DataFrame) -> None:
            nonlocal problem
            try:
                with panics_as_errors():
                    self._commit(planned, following)
                problem = None
            except ConcurrentRunError as error:
                problem = error  # another run has committed since the batch was planned: it is planned and read anew
            except Exception as error:
                problem = error
                raise

        rows = pl.select(row=pl.int_range(planned.max_rows, dtype=pl.Int64))
        self.processor.process_in_batches(rows, rows.height, load)
        return problem

    def _commit(self, planned: _Planned, following: Sequence[_Planned]) -> None:
        """One batch, one transaction: data, quarantine, queue, ledger row and event."""
        asset, ranges = self.step.asset, planned.ranges
        counts = BatchCounts()
        result = LoadResult(counts, ())
        self._begin(planned, 0)
        wait([planned.started[0]])  # before the asset is locked
        with self.services.database.transaction() as connection:
            epoch = planned.base_epoch + self.result.batches
            record = batches.open_batch(connection, asset, self.run_id, expected_epoch=epoch)
            queue.dequeue(connection, asset, ranges)
            queries = self.services.vectorized_queries
            batch = Batch(connection, record.batch_id, ranges, queries, self.run_id, is_careful=planned.is_careful)
            for number, part in enumerate(planned.parts):
                self._begin(planned, number)
                wait([planned.started[number]])
                if number + 1 < len(planned.parts):
                    self._begin(planned, number + 1)
                else:
                    for later in following:
                        self._begin(later, 0)
                result = part.load(batch, planned.started.pop(number).result())  # in memory no longer than needed
                counts += result.counts
            for consumer in DOWNSTREAM[asset]:
                queue.enqueue(connection, [consumer], result.downstream_overrides.get(consumer, result.downstream))
            mark_for_check(connection, asset, result.ranges_to_check)
            if not following:
                build_deferred_indexes(connection, TABLES_OF[asset], written=(self.result.counts + counts).written)
            batches.close_batch(connection, record, counts, queue.imports_of(connection, ranges))
        self.result.counts += counts
        self.result.batches += 1

    def _publish_failure(self, rows: int) -> None:
        try:
            with self.services.database.transaction() as connection:
                batches.publish_failure(connection, self.step.asset, rows=rows, duration=self.elapsed)
        except DBAPIError as error:  # the batches after it are loaded all the same
            logger.error("%s: its failure can't be published: sqlstate=%s", self.step.asset, sqlstate_of(error))  # noqa: TRY400  # a traceback would show the error's text
