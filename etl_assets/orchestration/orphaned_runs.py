"""Orphaned runs: marks runs as failed whose process is gone.

Without this, a run that was killed together with its daemon would stay STARTED for ever and block its pool. Dagster's
run monitoring (https://docs.dagster.io/deployment/execution/run-monitoring) can't detect it: the default run launcher
does not support health checks of run workers. Each run carries the process that executes it as a tag.

Hazard: a process that seems gone may be alive (frozen, for example) and commit later. The fencing token of its asset
(`asset_epochs`) rejects such a commit, so marking a run as failed is always safe; its uncommitted rows are still
pending. The sensor that calls this is `reap_orphaned_runs`. See docs/decisions.md, "Orphaned runs".
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Final

import dagster as dg
import psutil

from etl_assets.asset_graph import SPECS
from etl_assets.orchestration.jobs import STEP_JOBS
from etl_assets.orchestration.run_tags import PROCESS_TAG

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

CLOCK_STEP_SECONDS: Final = 2
"""Tolerance for start times of one process, which seem to move when the machine's clock is set."""

LAUNCHED: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
"""States of an unfinished run that has left the run queue."""
_OUR_ASSETS: Final = frozenset(dg.AssetKey(asset) for asset in SPECS)


def process_tag() -> dict[str, str]:
    """Return the tag that names this process as the executor of a run."""
    return {PROCESS_TAG: f"{socket.gethostname()}/{os.getpid()}/{int(psutil.Process().create_time())}"}


def fail_orphaned_runs(instance: dg.DagsterInstance) -> int:
    """Report runs as failed whose process on this machine is gone, or that never got one; return their number.

    A run has no process while its worker starts, for up to `start_timeout_seconds` of the instance's `run_monitoring`;
    that limit is applied to runs of this project only.
    """
    failed = 0
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(LAUNCHED))):
        if _is_orphaned(instance, record):
            # Read again: the process is gone, too, if it has just finished its run.
            run = instance.get_run_by_id(record.dagster_run.run_id)
            if run is not None and not run.is_finished:
                instance.report_run_failed(
                    run, "The process of this run is gone. Its uncommitted rows are still pending for the next run."
                )
                failed += 1
    return failed


def _is_orphaned(instance: dg.DagsterInstance, record: RunRecord) -> bool:
    run = record.dagster_run
    process = _process_of(instance, run)
    if process is None:
        is_ours = run.job_name in STEP_JOBS or bool(_OUR_ASSETS & (run.asset_selection or frozenset()))
        limit = instance.run_monitoring_start_timeout_seconds
        return is_ours and 0 < limit < time.time() - record.update_timestamp.timestamp()
    host, pid, started = process.rsplit("/", 2)
    return host == socket.gethostname() and _is_gone(int(pid), int(started))


def _process_of(instance: dg.DagsterInstance, run: DagsterRun) -> str | None:
    """Return the process that executes a run; None if its tag is only a copy, taken over from the run it retries."""
    process = run.tags.get(PROCESS_TAG)
    retried = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return None if retried is not None and retried.tags.get(PROCESS_TAG) == process else process


def _is_gone(pid: int, started: int) -> bool:
    try:
        process = psutil.Process(pid)
        # A dead process stays a zombie if its parent does not reap it, as in a container without an init.
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return is_zombie or abs(process.create_time() - started) > CLOCK_STEP_SECONDS
    except psutil.NoSuchProcess:
        return True
