"""Orphaned runs: those whose process is gone, and those of this project that never got one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg
import psutil
import pytest

from etl_assets.definitions import build_defs
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.jobs import PIPELINE_JOB
from etl_assets.orchestration.orphaned_runs import fail_orphaned_runs, process_tag
from etl_assets.orchestration.run_tags import PROCESS_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.settings import Settings

pytestmark = pytest.mark.slow

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
START_TIMEOUT = 180
STARTS = int(psutil.Process().create_time())


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


@dg.job
def foreign_job() -> None:
    """A job that has nothing to do with the pipeline."""


@cache
def pipeline() -> dg.JobDefinition:
    return build_defs().resolve_job_def("etl_pipeline")


def make_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    process: str | None = None,
    job: dg.JobDefinition | None = None,
) -> str:
    tags = {} if process is None else {PROCESS_TAG: process}
    run = dg.DagsterRun(job_name=PIPELINE_JOB if job is None else job.name, status=status, tags=tags)
    return instance.add_run(run).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def let_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time()
    monkeypatch.setattr("etl_assets.orchestration.orphaned_runs.time.time", lambda: now + seconds)


@pytest.mark.parametrize(
    ("process", "is_lost"),
    [
        (f"{socket.gethostname()}/{os.getpid()}/{STARTS}", False),
        (f"{socket.gethostname()}/{os.getpid()}/{STARTS - 1}", False),  # the clock was set by a second
        (f"{socket.gethostname()}/{os.getpid()}/{STARTS - 3600}", True),  # the number was given out again
        (f"{socket.gethostname()}/999999999/1", True),
        ("elsewhere/999999999/1", False),
        (f"{socket.gethostname()}.example.org/999999999/1", False),
    ],
    ids=["alive", "alive, clock set", "number given out again", "gone", "elsewhere", "elsewhere, longer name"],
)
def test_a_run_is_lost_when_its_process_on_this_machine_is_gone(
    instance: dg.DagsterInstance, process: str, *, is_lost: bool
) -> None:
    run_id = make_run(instance, STARTED, process)
    assert fail_orphaned_runs(instance) == is_lost
    assert status_of(instance, run_id) == (FAILURE if is_lost else STARTED)
    assert fail_orphaned_runs(instance) == 0


def test_a_zombie_process_counts_as_gone(instance: dg.DagsterInstance) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = int(psutil.Process(process.pid).create_time())
        run_id = make_run(instance, STARTED, f"{socket.gethostname()}/{process.pid}/{started}")
        assert fail_orphaned_runs(instance) == 0
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        assert fail_orphaned_runs(instance) == 1
    assert status_of(instance, run_id) == FAILURE


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Los_Angeles"])
def test_a_run_of_ours_may_be_without_a_process_only_while_its_worker_starts(
    instance: dg.DagsterInstance, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = dg.DagsterRunStatus
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        runs = [make_run(instance, s) for s in (status.NOT_STARTED, status.STARTING, status.STARTED, status.CANCELING)]
        let_pass(monkeypatch, START_TIMEOUT / 2)
        assert fail_orphaned_runs(instance) == 0
        let_pass(monkeypatch, START_TIMEOUT * 2)
        assert fail_orphaned_runs(instance) == 4
        assert {status_of(instance, run_id) for run_id in runs} == {FAILURE}
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_a_long_run_of_a_foreign_job_is_not_failed(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(instance, STARTED, job=foreign_job)
    let_pass(monkeypatch, 1e6)
    assert fail_orphaned_runs(instance) == 0


def test_assets_of_ours_materialised_from_the_ui_are_watched_as_well(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = build_defs().resolve_implicit_global_asset_job_def()
    instance.create_run_for_job(job, status=STARTED, asset_selection=frozenset({dg.AssetKey("orders")}))
    let_pass(monkeypatch, START_TIMEOUT + 30)
    assert fail_orphaned_runs(instance) == 1


def test_a_retry_is_not_lost_with_the_process_whose_tag_it_has_taken_over(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {PROCESS_TAG: f"{socket.gethostname()}/999999999/1"}
    job = pipeline()
    first = instance.create_run_for_job(job, status=STARTED, tags=gone)
    assert fail_orphaned_runs(instance) == 1
    retry = instance.create_run_for_job(
        job, status=STARTED, tags=gone, parent_run_id=first.run_id, root_run_id=first.run_id
    )
    assert fail_orphaned_runs(instance) == 0
    instance.add_run_tags(retry.run_id, process_tag())
    let_pass(monkeypatch, START_TIMEOUT + 30)
    assert fail_orphaned_runs(instance) == 0
    instance.add_run_tags(retry.run_id, {PROCESS_TAG: f"{socket.gethostname()}/999999998/1"})
    assert fail_orphaned_runs(instance) == 1


def test_a_run_whose_process_ends_well_while_it_is_looked_at_is_no_failure(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_run(instance, STARTED, f"{socket.gethostname()}/999999999/1")

    def no_such_process(pid: int) -> psutil.Process:
        event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name="etl_pipeline")
        instance.report_dagster_event(event, run_id)
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr("etl_assets.orchestration.orphaned_runs.psutil.Process", no_such_process)
    assert fail_orphaned_runs(instance) == 0
    assert status_of(instance, run_id) == dg.DagsterRunStatus.SUCCESS
