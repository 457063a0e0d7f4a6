"""Whether a run of an asset is to be asked for: the ledger says what is pending, the instance what is under way.

Events only make somebody look. So any number of them is one run, none is needed for work to be found, and a run that
failed is asked for again as long as its work is pending.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import dagster as dg

from etl_assets.asset_graph import SPECS
from etl_assets.ledger.queue import read_backlog
from etl_assets.orchestration.jobs import PIPELINE_JOB
from etl_assets.orchestration.orphaned_runs import LAUNCHED
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dagster import AssetKey, RunRecord
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

ASSET_TAG: Final = "etl_assets/asked_for"
"""The asset whose work a run was asked for."""
WORK_TAG: Final = "etl_assets/work"
"""Which work that was."""

MAX_ATTEMPTS: Final = 8
"""So often a sensor asks for the same work, over about an hour; after that the schedule does, once an hour."""
FIRST_WAIT_SECONDS: Final = 30
LONGEST_WAIT_SECONDS: Final = 3600

UNFINISHED: Final = (dg.DagsterRunStatus.QUEUED, *LAUNCHED)
_ASSET_JOBS: Final = (PIPELINE_JOB, "__ASSET_JOB")


@dataclass(frozen=True, slots=True)
class RunRequester:
    """Asks for runs of assets in one evaluation of a sensor or schedule."""

    database: Database
    instance: dg.DagsterInstance
    graph: AssetGraph
    max_attempts: int | None = MAX_ATTEMPTS
    """None: as often as needed."""

    def request(self, asset: AssetName) -> dg.RunRequest | dg.SkipReason:
        """A request for a run of `asset` and everything after it, or why there is none."""
        with self.database.transaction() as connection:
            backlog = read_backlog(connection, asset)
        if backlog.newest is None:
            return dg.SkipReason(f"Nothing is pending for {asset}.")
        return self.request_for(asset, str(backlog.newest), f"up to {backlog.rows} rows are pending for {asset}")

    def request_for(
        self,
        asset: AssetName,
        work: str,
        what: str,
        *,
        only: bool = False,
        run_config: dict[str, object] | None = None,
    ) -> dg.RunRequest | dg.SkipReason:
        """The same for work of `asset` that is not in the ledger's queue.

        Args:
            asset: whose work it is.
            work: a name of the work: it changes when the work is done.
            what: the work in words.
            only: ask for nothing after `asset`.
            run_config: the configuration of the run.
        """
        under_way = self._run_under_way(dg.AssetKey(asset))
        if under_way is not None:
            return dg.SkipReason(f"{what}; run {under_way} is on its way.")
        failed_checks = self._failed_blocking_checks(asset)
        if failed_checks:
            return dg.SkipReason(f"{what}, but a blocking check of what it is made from fails: {failed_checks}.")
        attempts = self._attempts(asset, work)
        asked, wait = count_requests(attempts), seconds_to_wait(attempts)
        if self.max_attempts is not None and asked >= self.max_attempts:
            return dg.SkipReason(f"{what}; {asked} runs for it have failed: correct the cause, see the last run.")
        if wait > 0:
            return dg.SkipReason(f"{what}; run {asked} for it failed, the next is due in {wait:.0f} s.")
        return dg.RunRequest(
            run_key=f"{asset}:{work}:{asked + 1}",
            asset_selection=[dg.AssetKey(asset)] if only else self._with_everything_after(asset),
            tags={ASSET_TAG: asset, WORK_TAG: work},
            run_config=run_config,
        )

    def _with_everything_after(self, asset: AssetName) -> list[AssetKey]:
        selection: dg.AssetSelection = dg.AssetSelection.assets(asset).downstream()
        upstream = SPECS[asset].enqueued_by
        if upstream is not None and SPECS[upstream].enqueued_by is None:
            selection |= dg.AssetSelection.assets(upstream)  # an import shows at the asset that it has landed in
        return sorted(selection.resolve(self.graph))

    def _run_under_way(self, asset: AssetKey) -> str | None:
        """An unfinished run that will run `asset`, or has."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))):
            if run.job_name in _ASSET_JOBS and (run.asset_selection is None or asset in run.asset_selection):
                return run.run_id
        return None

    def _failed_blocking_checks(self, asset: AssetName) -> str:
        """The blocking checks of the assets that `asset` is made from which do not hold, as a list in words.

        Ours are run now: what was recorded may be older than the data, and than its correcting. Of checks that somebody
        has added to the graph, the last recorded result counts.
        """
        ours = {(check.asset, check.name): check for check in CHECKS if check.is_blocking}
        failed = []
        for key in sorted(self.graph.get_check_keys_for_assets(self.graph.get(dg.AssetKey(asset)).parent_keys)):
            name = (cast("AssetName", key.asset_key.to_user_string()), key.name)
            if name in ours:
                passed = run_check(self.database, ours[name]).passed
            else:
                passed = not self.graph.get_check_spec(key).blocking or self._has_passed(key)
            if not passed:
                failed.append(f"{name[0]}:{name[1]}")
        return ", ".join(failed)

    def _has_passed(self, key: dg.AssetCheckKey) -> bool:
        evaluation = self.instance.get_latest_asset_check_evaluation_record(key)
        if evaluation is None or evaluation.event is None or evaluation.event.dagster_event is None:
            return True
        return evaluation.event.dagster_event.asset_check_evaluation_data.passed

    def _attempts(self, asset: AssetName, work: str) -> Sequence[RunRecord]:
        """The runs that were asked for this work before, the last one first."""
        return self.instance.get_run_records(dg.RunsFilter(tags={ASSET_TAG: asset, WORK_TAG: work}), limit=100)


def count_requests(attempts: Sequence[RunRecord]) -> int:
    """How many of these runs were asked for; the others are Dagster's retries of runs whose worker died."""
    return sum(attempt.dagster_run.parent_run_id is None for attempt in attempts)


def seconds_to_wait(attempts: Sequence[RunRecord]) -> float:
    """How long to wait after these runs for the same work, the last one first; doubles each time that is asked."""
    if not attempts:
        return 0.0
    wait: float = min(FIRST_WAIT_SECONDS * 2 ** max(count_requests(attempts) - 1, 0), LONGEST_WAIT_SECONDS)
    return (attempts[0].end_time or 0.0) + wait - time.time()


def request_pending_runs(requester: RunRequester, assets: Iterable[AssetName]) -> list[dg.RunRequest]:
    """Requests for all assets with pending work, upstream first, none for what an earlier one runs anyway."""
    requests: list[dg.RunRequest] = []
    for asset in assets:
        covered = {key for request in requests for key in request.asset_selection or ()}
        if dg.AssetKey(asset) not in covered:
            outcome = requester.request(asset)
            if isinstance(outcome, dg.RunRequest):
                requests.append(outcome)
    return requests
