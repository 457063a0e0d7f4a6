"""The sensors: what wakes them, what they ask for, and when they don't."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX, SYSTEM_TAG_PREFIX

from etl_assets.asset_graph import DOWNSTREAM, SUBJECT_OF, TRIGGER_EVENT
from etl_assets.definitions import build_defs
from etl_assets.events.consumer import consume_events
from etl_assets.events.payload import EventPayload, publish
from etl_assets.ledger.queue import read_backlog
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.orphaned_runs import process_tag
from etl_assets.orchestration.run_requests import FIRST_WAIT_SECONDS
from etl_assets.orchestration.run_tags import ASSET_TAG, WORK_TAG, imports_tag
from etl_assets.orchestration.sensors import build_schedules
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import import_file
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.in_process_reader import FilesHere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


def land(services: Services, folder: Path, *numbers: int) -> None:
    lines = [f"etsy,North,{number},Ann,paid,bulk,10,EUR,2026-01-02 10:00:00" for number in numbers]
    header = "platform,shop,order_id,customer_name,order_status,order_type,amount,currency,ordered_at"
    path = folder / f"{numbers[0]}.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    assert import_file(services.database, path, get_preset("generic"), reader=FilesHere()).status == "completed"


def tick(asset: AssetName, services: Services, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    """Evaluate the asset's sensor: its request, or why there is none."""
    defs = build_defs()
    sensor = defs.resolve_sensor_def(f"{asset}_on_{TRIGGER_EVENT[asset].lower()}")
    context = dg.build_sensor_context(
        instance=instance, definitions=defs, resources={"database": services.database}, sensor_name=sensor.name
    )
    data = sensor.evaluate_tick(context)
    if data.run_requests:
        (request,) = data.run_requests
        return request
    assert data.skip_message
    return data.skip_message


def requested(outcome: dg.RunRequest | str) -> set[str]:
    assert isinstance(outcome, dg.RunRequest), outcome
    return {key.to_user_string() for key in outcome.asset_selection or ()}


def test_an_import_wakes_shop_with_everything_after_it(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert "Nothing is pending" in str(tick("shop", services, instance))
    land(services, tmp_path, 1, 2)
    assert requested(tick("shop", services, instance)) >= {"raw_orders", *STEPS}
    assert "Nothing is pending" in str(tick("orders", services, instance))


def test_an_import_during_a_tick_is_run_at_once(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = services.settings.model_copy(update={"sensor_wait_seconds": 30})
    monkeypatch.setattr(services.database, "settings", waiting)
    with ThreadPoolExecutor() as threads:
        outcome = threads.submit(tick, "shop", services, instance)
        _wait_for_a_listener(services)
        land(services, tmp_path, 1, 2)
        assert requested(outcome.result()) >= {"raw_orders", *STEPS}


def _wait_for_a_listener(services: Services) -> None:
    listener = sa.text("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query = 'LISTEN etl_events')")
    until = time.monotonic() + 30
    with services.database.autocommit() as connection:
        while not connection.execute(listener).scalar_one():
            assert time.monotonic() < until
            time.sleep(0.02)


def test_the_list_of_runs_shows_the_imports_of_a_run_and_no_tags_of_ours(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        land(services, tmp_path, number)
    request = tick("shop", services, instance)
    assert isinstance(request, dg.RunRequest)
    not_shown = (HIDDEN_TAG_PREFIX, SYSTEM_TAG_PREFIX)
    shown = {key: value for key, value in request.tags.items() if not key.startswith(not_shown)}
    assert shown == {"imports": "1.csv and 2 more"}
    assert all(key.startswith(HIDDEN_TAG_PREFIX) for key in (ASSET_TAG, WORK_TAG, *process_tag()))
    execute(request, services, instance)
    land(services, tmp_path, 1)
    again = tick("shop", services, instance)
    assert isinstance(again, dg.RunRequest)
    assert again.tags["imports"] == "1.csv"


@pytest.mark.parametrize(
    ("sources", "tag"),
    [
        ([], None),
        (["/home/of/someone/orders.csv"], "orders.csv"),
        (["shop_db", "shop_db"], "shop_db"),
        (["x" * 50], f"{'x' * 29}…"),
    ],
)
def test_imports_are_named_by_files_without_folders_and_by_sources(sources: list[str], tag: str | None) -> None:
    assert imports_tag(sources) == ({} if tag is None else {"imports": tag})


def test_without_sources_there_is_no_schedule_that_reads_them(settings: Settings, tmp_path: Path) -> None:
    def names(settings: Settings) -> set[str]:
        return {schedule.name for schedule in build_schedules(settings)}

    assert "sources" not in names(settings.model_copy(update={"sources": None}))
    assert "sources" in names(settings.model_copy(update={"sources": tmp_path / "sources.yaml"}))


def test_many_materialisations_between_two_ticks_are_one_run(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    for number in range(40):
        pipeline.land(services, [pipeline.raw_fields(str(number))])
        run_asset("shop", services)
    request = tick("orders", services, instance)
    assert requested(request) >= {"orders", "order_items", "process_items", "customers", "leads"}
    assert isinstance(request, dg.RunRequest)
    execute(request, services, instance)
    assert "Nothing is pending" in str(tick("orders", services, instance))
    with services.database.transaction() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM orders")).scalar_one() == 40


def execute(request: dg.RunRequest, services: Services, instance: dg.DagsterInstance) -> bool:
    """Run what was asked for, as the daemon does, in this process."""
    resources = {
        "database": dg.ResourceDefinition.hardcoded_resource(services.database),
        "batch_processor": dg.ResourceDefinition.hardcoded_resource(services.batch_processor),
        "vectorized_queries": dg.ResourceDefinition.hardcoded_resource(services.vectorized_queries),
    }
    result = (
        build_defs(resources=resources)
        .resolve_job_def("etl_pipeline")
        .execute_in_process(
            instance=instance,
            asset_selection=list(request.asset_selection or ()),
            tags=dict(request.tags),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )
    return result.success


def fail(request: dg.RunRequest, instance: dg.DagsterInstance, parent: str | None = None) -> dg.DagsterRun:
    """Record a run for what was asked for that failed, `parent`'s retry."""
    run = dg.DagsterRun(
        job_name="etl_pipeline",
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
        parent_run_id=parent,
        root_run_id=parent,
    )
    instance.report_run_failed(instance.add_run(run))
    return run


def test_a_file_that_has_to_stay_in_the_inbox_is_reported_and_holds_nothing_up(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    at_once = services.database.settings.model_copy(update={"inbox_settle_seconds": 0.0})
    services.database.settings = at_once
    stuck = services.database.settings.inbox_folder / "maple"
    stuck.mkdir(parents=True)
    (stuck / "mapping.yaml").write_text("no mapping", encoding="utf-8")
    (stuck / "orders.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    land(services, tmp_path, 1)
    request = tick("shop", services, instance)
    assert isinstance(request, dg.RunRequest)
    assert execute(request, services, instance)
    key = dg.AssetCheckKey(dg.AssetKey("raw_orders"), "all_inputs_ingested")
    record = instance.get_latest_asset_check_evaluation_record(key)
    assert record is not None
    assert record.status.value == "FAILED"
    with services.database.transaction() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM orders")).scalar_one() == 1


def test_a_run_on_its_way_is_not_asked_for_twice(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    land(services, tmp_path, 1)
    request = tick("shop", services, instance)
    assert isinstance(request, dg.RunRequest)
    job = build_defs().resolve_job_def("etl_pipeline")
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset(request.asset_selection or ())
    )
    assert run.run_id in str(tick("shop", services, instance))
    run_asset("shop", services)
    assert run.run_id in str(tick("orders", services, instance))


def test_a_failed_run_is_asked_for_again_after_longer_and_longer_and_not_for_ever(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(services, tmp_path, 1)
    keys = set()
    clock = 0.0
    monkeypatch.setattr("etl_assets.orchestration.run_requests.time.time", lambda: clock)
    for wait in (30, 60, 120, 240, 480, 960, 1920, None):
        request = tick("shop", services, instance)
        assert isinstance(request, dg.RunRequest)
        keys.add(request.run_key)
        run = fail(request, instance)
        ended = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))[0].end_time or 0.0
        if wait is not None:
            clock = ended + wait - 1
            assert "the next is due in 1 s" in str(tick("shop", services, instance))
            clock = ended + wait
    assert len(keys) == 8
    clock += 1e6
    assert "correct the cause" in str(tick("shop", services, instance))
    land(services, tmp_path, 2)
    assert isinstance(tick("shop", services, instance), dg.RunRequest)


def test_a_failed_blocking_check_upstream_holds_the_asset_back_until_it_is_corrected(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    land(services, tmp_path, 1)
    run_asset("shop", services)
    with services.database.transaction() as connection:
        connection.execute(sa.text("UPDATE etl_batches SET inserted = inserted + 1 WHERE asset = 'shop'"))
    assert "shop:row_count_equation" in str(tick("orders", services, instance))
    with services.database.transaction() as connection:
        connection.execute(sa.text("UPDATE etl_batches SET inserted = inserted - 1 WHERE asset = 'shop'"))
    assert "orders" in requested(tick("orders", services, instance))


@pytest.mark.parametrize("change", [{"event_version": "2.0"}, {"import_ids": None}])
def test_a_payload_that_does_not_fit_is_refused_once_recorded_and_blocks_nothing(
    services: Services,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    change: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    payload = EventPayload(
        event=SUBJECT_OF["raw_orders"],
        batch_id=1,
        import_ids=(),
        status="success",
        success_count=1,
        error_count=0,
        duration=0.1,
    ).model_copy(update=change)
    with services.database.transaction() as connection:
        publish(connection, payload)
    assert "Nothing is pending" in str(tick("shop", services, instance))
    assert "refused an event" in caplog.text
    land(services, tmp_path, 1)
    assert isinstance(tick("shop", services, instance), dg.RunRequest)
    tick("shop", services, instance)
    with services.database.transaction() as connection:
        refused = connection.execute(sa.text("SELECT listener, subject, reason FROM refused_events")).all()
    assert [row[:2] for row in refused] == [("shop_on_data_import_completed", "DATA_IMPORT_COMPLETED")]


def test_the_schedule_finds_what_no_event_announced(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    land(services, tmp_path, 1)
    for asset in ("shop", "orders", "order_items"):
        run_asset(asset, services)
    defs = build_defs()
    context = dg.build_schedule_context(
        instance=instance, resources={"database": services.database}, repository_def=defs.get_repository_def()
    )
    data = defs.resolve_schedule_def("run_pending_work").evaluate_tick(context)
    assert data.run_requests is not None
    fed = {*DOWNSTREAM["orders"], *DOWNSTREAM["order_items"]} - {"order_items"}
    assert {request.tags[ASSET_TAG] for request in data.run_requests} == fed


def test_every_sensor_of_an_event_is_made_through_the_handler() -> None:
    names = {f"{asset}_on_{subject.lower()}" for asset, subject in TRIGGER_EVENT.items()}
    assert names <= {sensor.name for sensor in build_defs().sensors or ()}
    package = Path(__file__).parents[1] / "etl_assets"
    checking = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "event_version" in path.read_text(encoding="utf-8")
    ]
    assert sorted(checking) == ["events/handler.py", "events/payload.py"]


def test_events_of_a_transaction_that_commits_late_are_heard(services: Services) -> None:
    heard: list[int] = []

    def event(number: int) -> EventPayload:
        return EventPayload(
            event="X",
            batch_id=number,
            import_ids=(),
            status="success",
            success_count=0,
            error_count=0,
            duration=0.0,
        )

    def hear() -> list[int]:
        heard.clear()
        consume_events(services.database, "me", "X", lambda payload: heard.append(payload["batch_id"]))
        return list(heard)

    with services.database.transaction() as late:
        publish(late, event(1))
        with services.database.transaction() as connection:
            publish(connection, event(2))
        early = hear()
    assert sorted([*early, *hear()]) == [1, 2]
    assert hear() == []
    with services.database.transaction() as connection:
        assert read_backlog(connection, "shop").newest is None


def test_the_wait_for_the_next_run_does_not_grow_by_dagsters_own_retries(
    services: Services, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(services, tmp_path, 1)
    request = tick("shop", services, instance)
    assert isinstance(request, dg.RunRequest)
    parent = None
    for _ in range(3):
        run = fail(request, instance, parent)
        parent = parent or run.run_id
    end = instance.get_run_records(limit=1)[0].end_time or 0.0
    monkeypatch.setattr("etl_assets.orchestration.run_requests.time.time", lambda: end + FIRST_WAIT_SECONDS - 1)
    assert "run 1 for it failed" in str(tick("shop", services, instance))
    monkeypatch.setattr("etl_assets.orchestration.run_requests.time.time", lambda: end + FIRST_WAIT_SECONDS + 1)
    assert isinstance(tick("shop", services, instance), dg.RunRequest)
