"""The project's own way: the real assets with ledger, quarantine and counts, and then all their checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from pydantic import SecretStr

from benchmarks.ways.way import Stopwatch, Task
from etl_assets.asset_graph import TABLE_OF
from etl_assets.quality.running import run_checks
from etl_assets.reverts.imports import revert_imports
from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from benchmarks.ways.way import Way

EXPECTED_WARNINGS = {"no_open_quarantine", "order_types_are_mapped", "near_recent_median"}


class Ours:
    """The six assets in one process, without Dagster's own start."""

    def __init__(self, task: Task) -> None:
        self.services = build_services(Settings(home=task.folder, database_url=SecretStr(task.url)))

    def prepare(self) -> None:
        """The landed database has the tables already."""

    def revert(self) -> dict[str, float]:
        """Revert the last import that is not reverted, and run the assets and checks (`revert`: the command's part)."""
        watch = Stopwatch()
        with watch.of("revert"):
            with self.services.database.transaction() as connection:
                last = "SELECT import_id FROM import_tasks WHERE status = 'completed' ORDER BY batch_id DESC LIMIT 1"
                import_id = connection.execute(sa.text(last)).scalar_one()
            revert_imports(self.services.database, [import_id])
        return {**watch.seconds, **self.run()}

    def run(self) -> dict[str, float]:
        """Run the assets one after the other, then all checks (`checks`)."""
        watch = Stopwatch()
        for asset in STEPS:
            with watch.of(asset):
                run_asset(asset, self.services)
        with watch.of("checks"):
            outcomes = [one for asset in TABLE_OF for one in run_checks(self.services.database, asset)]
        failed = [check.name for check, outcome in outcomes if not outcome.passed]
        if set(failed) - EXPECTED_WARNINGS:
            msg = f"Checks failed: {sorted(set(failed) - EXPECTED_WARNINGS)}"
            raise RuntimeError(msg)
        return watch.seconds


def build(task: Task) -> Way:
    return Ours(task)
