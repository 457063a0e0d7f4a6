"""Health as it is read, written and told: from the tables, from Dagster's records, after runs of every end."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.definitions import build_defs
from etl_assets.health.needs import find_needs
from etl_assets.health.tables import read_table_state
from etl_assets.ledger import queue
from etl_assets.ledger.queue import RawIdRange
from etl_assets.orchestration.alert_sensors import notify_facts
from etl_assets.orchestration.health import HEALTH_ASSET, read_health, report_health
from etl_assets.orchestration.health_records import CHECK_KEYS, INSTIGATORS, read_check_results
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.run_in_process import run_in_process
from etl_assets.orchestration.sensors import report_health_of_runs
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.dismiss import DismissImportError, dismiss_imports
from etl_assets.raw_orders.importing import import_file
from etl_assets.reporting.failed_imports import read_failed_imports
from etl_assets_tests.helpers.alert_receivers import Receiver, web_server
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings

HEADERS: Final = "platform,shop,order_id,customer_name,order_status,order_type,amount,currency,ordered_at,items"
ORDERS: Final = (
    f"{HEADERS}\netsy,North,1,Ann,paid,bulk,10,EUR,2026-01-02 10:00,Mug\netsy, South ,2,Ben,paid,bulk,x,EUR,,\n"
)


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


def record_import(services: Services, source: str, status: str, minutes_ago: int = 0, error: str = "bad") -> UUID:
    """Record an import without rows."""
    found: UUID = scalar(
        services,
        "INSERT INTO import_tasks (import_id, source, status, error, created_at) VALUES"
        " (gen_random_uuid(), :source, :status, :error, now() - make_interval(mins => :ago)) RETURNING import_id",
        source=source, status=status, error=error, ago=minutes_ago,
    )  # fmt: skip
    return found


def refused(services: Services) -> list[str]:
    with services.database.transaction() as connection:
        return [one["source"] for one in read_failed_imports(connection, shown=10).shown]


def waiting(services: Services) -> dict[str, float]:
    return {one.asset: one.waiting for one in read_table_state(services.database).assets if one.waiting is not None}


def test_work_is_as_old_as_it_has_been_on_the_queue(services: Services) -> None:
    """An old batch that is put on the queue again is no old work; ranges that are united or split keep their time."""
    land(services, [raw_fields(str(number)) for number in range(10)])
    run_all(services)
    query(services, "UPDATE etl_batches SET finished_at = now() - interval '9 days'")
    batch = scalar(services, "SELECT min(batch_id) FROM etl_batches")
    with services.database.transaction() as connection:
        queue.enqueue(connection, ["orders"], [RawIdRange(batch, 1, 4)])
    assert waiting(services)["orders"] < 60
    query(services, "UPDATE etl_work SET queued_at = now() - interval '1 hour'")
    with services.database.transaction() as connection:
        queue.enqueue(connection, ["orders"], [RawIdRange(batch, 3, 9)])
        queue.dequeue(connection, "orders", [RawIdRange(batch, 1, 5)])
    assert query(services, "SELECT low, high FROM etl_work") == [{"low": 6, "high": 9}]
    assert 3600 <= waiting(services)["orders"] < 3700


def test_an_import_records_the_days_on_which_shops_delivered(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    for number in range(2):
        path.write_text(ORDERS.replace("10:00", f"10:0{number}"), encoding="utf-8")
        import_file(services.database, path, get_preset("generic"))
    land(services, [raw_fields("9", shop="East")])  # without headers, as corrected rows are
    run_all(services)
    found = read_table_state(services.database).arrivals
    today = dt.datetime.now(dt.UTC).date()
    assert sorted(found.rows()) == [("etsy", name, name, today) for name in ("North", "South")]
    assert query(services, "SELECT DISTINCT imports FROM shop_arrivals") == [{"imports": 2}]


def test_a_refused_import_is_named_until_its_file_is_imported_or_it_is_dismissed(services: Services) -> None:
    record_import(services, "/inbox/a.xlsx", "failed", 60)
    record_import(services, "/inbox/a.xlsx", "failed", 50)
    other = record_import(services, "/inbox/north/a.csv", "failed", 40)
    again = record_import(services, "source:shop", "failed", 30)
    assert refused(services) == ["source:shop", "/inbox/north/a.csv", "/inbox/a.xlsx"]
    record_import(services, "/inbox/failed/a.csv", "completed", 20)
    mended = record_import(services, "source:shop", "completed", 10)
    assert refused(services) == ["/inbox/north/a.csv"]
    query(services, "UPDATE import_tasks SET status = 'reverted' WHERE import_id = :id", id=mended)
    assert refused(services) == ["source:shop", "/inbox/north/a.csv"]
    with pytest.raises(DismissImportError, match="only failed imports"):
        dismiss_imports(services.database, [other, mended], "old")
    assert [one.is_changed for one in dismiss_imports(services.database, [again], "gone", user_name="ann")] == [True]
    result = CliRunner().invoke(app, ["imports", "dismiss", str(other), "--note", "a test"])
    assert result.exit_code == 0, result.output
    assert refused(services) == []
    assert [one.is_changed for one in dismiss_imports(services.database, [again], "again")] == [False]
    actions = query(services, "SELECT action, user_name = 'ann' AS is_ann, after ->> 'note' AS note FROM user_actions")
    assert [tuple(one.values()) for one in actions] == [
        ("imports dismiss", True, "gone"),
        ("imports dismiss", False, "a test"),
    ]


def test_four_failing_checks_are_four_while_another_run_starts(
    services: Services, instance: dg.DagsterInstance
) -> None:
    for key in CHECK_KEYS[:5]:
        evaluation = dg.AssetCheckEvaluation(key.asset_key, key.name, passed=key == CHECK_KEYS[4], blocking=False)
        instance.report_runless_asset_event(evaluation)
    run = instance.create_run_for_job(build_defs().resolve_job_def("etl_pipeline"))
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(CHECK_KEYS)
    assert {record.status.value for record in latest.values()} == {"PLANNED"}, "each is hidden by the run's plan"
    state = read_health(services.database, instance)
    assert state.records is not None
    assert [(one.asset, one.check) for one in state.records.failed_checks] == [
        (key.asset_key.to_user_string(), key.name) for key in CHECK_KEYS[:4]
    ]
    assert state.records.is_running
    own = read_health(services.database, instance, own_run_id=run.run_id)
    assert own.records is not None
    assert not own.records.is_running
    assert "4 failed checks" in report_health(services.database, instance)


def health_checks(instance: dg.DagsterInstance) -> dict[str, tuple[bool, str]]:
    keys = [key for key in build_defs().resolve_asset_graph().asset_check_keys if key.asset_key == HEALTH_ASSET]
    return {one.check: (one.passed, one.severity) for one in read_check_results(instance, keys)}


def test_checks_of_pipeline_health_are_yellow_or_red_as_their_worst_need(
    services: Services, instance: dg.DagsterInstance
) -> None:
    report_health(services.database, instance)
    assert {passed for passed, _ in health_checks(instance).values()} == {True}
    assert len(health_checks(instance)) == 5
    query(
        services,
        "INSERT INTO quarantine (asset, raw_id, reason_code, reason, row) VALUES ('orders', 1, 'BAD_TEXT', 'x', '{}')",
    )
    report_health(services.database, instance)
    assert health_checks(instance)["imports_are_settled"] == (False, "warn")
    record_import(services, "/inbox/a.xlsx", "failed")
    report_health(services.database, instance)
    assert health_checks(instance)["imports_are_settled"] == (False, "error")
    assert health_checks(instance)["work_is_processed"] == (True, "error")


def test_all_sensors_and_schedules_of_the_definitions_are_watched() -> None:
    repository = build_defs().get_repository_def()
    declared = {one.name for one in repository.sensor_defs} | {one.name for one in repository.schedule_defs}
    assert declared <= INSTIGATORS
    assert declared >= INSTIGATORS - {"sources"}


def test_a_sensor_that_is_switched_off_and_a_silent_daemon_are_needs(
    services: Services, instance: dg.DagsterInstance
) -> None:
    from dagster._core.scheduler.instigation import InstigatorStatus  # noqa: PLC0415
    from dagster._daemon.types import DaemonHeartbeat  # noqa: PLC0415

    state = instance_state("inbox", InstigatorStatus.STOPPED)
    instance.add_instigator_state(state)
    instance.add_daemon_heartbeat(DaemonHeartbeat(dt.datetime.now(dt.UTC).timestamp() - 7200, "SENSOR", "1", None))
    needs = find_needs(read_health(services.database, instance))
    assert [need.text for need in needs if need.kind in {"switched_off", "daemon_silent"}] == [
        "Dagster's daemon has been silent for 2 h 0 min: no sensor and no schedule works.",
        "Sensors or schedules are switched off: inbox.",
    ]


def instance_state(name: str, status: Any) -> Any:
    from dagster._core.remote_origin import (  # noqa: PLC0415
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorType  # noqa: PLC0415
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin  # noqa: PLC0415

    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="etl_assets.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    return InstigatorState(origin, InstigatorType.SENSOR, status)


@pytest.mark.slow
def test_health_is_written_at_every_end_of_a_run(
    services: Services, settings: Settings, instance: dg.DagsterInstance
) -> None:
    land(services, [raw_fields("1", customer_name="Ann", amount="bad")])
    report = run_in_process(settings, build_defs)
    assert report.health.startswith("2 things need somebody · nothing pending · 1 rows in quarantine")
    assert written_by(instance) == report.run_id
    assert tick_health(services, instance) == "The last run has written it."
    assert tick_health(services, instance) == "No other run has ended."
    query(services, "ALTER TABLE business_leads RENAME COLUMN sample_count TO hidden")
    land(services, [raw_fields("2", customer_name="Ann")])
    failed = run_in_process(settings, build_defs)
    assert failed.status == "failed"
    assert "3 things need somebody" in failed.health
    assert written_by(instance) == "", "by no run"
    assert health_checks(instance)["checks_and_runs_pass"] == (False, "error")
    assert tick_health(services, instance, "another").startswith("3 things need somebody")


def written_by(instance: dg.DagsterInstance) -> str:
    event = instance.get_latest_materialization_event(HEALTH_ASSET)
    assert event is not None
    return event.run_id


def tick_health(services: Services, instance: dg.DagsterInstance, cursor: str | None = None) -> str:
    """Evaluate the sensor of health, with the cursor of its last tick."""
    stored = instance.daemon_cursor_storage.get_cursor_values({"test:health"}).get("test:health")
    resources = {"database": services.database}
    with dg.build_sensor_context(instance=instance, cursor=cursor or stored, resources=resources) as context:
        data = report_health_of_runs.evaluate_tick(context)
    instance.daemon_cursor_storage.set_cursor_values({"test:health": data.cursor or ""})
    return data.skip_message or ""


@pytest.mark.slow
def test_a_refused_file_fails_the_check_until_it_is_dismissed_and_only_its_own_run(
    services: Services, settings: Settings, instance: dg.DagsterInstance
) -> None:
    inbox = settings.inbox_folder
    inbox.mkdir(parents=True)
    (inbox / "may.csv").write_text("no,known,headers\n1,2,3\n", encoding="utf-8")
    own = settings.model_copy(update={"inbox_settle_seconds": 0})
    report = run_in_process(own, build_defs)
    assert (report.status, report.failed_checks) == ("failed", ("raw_orders:all_inputs_ingested",))
    assert check_of_inputs(instance)[:2] == (False, "error")
    report = run_in_process(own, build_defs)
    assert (report.status, report.failed_checks) == ("success", ())
    assert check_of_inputs(instance)[:2] == (False, "warn")
    assert health_checks(instance)["imports_are_settled"] == (False, "error")
    import_id = scalar(services, "SELECT import_id FROM import_tasks WHERE status = 'failed'")
    dismiss_imports(services.database, [import_id], "not an export")
    report = run_in_process(own, build_defs)
    assert check_of_inputs(instance)[0]
    assert report.health.startswith("Nothing needs anybody")


def check_of_inputs(instance: dg.DagsterInstance) -> tuple[bool, str]:
    key = dg.AssetCheckKey(dg.AssetKey("raw_orders"), "all_inputs_ingested")
    (found,) = read_check_results(instance, [key])
    return found.passed, found.severity


class FactTicks:
    """Ticks of the sensor of facts, each with the cursor of the last."""

    def __init__(self, services: Services, instance: dg.DagsterInstance, receiver: Receiver) -> None:
        self.services, self.instance, self.receiver = services, instance, receiver
        self.cursor: str | None = None
        self.change(notify_webhook_url=SecretStr(receiver.url), web_url="https://web.example.com")

    def change(self, **settings: Any) -> None:
        database = self.services.database
        database.settings = database.settings.model_copy(update=settings)

    def tick(self) -> list[tuple[str, str, str | None]]:
        """Return kind, title and link of the alerts that were sent."""
        resources = {"database": self.services.database}
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            self.cursor = notify_facts.evaluate_tick(context).cursor
        sent = [(one["kind"], one["title"], one["url"]) for one in self.receiver.received]
        self.receiver.received.clear()
        return sent


def add_bad_rows(services: Services, import_id: UUID, first: int, number: int) -> None:
    query(
        services,
        "INSERT INTO quarantine (asset, import_id, raw_id, reason_code, reason, row)"
        " SELECT 'orders', :id, raw_id, 'BAD_AMOUNT', 'x', '{}'"
        " FROM generate_series(CAST(:low AS bigint), :high) raw_id",
        id=import_id, low=first, high=first + number - 1,
    )  # fmt: skip


def test_each_fact_is_told_once_and_bad_rows_in_a_digest(services: Services, instance: dg.DagsterInstance) -> None:
    record_import(services, "/inbox/old.csv", "failed", 60)
    with web_server() as receiver:
        ticks = FactTicks(services, instance, receiver)
        assert ticks.tick() == [], "what was wrong before is history"
        may = record_import(services, "/inbox/may.csv", "failed")
        assert ticks.tick() == [("import_refused", "may.csv was refused", f"https://web.example.com/imports/{may}")]
        assert ticks.tick() == []
        record_import(services, "/inbox/may.csv", "failed")
        assert ticks.tick() == [], "the same file fails for the same reason"
        record_import(services, "/inbox/june.csv", "failed")
        record_import(services, "source:shop", "failed")
        refused = ("import_refused", "2 files or sources were refused", "https://web.example.com/health")
        assert ticks.tick() == [refused]
        query(services, "UPDATE import_tasks SET dismissed_at = now()")
        assert ticks.tick() == []
        record_import(services, "/inbox/may.csv", "failed")
        assert [kind for kind, *_ in ticks.tick()] == ["import_refused"], "it is refused anew"

        first, second = (record_import(services, f"/inbox/{name}.csv", "completed") for name in ("a", "b"))
        ticks.change(notify_bad_rows=3)
        add_bad_rows(services, first, 1, 2)
        assert ticks.tick() == [], "fewer than the threshold"
        add_bad_rows(services, second, 11, 3)
        assert ticks.tick() == [("bad_rows", "5 new bad rows of 2 imports", "https://web.example.com/bad-rows")]
        add_bad_rows(services, second, 21, 4)
        assert ticks.tick() == [], "the last digest was sent just now"
        ticks.change(notify_bad_rows_minutes=0)
        assert [title for _, title, _ in ticks.tick()] == ["4 new bad rows of 1 imports"]
        query(services, "UPDATE quarantine SET resolved_at = now() WHERE raw_id < 20")
        assert ticks.tick() == []
        add_bad_rows(services, first, 31, 3)
        assert [title for _, title, _ in ticks.tick()] == ["3 new bad rows of 1 imports"]
        ticks.change(notify_bad_rows=0)
        add_bad_rows(services, first, 41, 9)
        assert ticks.tick() == []


def test_changed_columns_and_unknown_statuses_are_told(services: Services, instance: dg.DagsterInstance) -> None:
    with web_server() as receiver:
        ticks = FactTicks(services, instance, receiver)
        ticks.tick()
        import_id = land(services, [raw_fields("1", order_status="lost")])
        query(services, "UPDATE import_tasks SET feed = 'f', source = '/inbox/may.csv'")
        query(
            services,
            "INSERT INTO import_findings (import_id, code, subject, row_count) VALUES"
            " (:id, 'GONE_HEADERS', 'Size', 1), (:id, 'UNKNOWN_STATUS', 'lost', 7)",
            id=import_id,
        )
        query(
            services,
            """UPDATE import_tasks SET mapping = jsonb_set(mapping, '{known_statuses}', '["paid"]')""",
        )
        link = f"https://web.example.com/imports/{import_id}"
        assert ticks.tick() == [
            ("columns_changed", "The columns of may.csv are not as before", link),
            ("unknown_statuses", "1 order statuses are unknown: orders with them count as not cancelled", link),
        ]
        assert ticks.tick() == []


def test_an_alert_that_no_channel_took_is_sent_by_the_next_tick(
    services: Services, instance: dg.DagsterInstance
) -> None:
    with web_server() as receiver:
        ticks = FactTicks(services, instance, receiver)
        ticks.tick()
        record_import(services, "/inbox/may.csv", "failed")
        receiver.answers = [404]
        with pytest.raises(Exception, match="status 404"):
            ticks.tick()
        receiver.received.clear()
        assert [kind for kind, *_ in ticks.tick()] == ["import_refused"]
        assert ticks.tick() == []


def test_an_interrupted_statement_of_health_is_named_and_the_rest_is_there(
    services: Services, instance: dg.DagsterInstance
) -> None:
    with services.database.transaction() as connection:
        connection.execute(sa.text("ALTER TABLE import_tasks RENAME COLUMN error TO secret_4711"))
    state = read_health(services.database, instance)
    (need,) = find_needs(state)
    assert need.text == "The state of the tables could not be read: ProgrammingError (SQLSTATE 42703)."
    assert state.records is not None
