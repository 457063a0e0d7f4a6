"""Runs whose worker is gone: killed with everything around it, a run would stay STARTED for ever, and be waited for.

Each run carries the process that executes it as a tag. Nothing is lost with such a run: what it had not committed is
still pending. Should a process be alive after all (frozen, say), the fence in the database keeps its writes out.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Final

import dagster as dg
import psutil

from etl_assets.asset_graph import SPECS
from etl_assets.orchestration.jobs import PIPELINE_JOB

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

PROCESS_TAG: Final = "etl_assets/process"
"""Host, process and its start, so that a later process can tell that it is gone."""
CLOCK_STEP_SECONDS: Final = 2
"""So far the start of one process may seem to move when the machine's clock is set."""

LAUNCHED: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
"""The states of an unfinished run that has left the queue."""
_OUR_ASSETS: Final = frozenset(dg.AssetKey(asset) for asset in SPECS)


def process_tag() -> dict[str, str]:
    """The tag that says that this process executes a run."""
    return {PROCESS_TAG: f"{socket.gethostname()}/{os.getpid()}/{int(psutil.Process().create_time())}"}


def fail_orphaned_runs(instance: dg.DagsterInstance) -> int:
    """Report runs as failed whose process on this machine is gone, or that never got one. Returns how many.

    A run of ours is without a process while its worker starts; that may take as long as `start_timeout_seconds` of the
    instance's `run_monitoring` says. Runs of other people's jobs are theirs to watch.
    """
    ended = 0
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(LAUNCHED))):
        if _is_orphaned(instance, record):
            # Read again: a process that has ended its run well is gone, too.
            run = instance.get_run_by_id(record.dagster_run.run_id)
            if run is not None and not run.is_finished:
                instance.report_run_failed(run, "The process of this run is gone; the next run does what is left.")
                ended += 1
    return ended


def _is_orphaned(instance: dg.DagsterInstance, record: RunRecord) -> bool:
    run = record.dagster_run
    process = _process_of(instance, run)
    if process is None:
        is_ours = run.job_name == PIPELINE_JOB or bool(_OUR_ASSETS & (run.asset_selection or frozenset()))
        limit = instance.run_monitoring_start_timeout_seconds
        return is_ours and 0 < limit < time.time() - record.update_timestamp.timestamp()
    host, pid, started = process.rsplit("/", 2)
    return host == socket.gethostname() and _is_gone(int(pid), int(started))


def _process_of(instance: dg.DagsterInstance, run: DagsterRun) -> str | None:
    """The process that executes a run; the one that a retry has taken over with the tags of the run before is not."""
    process = run.tags.get(PROCESS_TAG)
    retried = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return None if retried is not None and retried.tags.get(PROCESS_TAG) == process else process


def _is_gone(pid: int, started: int) -> bool:
    try:
        process = psutil.Process(pid)
        # A dead process stays a zombie where nobody waits for it, as in a container without an init.
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return is_zombie or abs(process.create_time() - started) > CLOCK_STEP_SECONDS
    except psutil.NoSuchProcess:
        return True
