"""Protocol between an asset and the engine: `Step` and the types that go into and come out of it.

Here: `Services` (injected), `Batch` (one transaction), `LoadResult`, `StepResult`. The engine that calls a step is
`pipeline.runner`; the registry of the steps is `run.registry`. No rule of an asset belongs here, and no Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from etl_assets.ledger.batches import BatchCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    import sqlalchemy as sa

    from etl_assets.asset_graph import AssetName
    from etl_assets.batch_processor import BatchProcessor
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries


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
    ranges: Sequence[RawIdRange]
    queries: VectorizedQueries
    run_id: str | None
    is_careful: bool = False
    """Whether it is a part of a batch that was refused: the rows that are to blame may be looked for one by one."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a batch came to, and what the downstream assets have to consume."""

    counts: BatchCounts
    downstream: Sequence[RawIdRange]
    downstream_overrides: Mapping[AssetName, Sequence[RawIdRange]] = field(default_factory=dict)
    """What consumers get that need not see all of it."""
    ranges_to_check: Sequence[RawIdRange] = ()
    """The orders that checks of the asset have to look at."""


class Step(Protocol):
    """One of the six assets."""

    asset: AssetName
    batch_factor: int
    """How many times the configured batch size it takes: narrow rows need less memory, and it looks back less often."""

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the rows of `ranges`, with `raw_id` among their columns."""
        ...

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> Any:  # noqa: ANN401  # the asset's own frames
        """Make of the rows of `ranges`, sorted by `raw_id`, what `load` takes.

        Outside the batch's transaction: what it reads besides may change before that, but only by what will be handed
        on as work again.
        """
        ...

    def load(self, batch: Batch, transformed: Any) -> LoadResult:  # noqa: ANN401  # as above
        """Compare with what is stored and write, inside the batch's transaction."""
        ...

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Put the one row (`REJECTED_SCHEMA`) of a batch that `load` failed for into quarantine; see to the rest."""
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
