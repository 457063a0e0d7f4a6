"""A step around another one, for tests that watch it or make it fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etl_assets.pipeline.protocol import LoadResult, Step

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.pipeline.protocol import Batch


class WrappedStep(Step):
    """Does as another step does, in batches of the configured size and without buckets."""

    def __init__(self, step: Step) -> None:
        self.step, self.asset = step, step.asset

    def extract(self, *args: Any) -> pl.DataFrame:
        return self.step.extract(*args)

    def transform(self, *args: Any) -> Any:
        return self.step.transform(*args)

    def load(self, batch: Batch, transformed: Any) -> LoadResult:
        return self.step.load(batch, transformed)

    def reject_row(self, *args: Any) -> LoadResult:
        return self.step.reject_row(*args)
