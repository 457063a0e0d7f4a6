"""How any of the six assets is run: page by page, batch by batch, each batch one transaction.

A step of an asset is `extract` (a bulk read of the pending ranges) and `load` (which calls the asset's pure transforms
and writes). Everything that assets have in common is here: taking work, the fence, the ledger, the event, handing on.
No rule of an asset is here, and no Dagster.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
import sqlalchemy as sa

from etl_assets.errors import BatchFailedError, FencedError
from etl_assets.ledger import batches, work
from etl_assets.ledger.batches import BatchCounts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future
    from uuid import UUID

    from etl_assets.batch_processor import BatchProcessor
    from etl_assets.database.database import Database
    from etl_assets.events.subjects import AssetName
    from etl_assets.ledger.work import WorkRange
    from etl_assets.vectorized_queries import VectorizedQueries

MIN_PAGE_ROWS = 20_000
"""Rows read at once even where batches are smaller: a bulk read costs about 10 ms whatever its size."""


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


class Step(Protocol):
    """One of the six assets."""

    asset: AssetName
    batch_factor: int
    """How many times the configured batch size it takes: narrow rows need less memory, and it looks back less often."""

    def extract(self, database: Database, ranges: Sequence[WorkRange]) -> pl.DataFrame:
        """Read the rows of `ranges` with `work_no` (place in `ranges`) and `raw_id` among their columns."""
        ...

    def load(self, batch: Batch, rows: pl.DataFrame) -> Loaded:
        """Transform the rows and write what they come to, inside the batch's transaction."""
        ...


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
class _Page:
    """Rows that are being read, and the asset's epoch less this run's own batches when that began."""

    ranges: Sequence[WorkRange]
    foreign_epoch: int
    rows: Future[pl.DataFrame]


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
        """Run page after page; the next one is read while the batches of this one are written."""
        failed: list[WorkRange] = []
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="page_reader") as reader:
            page = self._begin_page(reader, failed)
            while page is not None:
                following = self._begin_page(reader, [*failed, *page.ranges])
                failed += self._run_page(page)
                page = following or self._begin_page(reader, failed)

    def _begin_page(self, reader: Executor, without: Sequence[WorkRange]) -> _Page | None:
        """Plan a page and begin to read it, or None where nothing is left."""
        page_rows = max(self.batch_size, MIN_PAGE_ROWS)
        with self.services.database.transaction() as connection:
            ranges = work.pending(connection, self.step.asset, page_rows, without=without)
            epoch = batches.read_epoch(connection, self.step.asset)
        if not ranges:
            return None
        rows = reader.submit(self.step.extract, self.services.database, ranges)
        return _Page(ranges, epoch - self.result.batches, rows)

    def _run_page(self, page: _Page) -> list[WorkRange]:
        """Run the batches of a page; returns the ranges of those that failed."""
        rows = page.rows.result().sort("work_no", "raw_id")
        rows = rows.with_columns(batch_no=pl.int_range(pl.len(), dtype=pl.Int64) // self.batch_size)
        parts = work.split_by_batch(rows, page.ranges, self.batch_size)
        done: set[int] = set()
        fenced = False

        def process(batch: pl.DataFrame) -> None:
            nonlocal fenced
            batch_no = batch["batch_no"][0] if batch.height else 0
            if not fenced:
                try:
                    epoch = page.foreign_epoch + self.result.batches
                    self._commit(batch.drop("batch_no"), parts[batch_no], expected_epoch=epoch)
                except FencedError:
                    # Another run committed since the page was read: what is left of the page is planned and read anew.
                    fenced = True
            done.add(batch_no)

        if rows.is_empty():
            process(rows)
            return []
        _, failed_rows = self.processor.process_in_batches(rows, self.batch_size, process)
        failed = [part for number, part in parts.items() if number not in done]
        self.result.failed_batches += len(failed)
        self.result.failed_rows += failed_rows
        if failed:
            self._publish_failure(failed_rows)
        return [r for part in failed for r in part]

    def _commit(self, rows: pl.DataFrame, ranges: Sequence[WorkRange], *, expected_epoch: int) -> None:
        """One batch, one transaction: data, quarantine, queue, ledger row and event."""
        with self.services.database.transaction() as connection:
            record = batches.open_batch(connection, self.step.asset, self.run_id, expected_epoch=expected_epoch)
            work.claim(connection, self.step.asset, ranges)
            batch = Batch(connection, record.batch_id, ranges, self.services.vectorized_queries, self.run_id)
            loaded = self.step.load(batch, rows)
            work.hand_on(connection, work.CONSUMERS[self.step.asset], loaded.hand_on)
            batches.close_batch(connection, record, loaded.counts, _import_ids(connection, ranges))
        self.result.counts += loaded.counts
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
