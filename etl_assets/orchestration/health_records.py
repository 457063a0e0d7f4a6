"""Records of the Dagster instance that health is about: last results of checks, failed runs, daemon, sensors.

Only reading belongs here; what of it needs somebody is decided in `health.needs`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, cast

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as COMPLETED,
)

from etl_assets.asset_graph import TRIGGER_EVENT
from etl_assets.health.records import CheckResult, FailedRun, Records
from etl_assets.orchestration.check_specs import INPUTS_LEFT, RUN_CHECKS
from etl_assets.orchestration.jobs import HEALTH_JOB, STEP_JOBS, WHOLE_TABLES_JOB
from etl_assets.orchestration.run_requests import UNFINISHED
from etl_assets.quality.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

FINISHED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
JOBS: Final = (*STEP_JOBS, WHOLE_TABLES_JOB, HEALTH_JOB)
"""Jobs of assets: a later run of the same job mends a failed one."""
CHECK_KEYS: Final = tuple(
    sorted({spec.key for spec in RUN_CHECKS} | {dg.AssetCheckKey(dg.AssetKey(one.asset), one.name) for one in CHECKS})
)
INSTIGATORS: Final = frozenset(
    {
        *(f"{asset}_on_{subject.lower()}" for asset, subject in TRIGGER_EVENT.items()),
        *("inbox", "sources", "run_pending_work", "reap_orphaned_runs", "report_health_of_runs", "health_report"),
        *("notify_failed_runs", "notify_failed_checks", "notify_held_imports", "notify_facts"),
        "check_whole_tables_daily",
    }
)
"""Sensors and schedules of the definitions; a test compares them. Others may be switched off without a word."""


def read_records(instance: dg.DagsterInstance, *, own_run_id: str | None = None) -> Records:
    """Read the records, in a bounded number of queries; the run that reads them does not count as in progress."""
    unfinished = instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)), limit=2)
    heartbeats = [one.timestamp for one in instance.get_daemon_heartbeats().values()]
    return Records(
        checks=read_check_results(instance),
        failed_runs=read_failed_runs(instance),
        is_running=any(run.run_id != own_run_id for run in unfinished),
        daemon_seen_at=dt.datetime.fromtimestamp(max(heartbeats), dt.UTC) if heartbeats else None,
        switched_off=_switched_off(instance),
    )


def read_check_results(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey] = CHECK_KEYS
) -> list[CheckResult]:
    """Return the last finished result of each check.

    Hazard: the latest record of a check is only planned while a run is in progress, and where a run did not evaluate
    it: it would hide the last result. The results of such checks are looked up one by one.
    """
    storage = instance.event_log_storage
    found = []
    for key, latest in storage.get_latest_asset_check_execution_by_key(keys).items():
        finished = (
            [latest]
            if latest.status in COMPLETED
            else storage.get_asset_check_execution_history(key, limit=1, status=COMPLETED)
        )
        found += [_result(record) for record in finished]
    return sorted(found, key=lambda result: (result.asset, result.check))


def _result(record: AssetCheckExecutionRecord) -> CheckResult:
    evaluation, event = record.evaluation, record.event
    metadata = evaluation.metadata if evaluation else {}
    count, problems = metadata.get("violation_count"), metadata.get("problems")
    if INPUTS_LEFT in metadata:  # refused files are needs of their own
        left = cast("list[str]", metadata[INPUTS_LEFT].value)
        count, problems = dg.MetadataValue.int(len(left)), dg.MetadataValue.text("\n".join(left))
    has_warning = evaluation is not None and evaluation.severity == dg.AssetCheckSeverity.WARN
    return CheckResult(
        asset=record.key.asset_key.to_user_string(),
        check=record.key.name,
        passed=evaluation is not None and evaluation.passed,
        severity="warn" if has_warning else "error",
        at=dt.datetime.fromtimestamp(event.timestamp if event else record.create_timestamp, dt.UTC),
        run_id=record.run_id,
        count=count.value if count is not None and isinstance(count.value, int) else None,
        problems=str(problems.value) if problems is not None and problems.value else None,
    )


def read_failed_runs(instance: dg.DagsterInstance) -> list[FailedRun]:
    """Return of each job of assets the last finished run, where it failed."""
    found = []
    for job in JOBS:
        filters = dg.RunsFilter(job_name=job, statuses=list(FINISHED))
        for record in instance.get_run_records(filters, limit=1):
            if record.dagster_run.status == dg.DagsterRunStatus.FAILURE:
                run_id = record.dagster_run.run_id
                at = record.update_timestamp.replace(tzinfo=record.update_timestamp.tzinfo or dt.UTC)
                reason = _reason(instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE))
                found.append(FailedRun(run_id, job, at, reason))
    return found


def _reason(failures: Sequence[dg.EventLogEntry]) -> str:
    """Return why a run failed, in words of this project: a driver's text quotes values."""
    for entry in failures:
        said = entry.get_dagster_event().step_failure_data.user_failure_data
        if said is not None and said.description:
            return said.description
    if not failures:
        return "No step failed: the run was ended from outside, or could not start; see its log."
    return f"{failures[0].get_dagster_event().step_key}: an unexpected error; see the log of the run."


def _switched_off(instance: dg.DagsterInstance) -> tuple[str, ...]:
    stopped = {state.name for state in instance.all_instigator_state() if not state.is_running}
    return tuple(sorted(stopped & INSTIGATORS))
