"""Process that runs all assets and stops itself in one of them.

Usage: python -m etl_assets_tests.helpers.frozen_process ASSET read|written
It simulates a worker that was suspended, swapped out or cut off, and resumes when other runs have done its work.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, cast

from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets.settings import Settings
from etl_assets_tests.helpers.wrapped_step import WrappedStep

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Batch, LoadResult, Step


class FreezingStep(WrappedStep):
    """Step whose process stops once: when a page is `read`, or when a batch is `written` and not committed."""

    def __init__(self, step: Step, moment: str) -> None:
        super().__init__(step)
        self.moment = moment

    def extract(self, *args: Any) -> pl.DataFrame:
        rows = self.step.extract(*args)
        self._freeze("read")
        return rows

    def load(self, batch: Batch, transformed: Any) -> LoadResult:
        loaded = self.step.load(batch, transformed)
        self._freeze("written")
        return loaded

    def _freeze(self, moment: str) -> None:
        if moment == self.moment:
            self.moment = "over"
            os.kill(os.getpid(), signal.SIGSTOP)


def main() -> None:
    """Run all assets once."""
    frozen, moment = sys.argv[1:]
    STEPS[cast("AssetName", frozen)] = FreezingStep(STEPS[cast("AssetName", frozen)], moment)
    services = build_services(Settings())
    for asset in STEPS:
        run_asset(asset, services)
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
