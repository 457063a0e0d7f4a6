"""The protocol between an asset and the engine: `Step`, which an asset implements, and the types that it works with.

Here: `Services` (injected), `Batch` (one transaction), `LoadResult`, `StepResult`. The engine that calls a step is
`pipeline.runner`; the registry of the steps is `run.registry`. No rule of an asset belongs here, and no Dagster: an
asset of Dagster (https://docs.dagster.io/guides/build/assets) runs a step, and a step does not know of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from etl_assets.errors import EtlError
from etl_assets.ledger.batches import BatchCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl
    import sqlalchemy as sa

    from etl_assets.asset_graph import AssetName
    from etl_assets.batch_processor import BatchProcessor
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.settings import Settings
    from etl_assets.vectorized_queries import VectorizedQueries


@dataclass(frozen=True, slots=True)
class Services:
    """Services and settings of a run, injected by its caller (Dagster's resources, a command, a test)."""

    database: Database
    batch_processor: BatchProcessor
    vectorized_queries: VectorizedQueries

    @property
    def settings(self) -> Settings:
        """Settings that the database was made from: the only ones that a run uses."""
        return self.database.settings


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch inside its transaction."""

    connection: sa.Connection
    batch_id: int
    ranges: Sequence[RawIdRange]
    queries: VectorizedQueries
    settings: Settings
    """For rules that can be configured; a step takes settings from nowhere else."""
    run_id: str | None
    is_careful: bool = False
    """True for a part of a batch that was refused: the rows to blame may be searched for one by one."""


class HeldImportsError(EtlError):
    """Raised by a step for a batch that must not commit, as some of its imports are to be held.

    Args:
        message: what happened.
        hold: holds the imports, in a transaction of its own once the batch is rolled back: their rows leave the queue.
    """

    def __init__(self, message: str, hold: Callable[[Database], None]) -> None:
        super().__init__(message)
        self.hold = hold


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Result of loading a batch, or one bucket of it: the counts, and the ranges for others to process."""

    counts: BatchCounts
    downstream: Sequence[RawIdRange]
    """Ranges to enqueue for the downstream assets."""
    downstream_overrides: Mapping[AssetName, Sequence[RawIdRange]] = field(default_factory=dict)
    """Per-asset override of `downstream`, for assets that need only part of the rows."""
    ranges_to_check: Sequence[RawIdRange] = ()
    """Ranges of `orders` that the checks of the asset have to look at."""

    def ranges_for(self, asset: AssetName) -> Sequence[RawIdRange]:
        """Return the ranges to enqueue for one downstream asset."""
        return self.downstream_overrides.get(asset, self.downstream)

    def __add__(self, other: LoadResult) -> LoadResult:
        """Combine the results of two buckets of one batch: counts add up, ranges are united."""
        overridden = [*self.downstream_overrides, *other.downstream_overrides]
        return LoadResult(
            self.counts + other.counts,
            _union(self.downstream, other.downstream),
            {asset: _union(self.ranges_for(asset), other.ranges_for(asset)) for asset in overridden},
            _union(self.ranges_to_check, other.ranges_to_check),
        )


def _union(ranges: Sequence[RawIdRange], others: Sequence[RawIdRange]) -> Sequence[RawIdRange]:
    """Return the ranges of both, each once; the queue unites those that overlap."""
    return tuple(dict.fromkeys([*ranges, *others]))


class Step(ABC):
    """Base class of the assets' steps: extract, transform, load, and what becomes of a row that can't be loaded.

    A step keeps no state between batches: one instance serves all runs, from several threads.
    """

    asset: AssetName
    batch_factor: int = 1
    """Multiple of the configured batch size: narrow rows need less memory, and large batches look back less often."""
    batches_ahead: ClassVar[int] = 3
    """Batches in work at once: one is loaded, one transformed, one extracted."""

    @abstractmethod
    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the rows of `ranges`, with `raw_id` among their columns."""

    @abstractmethod
    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> Any:  # noqa: ANN401  # the asset's own frames
        """Turn the rows of `ranges`, sorted by `raw_id`, into the input of `load`.

        Runs outside the batch's transaction. Other tables read here may change before `load`; any such change enqueues
        the affected rows again, so that a stale read is corrected.
        """

    @abstractmethod
    def load(self, batch: Batch, transformed: Any) -> LoadResult:  # noqa: ANN401  # as above
        """Compare with the stored rows and write, inside the batch's transaction."""

    @abstractmethod
    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Quarantine the one row (`REJECTED_SCHEMA`) of a batch that `load` failed for, and bring its order in line."""

    def for_first_load(self, connection: sa.Connection, rows: int) -> Step:  # noqa: ARG002  # for steps that override it
        """Return the step for a run's first batch of at most `rows` rows, planned in the transaction of `connection`.

        A step may return a variant that reads an empty store in a cheaper way; most return themselves.
        """
        return self

    def complete_ranges(
        self,
        connection: sa.Connection,  # noqa: ARG002  # as above
        ranges: Sequence[RawIdRange],
        without: Sequence[RawIdRange],  # noqa: ARG002  # as above
        settings: Settings,  # noqa: ARG002  # as above
    ) -> Sequence[RawIdRange]:
        """Return the ranges to make a batch of, given the oldest pending ones, of which the last may be cut.

        Only a step that must see all rows of an import before it commits any takes more or fewer than it is given.
        """
        return ranges

    def in_buckets(self, rows: int, batch_size: int) -> Sequence[Step]:  # noqa: ARG002  # as above
        """Return the steps that read and load a batch of at most `rows` rows bucket by bucket, in one transaction.

        Only steps whose batches may be larger than memory need buckets; all others load a batch as a whole.
        """
        return [self]

    def finish(self, services: Services, run_id: str | None) -> BatchCounts:  # noqa: ARG002  # as above
        """Do work that is due once after all batches of a run, in its own transactions; return the counts to add.

        Not called where a batch failed. For rules that depend on the time and not on changed rows.
        """
        return BatchCounts()


@dataclass(slots=True)
class StepResult:
    """Result of a run of an asset. `duration` is that of its committed batches in the ledger, in seconds."""

    asset: AssetName
    counts: BatchCounts = field(default_factory=BatchCounts)
    batches: int = 0
    failed_batches: int = 0
    failed_rows: int = 0
    held_batches: int = 0
    """Batches that were planned anew because imports were held."""
    duration: float = 0.0

    @property
    def status(self) -> str:
        """success, partial_success (some rows in quarantine) or failed (some batches are still pending)."""
        return "failed" if self.failed_batches else self.counts.status

    def as_dict(self) -> dict[str, Any]:
        """Return the result as the commands and the async functions return it."""
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
