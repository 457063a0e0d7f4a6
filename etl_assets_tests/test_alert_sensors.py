"""Sensors of alerts, tried with runs and checks that really fail.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from etl_assets.alerts.alert import AlertError
from etl_assets.alerts.check_history import REMIND_AFTER_SECONDS, CheckHistory, Evaluation
from etl_assets.definitions import build_defs
from etl_assets.orchestration import alert_sensors
from etl_assets.orchestration.alert_sensors import ALERT_SENSORS, notify_failed_checks, notify_failed_runs
from etl_assets_tests.helpers.alert_receivers import Mailbox, Receiver, mail_server, web_server

pytestmark = pytest.mark.slow

RETRIES: Final = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}}
CUSTOMER: Final = "Zhang San 13800138000"
BAD_ROWS: Final[dict[str, Any]] = {"violation_count": 3, "violations": CUSTOMER}


@dataclass
class World:
    """Definitions whose asset and checks fail when they are told to, on an instance that keeps its records on disk."""

    instance: dg.DagsterInstance
    defs: dg.Definitions
    failing: dict[str, Any]
    cursors: dict[str, str | None] = field(default_factory=dict)

    def run(self, **tags: str) -> dg.ExecuteInProcessResult:
        job = self.defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, raise_on_error=False, tags=tags)

    def fail_without_origin(self) -> str:
        """A run of a process of ours that was killed, as Dagster records it."""
        run = self.instance.create_run_for_job(self.defs.resolve_implicit_global_asset_job_def())
        self.instance.report_run_failed(run, "killed")
        return run.run_id

    def fail_with_retry(self) -> str:
        """A run that a code server started and that was killed: Dagster announces a retry."""
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="etl_assets.definitions"))
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "etl_pipeline")
        run = dg.DagsterRun(job_name="etl_pipeline", run_id=str(uuid4()), remote_job_origin=origin)
        self.instance.add_run(run)
        self.instance.report_run_failed(run, "killed")
        return run.run_id

    def tick(self, sensor: dg.SensorDefinition) -> str:
        """Evaluate as the daemon does: the cursor is kept only if the evaluation ends well."""
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.defs, cursor=self.cursors.get(sensor.name)
        ) as context:
            data = sensor.evaluate_tick(context)
        self.cursors[sensor.name] = data.cursor
        return data.skip_message or ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with web_server() as receiver:
        yield receiver


@pytest.fixture
def world(tmp_path: Path, new_instance: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Iterator[World]:
    shutil.copytree(new_instance, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ETL_NOTIFY_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("ETL_PUBLIC_URL", "https://etl.example.com/")
    failing: dict[str, Any] = {}

    @dg.asset
    def orders() -> None:
        if "asset" in failing:
            raise failing["asset"]

    @dg.multi_asset_check(
        specs=[dg.AssetCheckSpec("sums", asset="orders"), dg.AssetCheckSpec("unmapped", asset="orders")]
    )
    def checks() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(
            check_name="sums", asset_key="orders", passed="sums" not in failing, metadata=failing.get("sums", BAD_ROWS)
        )
        yield dg.AssetCheckResult(
            check_name="unmapped",
            asset_key="orders",
            passed="unmapped" not in failing,
            severity=dg.AssetCheckSeverity.WARN,
        )

    defs = dg.Definitions(assets=[orders], asset_checks=[checks], executor=dg.in_process_executor)
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=RETRIES) as instance:
        yield World(instance, defs, failing)


def test_the_sensors_are_part_of_the_definitions_and_run_by_default() -> None:
    repository = build_defs().get_repository_def()
    for sensor in ALERT_SENSORS:
        assert repository.get_sensor_def(sensor.name).default_status == dg.DefaultSensorStatus.RUNNING


def test_a_failed_run_causes_one_alert_with_our_own_message(world: World, receiver: Receiver) -> None:
    world.failing["asset"] = dg.Failure("The disk is full.")
    world.run()
    assert "from now on" in world.tick(notify_failed_runs), "what failed before is history"
    run = world.run()
    assert world.tick(notify_failed_runs) == "1 alerts sent."
    assert world.tick(notify_failed_runs) == "0 alerts sent."
    (got,) = receiver.received
    assert (got["kind"], got["detail"], got["run_id"]) == ("run_failed", "orders: The disk is full.", run.run_id)
    assert got["url"] == f"https://etl.example.com/runs/{run.run_id}"


def test_of_other_errors_an_alert_names_only_the_kind_since_their_text_may_quote_data(
    world: World, receiver: Receiver
) -> None:
    world.tick(notify_failed_runs)
    world.failing["asset"] = ValueError(CUSTOMER)
    world.run()
    world.tick(notify_failed_runs)
    assert [one["detail"] for one in receiver.received] == ["orders: ValueError"]
    assert CUSTOMER not in json.dumps(receiver.received)


def test_a_good_run_causes_no_alert_and_one_whose_process_was_killed_does(world: World, receiver: Receiver) -> None:
    world.tick(notify_failed_runs)
    world.run()
    assert world.tick(notify_failed_runs) == "0 alerts sent."
    run = world.instance.create_run_for_job(world.defs.resolve_implicit_global_asset_job_def())
    world.instance.report_run_failed(run, "killed")
    assert world.tick(notify_failed_runs) == "1 alerts sent."
    assert [one["run_id"] for one in receiver.received] == [run.run_id]
    assert "killed" in receiver.received[0]["detail"]


def test_a_run_that_is_retried_causes_no_alert(world: World, receiver: Receiver) -> None:
    world.tick(notify_failed_runs)
    run_id = world.fail_with_retry()
    assert world.tick(notify_failed_runs) == "0 alerts sent.", "its retry may yet come"
    world.instance.add_run_tags(run_id, {"dagster/auto_retry_run_id": "another"})
    assert world.tick(notify_failed_runs) == "0 alerts sent."
    later = world.fail_without_origin()
    assert world.tick(notify_failed_runs) == "1 alerts sent."
    assert [one["run_id"] for one in receiver.received] == [later]


def test_a_run_whose_announced_retry_never_comes_causes_an_alert(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tick(notify_failed_runs)
    run_id = world.fail_with_retry()
    assert world.tick(notify_failed_runs) == "0 alerts sent."
    monkeypatch.setattr(alert_sensors, "RETRY_WAIT_SECONDS", 0)
    assert world.tick(notify_failed_runs) == "1 alerts sent."
    assert [one["run_id"] for one in receiver.received] == [run_id]


def test_a_run_of_a_command_causes_an_alert_although_a_retry_is_announced(world: World, receiver: Receiver) -> None:
    world.tick(notify_failed_runs)
    run_id = world.fail_without_origin()
    run = world.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["dagster/will_retry"] == "true"
    assert world.tick(notify_failed_runs) == "1 alerts sent."
    assert [one["run_id"] for one in receiver.received] == [run_id]


@pytest.mark.parametrize("sensor", [notify_failed_runs, notify_failed_checks], ids=lambda sensor: sensor.name)
def test_an_alert_that_no_channel_took_is_sent_by_a_later_tick(
    world: World, receiver: Receiver, sensor: dg.SensorDefinition
) -> None:
    world.tick(sensor)
    world.failing |= {"sums": BAD_ROWS}
    world.run()
    world.failing |= {"asset": dg.Failure("no")}
    world.run()
    receiver.answers = [404]
    with pytest.raises(AlertError, match="status 404"):
        world.tick(sensor)
    assert world.tick(sensor) == "1 alerts sent."
    first, second = receiver.received
    assert first == second


def test_where_one_channel_works_the_alert_is_not_sent_again_and_the_tick_names_the_other(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_NOTIFY_EMAIL_TO", "a@example.com")
    monkeypatch.setenv("ETL_NOTIFY_EMAIL_FROM", "etl@example.com")
    world.tick(notify_failed_runs)
    world.failing["asset"] = dg.Failure("no")
    world.run()
    receiver.answers = [404]
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        monkeypatch.setenv("ETL_SMTP_URL", f"smtp://127.0.0.1:{port}")
        message = world.tick(notify_failed_runs)
        assert world.tick(notify_failed_runs) == "0 alerts sent."
    assert message.startswith("1 alerts sent. webhook failed: The webhook refused the alert with status 404")
    assert len(mailbox.messages) == 1


def test_a_failed_check_causes_an_alert_when_it_changes_and_without_its_rows(world: World, receiver: Receiver) -> None:
    world.failing["sums"] = BAD_ROWS
    world.run()
    assert "from now on" in world.tick(notify_failed_checks)
    assert world.tick(notify_failed_checks) == "0 alerts sent.", "what failed before is history"
    run = world.run()
    assert world.tick(notify_failed_checks) == "1 alerts sent."
    world.run()
    assert world.tick(notify_failed_checks) == "0 alerts sent.", "it goes on failing"
    world.failing.clear()
    world.run()
    world.failing["sums"] = BAD_ROWS
    world.run()
    assert world.tick(notify_failed_checks) == "1 alerts sent.", "it passed between the ticks, then failed again"
    got = receiver.received[0]
    assert (got["title"], got["asset"], got["run_id"]) == ("Check sums of orders failed", "orders", run.run_id)
    assert got["detail"].startswith("3 violations found.")
    assert got["url"] == "https://etl.example.com/assets/orders?view=checks&checkDetail=sums"
    assert CUSTOMER not in json.dumps(receiver.received)


def test_the_alert_of_a_check_that_says_its_problems_has_them(world: World, receiver: Receiver) -> None:
    world.tick(notify_failed_checks)
    world.failing["sums"] = {"problems": "0 of 3 orders of may.csv could be read."}
    world.run()
    assert world.tick(notify_failed_checks) == "1 alerts sent."
    assert receiver.received[0]["detail"].startswith("0 of 3 orders of may.csv could be read. See the page")


def test_a_warning_causes_no_alert(world: World, receiver: Receiver) -> None:
    world.tick(notify_failed_checks)
    world.failing["unmapped"] = True
    world.run()
    assert world.tick(notify_failed_checks) == "0 alerts sent."
    assert receiver.received == []


def test_a_check_that_a_later_run_has_only_planned_still_causes_an_alert(world: World, receiver: Receiver) -> None:
    world.tick(notify_failed_checks)
    world.failing["sums"] = BAD_ROWS
    world.run()
    later = world.instance.create_run_for_job(world.defs.resolve_implicit_global_asset_job_def())
    key = dg.AssetCheckKey(dg.AssetKey("orders"), "sums")
    latest = world.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert (latest.run_id, latest.status.value) == (later.run_id, "PLANNED")
    assert world.tick(notify_failed_checks) == "1 alerts sent."


def test_a_failing_check_causes_another_alert_after_a_day(world: World, receiver: Receiver) -> None:
    world.failing["sums"] = BAD_ROWS
    long_ago = time.time() - REMIND_AFTER_SECONDS - 1
    history = CheckHistory(since=0).after(Evaluation("orders:sums", failed=True, at=long_ago))
    world.cursors[notify_failed_checks.name] = history.model_dump_json()
    world.run()
    assert world.tick(notify_failed_checks) == "1 alerts sent."
    assert len(receiver.received) == 1
