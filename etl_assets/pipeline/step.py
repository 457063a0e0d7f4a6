"""How any of the six assets is run: batch by batch, each batch one transaction.

A step of an asset is `extract` (a bulk read of the pending ranges), `transform` (the asset's pure rules) and `load`
(what is written). While a batch is loaded, the next one is transformed and the one after that is extracted, so that
the client and the server are both at work. Everything that assets have in common is here: taking work, the fence, the
ledger, the event, handing on. No rule of an asset is here, and no Dagster.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from uuid import UUID

import polars as pl
import sqlalchemy as sa

from etl_assets.database.bulk_load import (
    are_empty,
    drop_indexes_of_empty_tables,
    finish_load,
    rows_in_statistics,
)
from etl_assets.database.schema import TABLES_OF
from etl_assets.errors import BatchFailedError, FencedError
from etl_assets.ledger import batches, work
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.unchecked import note_unchecked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from etl_assets.batch_processor import BatchProcessor
    from etl_assets.database.database import Database
    from etl_assets.events.subjects import AssetName
    from etl_assets.ledger.work import WorkRange
    from etl_assets.vectorized_queries import VectorizedQueries


BUCKET_FACTOR: Final = 2
"""How many times the configured batch size a bucket of a batch has, of orders: about so many rows are in memory."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a step works with, injected by whoever runs it."""

    database: Database
    batch_processor: BatchProcessor
    vectorized_queries: VectorizedQueries


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch inside its transaction."""

    connection: sa.Connection
    batch_id: int
    ranges: Sequence[WorkRange]
    queries: VectorizedQueries
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a batch came to, and what the downstream assets have to consume."""

    counts: BatchCounts
    hand_on: Sequence[WorkRange]
    hand_on_instead: Mapping[AssetName, Sequence[WorkRange]] = field(default_factory=dict)
    """What consumers get that need not see all of it."""
    to_check: Sequence[WorkRange] = ()
    """The orders that checks of the asset have to look at."""


class Step(Protocol):
    """One of the six assets."""

    asset: AssetName
    batch_factor: int
    """How many times the configured batch size it takes: narrow rows need less memory, and it looks back less often."""

    def extract(self, database: Database, ranges: Sequence[WorkRange]) -> pl.DataFrame:
        """Read the rows of `ranges`, with `raw_id` among their columns."""
        ...

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[WorkRange]) -> Any:  # noqa: ANN401  # the asset's own frames
        """Make of the rows of `ranges`, sorted by `raw_id`, what `load` takes.

        Outside the batch's transaction: what it reads besides may change before that, but only by what will be handed
        on as work again.
        """
        ...

    def load(self, batch: Batch, transformed: Any) -> Loaded:  # noqa: ANN401  # as above
        """Compare with what is stored and write, inside the batch's transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Bucket:
    """One of `of` shares of the customers, by their id, and of the ranges of a batch for orders without a customer.

    The ids are spread evenly, and of a range of them the server knows how many there are. Buckets in order are also in
    the order of the indexes.
    """

    number: int = 0
    of: int = 1

    def condition(self, column: str) -> str:
        """The SQL condition that the customer id in `column` is in this bucket: hexadecimal literals only."""
        bounds = [UUID(int=(number << 128) // self.of) for number in range(1, self.of)]
        above = [f"{column} >= '{bounds[self.number - 1]}'"] if self.number else []
        below = [f"{column} < '{bounds[self.number]}'"] if self.number < self.of - 1 else []
        return " AND ".join([*above, *below]) or f"{column} IS NOT NULL"

    def reading_nobody(self, columns: str, ranges: Sequence[WorkRange], join: str = "") -> list[str]:
        """The query of the bucket's changed orders `o` without a customer, if there may be any: integers only."""
        share = ranges[self.number :: self.of]
        orders = f"{work.changed_orders(share)} {join}"
        query = f"SELECT {columns} FROM {orders} WHERE o.customer_global_id IS NULL"  # noqa: S608  # integers only
        return [f"({query} {work.no_more_than(share)})"] if share else []


@dataclass(frozen=True, slots=True)
class CustomerStep:
    """A step that looks at all orders of a customer at once.

    Its batches are large, so that few customers are in more than one, and are read and loaded bucket by bucket, so that
    they need no more memory than others.
    """

    bucket: Bucket = Bucket()
    is_first_load: bool = False
    """Whether the batch has most orders, and the asset's tables were empty when it was planned."""

    def in_buckets(self, of: int, *, is_first_load: bool) -> list[Self]:
        """The step for each of so many buckets."""
        buckets = [Bucket(number, of) for number in range(of)]
        return [replace(self, bucket=bucket, is_first_load=is_first_load) for bucket in buckets]

    @property
    def among(self) -> str | None:
        """Where all that is stored of the bucket's customers is, if it is little: what others have put there since."""
        return self.bucket.condition("customer_global_id") if self.is_first_load else None


@dataclass(slots=True)
class StepResult:
    """What a run of an asset came to. `duration` is in seconds."""

    asset: AssetName
    counts: BatchCounts = field(default_factory=BatchCounts)
    batches: int = 0
    failed_batches: int = 0
    failed_rows: int = 0
    duration: float = 0.0

    @property
    def status(self) -> str:
        """success, partial_success (some rows in quarantine) or failed (some batches are still pending)."""
        return "failed" if self.failed_batches else self.counts.status

    def as_dict(self) -> dict[str, Any]:
        """The result as the commands and the async functions return it."""
        counts = {name: getattr(self.counts, name) for name in BatchCounts.__slots__}
        return {
            "status": self.status,
            "input_rows": self.counts.input_rows,
            **counts,
            "success_count": self.counts.success_count,
            "error_count": self.counts.quarantined + self.failed_rows,
            "duration": round(self.duration, 6),
            "batches": self.batches,
            "failed_batches": self.failed_batches,
        }


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
            f" batches failed and stay pending ({runner.result.failed_rows} rows); see the log, then run again."
        )
        raise BatchFailedError(msg)
    return runner.result


@dataclass(frozen=True, slots=True)
class _Planned:
    """A batch to be loaded, and the asset's epoch less this run's own batches when that was planned."""

    ranges: Sequence[WorkRange]
    foreign_epoch: int
    parts: Sequence[Step]
    """The step itself, or the step for each bucket."""
    begun: dict[int, Future[Any]] = field(default_factory=dict)
    """The parts that are being read, or have been."""

    @property
    def most_rows(self) -> int:
        """How many rows it has at most."""
        return work.most_rows(self.ranges)


class _Runner:
    """One run of one step."""

    def __init__(self, step: Step, services: Services, run_id: str | None) -> None:
        self.step = step
        self.services = services
        self.processor = services.batch_processor.for_task(step.asset)
        self.run_id = run_id
        self.batch_size = services.database.settings.batch_size * step.batch_factor
        self.result = StepResult(step.asset)
        self.started = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.started

    def run(self) -> None:
        """Run batch after batch; the next one is read and transformed while this one is written."""
        failed: list[WorkRange] = []
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
                finish_load(connection, TABLES_OF[self.step.asset], self.result.counts.written)

    def _plan_ahead(self, planned: deque[_Planned], failed: Sequence[WorkRange]) -> None:
        """Plan as many batches as are worked on at once; those of customers, which are large, are two at most."""
        at_once = 2 if isinstance(self.step, CustomerStep) else 3
        while len(planned) < at_once:
            following = self._plan([*failed, *(part for batch in planned for part in batch.ranges)])
            if following is None:
                return
            planned.append(following)

    def _plan(self, without: Sequence[WorkRange]) -> _Planned | None:
        """Plan a batch, or None where nothing is left."""
        with self.services.database.transaction() as connection:
            ranges = work.pending(connection, self.step.asset, self.batch_size, without=without)
            if not ranges:
                return None
            epoch = batches.read_epoch(connection, self.step.asset)
            planned = _Planned(ranges, epoch - self.result.batches, [self.step])
            if not isinstance(self.step, CustomerStep):
                return planned
            # Before the first batch of this run only other runs may write, and the epoch tells of those.
            is_first_load = (
                not (without or self.result.batches)
                and 2 * planned.most_rows >= rows_in_statistics(connection, "orders")
                and are_empty(connection, TABLES_OF[self.step.asset])
            )
        of = -(-planned.most_rows // (BUCKET_FACTOR * self.services.database.settings.batch_size))
        return replace(planned, parts=self.step.in_buckets(of, is_first_load=is_first_load))

    def _begin(self, planned: _Planned, number: int) -> None:
        """Begin to extract and transform a part of a batch, if that has not begun."""
        if number not in planned.begun:
            part, ranges = planned.parts[number], planned.ranges
            extracted = self.extracting.submit(part.extract, self.services.database, ranges)
            planned.begun[number] = self.transforming.submit(self._transform, part, extracted, ranges)

    def _transform(self, part: Step, extracted: Future[pl.DataFrame], ranges: Sequence[WorkRange]) -> object:
        rows = extracted.result().sort("raw_id")
        return part.transform(self.services.vectorized_queries, rows, ranges)

    def _run_batch(self, planned: _Planned, following: Sequence[_Planned]) -> Sequence[WorkRange]:
        """Load a batch; returns its ranges if that failed."""

        def load(_rows: pl.DataFrame) -> None:
            # Another run may have committed since the batch was planned: then it is planned and read anew.
            with suppress(FencedError):
                self._commit(planned, following)

        rows = pl.select(row=pl.int_range(planned.most_rows, dtype=pl.Int64))
        _, failed_rows = self.processor.process_in_batches(rows, rows.height, load)
        if not failed_rows:
            return []
        self.result.failed_batches += 1
        self.result.failed_rows += failed_rows
        self._publish_failure(failed_rows)
        return planned.ranges

    def _commit(self, planned: _Planned, following: Sequence[_Planned]) -> None:
        """One batch, one transaction: data, quarantine, queue, ledger row and event."""
        asset, ranges = self.step.asset, planned.ranges
        counts = BatchCounts()
        loaded = Loaded(counts, ())
        self._begin(planned, 0)
        wait([planned.begun[0]])  # before the asset is locked
        with self.services.database.transaction() as connection:
            epoch = planned.foreign_epoch + self.result.batches
            record = batches.open_batch(connection, asset, self.run_id, expected_epoch=epoch)
            work.claim(connection, asset, ranges)
            batch = Batch(connection, record.batch_id, ranges, self.services.vectorized_queries, self.run_id)
            for number, part in enumerate(planned.parts):
                self._begin(planned, number)
                wait([planned.begun[number]])
                if number + 1 < len(planned.parts):
                    self._begin(planned, number + 1)
                else:
                    for later in following:
                        self._begin(later, 0)
                loaded = part.load(batch, planned.begun.pop(number).result())  # in memory no longer than needed
                counts += loaded.counts
            for consumer in work.CONSUMERS[asset]:
                work.hand_on(connection, [consumer], loaded.hand_on_instead.get(consumer, loaded.hand_on))
            note_unchecked(connection, asset, loaded.to_check)
            if not following:
                finish_load(connection, TABLES_OF[asset], written=(self.result.counts + counts).written)
            batches.close_batch(connection, record, counts, _import_ids(connection, ranges))
        self.result.counts += counts
        self.result.batches += 1

    def _publish_failure(self, rows: int) -> None:
        with self.services.database.transaction() as connection:
            batches.publish_failure(connection, self.step.asset, rows=rows, duration=self.elapsed)


def _import_ids(connection: sa.Connection, ranges: Sequence[WorkRange]) -> list[UUID]:
    """The imports that the ranges come from."""
    return list(
        connection.execute(
            sa.text(
                "SELECT DISTINCT unnest(import_ids) AS import_id FROM etl_batches"
                " WHERE batch_id = ANY (:batch_ids) ORDER BY import_id"
            ),
            {"batch_ids": sorted({r.batch_id for r in ranges})},
        ).scalars()
    )
