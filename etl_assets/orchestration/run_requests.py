"""Decide whether to emit a RunRequest: the queue holds the pending work, the instance the runs in progress.

Events are only a wake-up; the queue (`etl_work`) is the source of truth. So any number of events is one run, none is
needed for work to be found, and a failed run is requested again, with growing delays, as long as its work is pending.
See https://docs.dagster.io/guides/automate/sensors#using-runrequests.

Not here: the sensors and schedules that call this (`sensors`), and the content of the queue (`ledger.queue`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import dagster as dg

from etl_assets.asset_graph import SPECS
from etl_assets.ledger.queue import read_backlog, read_pending_sources
from etl_assets.orchestration.jobs import STEP_JOBS
from etl_assets.orchestration.orphaned_runs import LAUNCHED
from etl_assets.orchestration.run_tags import ASSET_TAG, WORK_TAG, imports_tag
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dagster import AssetKey, RunRecord
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

MAX_ATTEMPTS: Final = 8
"""Requests of a sensor for the same work, over about an hour; then the schedule goes on, once an hour."""
FIRST_WAIT_SECONDS: Final = 30
LONGEST_WAIT_SECONDS: Final = 3600

UNFINISHED: Final = (dg.DagsterRunStatus.QUEUED, *LAUNCHED)
_ASSET_JOBS: Final = (*STEP_JOBS, "__ASSET_JOB")


@dataclass(frozen=True, slots=True)
class RunRequester:
    """Requests runs of assets in one tick of a sensor or schedule."""

    database: Database
    instance: dg.DagsterInstance
    graph: AssetGraph
    max_attempts: int | None = MAX_ATTEMPTS
    """None: no limit."""

    def request(self, asset: AssetName) -> dg.RunRequest | dg.SkipReason:
        """Return a request for a run of `asset` and everything downstream, or the reason why there is none."""
        with self.database.transaction() as connection:
            backlog = read_backlog(connection, asset)
            if backlog.newest is None:
                return dg.SkipReason(f"Nothing is pending for {asset}.")
            sources = read_pending_sources(connection, [asset])
        reason = f"up to {backlog.rows} rows are pending for {asset}"
        return self.request_for(asset, str(backlog.newest), reason, sources)

    def request_for(
        self,
        asset: AssetName,
        work: str,
        reason: str,
        sources: Sequence[str],
        *,
        only: bool = False,
        run_config: dict[str, object] | None = None,
    ) -> dg.RunRequest | dg.SkipReason:
        """Return the same for work of `asset` that is not on its queue.

        Args:
            asset: the asset that has the work.
            work: name of the work; another one once the work is done.
            reason: the work in words.
            sources: files and sources that the work comes from.
            only: select nothing downstream of `asset`.
            run_config: the configuration of the run.
        """
        in_progress = self._run_in_progress(dg.AssetKey(asset))
        if in_progress is not None:
            return dg.SkipReason(f"{reason}; run {in_progress} is in progress.")
        failed_checks = self._failed_blocking_checks(asset)
        if failed_checks:
            return dg.SkipReason(f"{reason}, but a blocking check upstream fails: {failed_checks}.")
        attempts = self._attempts(asset, work)
        requested, wait = count_requests(attempts), seconds_to_wait(attempts)
        if self.max_attempts is not None and requested >= self.max_attempts:
            return dg.SkipReason(f"{reason}; {requested} runs for it have failed: correct the cause, see the last run.")
        if wait > 0:
            return dg.SkipReason(f"{reason}; run {requested} for it failed, the next is due in {wait:.0f} s.")
        return dg.RunRequest(
            run_key=f"{asset}:{work}:{requested + 1}",
            asset_selection=[dg.AssetKey(asset)] if only else self._with_downstream(asset),
            tags={ASSET_TAG: asset, WORK_TAG: work, **imports_tag(sources)},
            run_config=run_config,
        )

    def _with_downstream(self, asset: AssetName) -> list[AssetKey]:
        selection: dg.AssetSelection = dg.AssetSelection.assets(asset).downstream()
        upstream = SPECS[asset].enqueued_by
        if upstream is not None and SPECS[upstream].enqueued_by is None:
            selection |= dg.AssetSelection.assets(upstream)  # an import shows at the asset that it has landed in
        return sorted(selection.resolve(self.graph))

    def _run_in_progress(self, asset: AssetKey) -> str | None:
        """Return the id of an unfinished run that has `asset` in its selection."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))):
            if run.job_name in _ASSET_JOBS and (run.asset_selection is None or asset in run.asset_selection):
                return run.run_id
        return None

    def _failed_blocking_checks(self, asset: AssetName) -> str:
        """Return the names of the failing blocking checks of the assets upstream of `asset`.

        Ours are run now: the recorded result may be older than the data, and than its correction. Of checks that were
        added to the Dagster graph elsewhere, the last recorded result counts.
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
        """Return the runs that were requested for this work before, the last one first."""
        return self.instance.get_run_records(dg.RunsFilter(tags={ASSET_TAG: asset, WORK_TAG: work}), limit=100)


def count_requests(attempts: Sequence[RunRecord]) -> int:
    """Count the runs that were requested; the others are Dagster's retries of runs whose worker died."""
    return sum(attempt.dagster_run.parent_run_id is None for attempt in attempts)


def seconds_to_wait(attempts: Sequence[RunRecord]) -> float:
    """Return the delay before the next request, given the runs for the same work, the last one first; it doubles."""
    if not attempts:
        return 0.0
    wait: float = min(FIRST_WAIT_SECONDS * 2 ** max(count_requests(attempts) - 1, 0), LONGEST_WAIT_SECONDS)
    return (attempts[0].end_time or 0.0) + wait - time.time()


def request_pending_runs(requester: RunRequester, assets: Iterable[AssetName]) -> list[dg.RunRequest]:
    """Return requests for all assets with pending work, upstream first; none for assets that an earlier one covers."""
    requests: list[dg.RunRequest] = []
    for asset in assets:
        covered = {key for request in requests for key in request.asset_selection or ()}
        if dg.AssetKey(asset) not in covered:
            outcome = requester.request(asset)
            if isinstance(outcome, dg.RunRequest):
                requests.append(outcome)
    return requests
