"""The sensors and schedules: one for every arrow along which an event wakes an asset, and those that bring data in.

Each hears the events of its subject through `event_task_handler` and then asks `requests` whether a run is due. A run
takes the whole way from its asset on, so that an import is one run and not six; the sensors of the assets after it
find nothing to do then, and see to what such a run has left.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import dataclasses
import datetime as dt
import hashlib
from typing import Final

import dagster as dg

from etl_assets.asset_graph import TRIGGER_EVENT, AssetName
from etl_assets.database.database import Database
from etl_assets.events.consumer import consume_events
from etl_assets.events.handler import Payload, event_task_handler
from etl_assets.events.subjects import EVENT_VERSION
from etl_assets.inbox.ready_files import find_ready_files
from etl_assets.orchestration.jobs import health_job, pipeline_job, whole_tables_job
from etl_assets.orchestration.orphaned_runs import fail_orphaned_runs
from etl_assets.orchestration.run_requests import RunRequester, request_pending_runs
from etl_assets.sources.bookmarks import progress_of_all
from etl_assets.sources.config import load_sources
from etl_assets.sources.pull import due_reconciles, due_sources

REQUIRED_FIELDS: Final = ("event", "import_ids", "status", "success_count", "error_count", "duration")


def build_event_sensor(asset: AssetName, interval_seconds: int) -> dg.SensorDefinition:
    """The sensor that runs `asset` when the event that it listens to has brought it work."""
    subject = TRIGGER_EVENT[asset]
    name = f"{asset}_on_{subject.lower()}"

    @event_task_handler(supported_version=EVENT_VERSION, required_fields=REQUIRED_FIELDS, task_name=name)
    def check_event(payload: Payload) -> None:
        """Only look: what there is to do is in the ledger."""

    @dg.sensor(
        name=name,
        job=pipeline_job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs {asset} and everything after it when {subject} has brought it work.",
        tags={"etl_assets/subject": subject},
    )
    def sensor(
        context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
    ) -> dg.RunRequest | dg.SkipReason:
        consumed = consume_events(database, name, subject, check_event)
        if consumed.refused:
            context.log.error("%d events were refused: see the table refused_events.", consumed.refused)
        return _requester(context, database).request(asset)

    return sensor


def build_inbox_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The sensor that runs the pipeline when finished files lie in the inbox."""

    @dg.sensor(
        name="inbox",
        job=pipeline_job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Imports finished files of the folder ETL_INBOX and runs the pipeline.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
    ) -> dg.RunRequest | dg.SkipReason:
        settings = database.settings
        files = find_ready_files(settings.inbox_folder, settle_seconds=settings.inbox_settle_seconds)
        if not files:
            return dg.SkipReason("No finished file is in the inbox.")
        found = [(path.name, path.lstat().st_size, path.lstat().st_mtime_ns) for path in files]
        what = f"{len(files)} files are in the inbox"
        return _requester(context, database).request_for("raw_orders", _fingerprint(found), what)

    return sensor


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process was killed, so that nothing waits for them.",
)
def reap_orphaned_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Report them as failed; the run-failure notices and the next requests follow from that."""
    return dg.SkipReason(f"{fail_orphaned_runs(context.instance)} runs were lost.")


@dg.schedule(
    cron_schedule="*/5 * * * *",
    job=pipeline_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs what is pending whether or not an event has announced it, and what sensors have given up.",
)
def run_pending_work(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Database]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for every asset with pending work."""
    requester = dataclasses.replace(_requester(context, database), max_attempts=None)
    return request_pending_runs(requester, TRIGGER_EVENT) or dg.SkipReason("Nothing is pending that is not on its way.")


@dg.schedule(
    name="sources",
    cron_schedule="* * * * *",
    job=pipeline_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reads the sources of sources.yaml that are due; what they bring wakes the pipeline.",
)
def pull_due_sources(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Database]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a pull of the sources whose time has come."""
    configured = load_sources(database.settings)
    now = dt.datetime.now(dt.UTC)
    pulled, reconciled = due_sources(database, configured, now), due_reconciles(database, configured, now)
    names = sorted({*pulled, *reconciled})
    if not names:
        return dg.SkipReason("No source is due." if configured else "ETL_SOURCES names no source.")
    progress = progress_of_all(database)
    return _requester(context, database).request_for(
        "raw_orders",
        _fingerprint([(name, progress.get(name)) for name in names]),
        f"{', '.join(names)} are due",
        only=True,
        run_config={"ops": {"raw_orders": {"config": {"pull": pulled, "reconcile": reconciled}}}},
    )


def _fingerprint(work: object) -> str:
    return hashlib.sha256(repr(work).encode()).hexdigest()[:16]


def _requester(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, database: Database) -> RunRequester:
    assert context.repository_def is not None  # noqa: S101  # Dagster gives it to sensors of a code location
    return RunRequester(database, context.instance, context.repository_def.asset_graph)


def build_sensors(interval_seconds: int) -> list[dg.SensorDefinition]:
    """All sensors, the ones of events looking every `interval_seconds`."""
    return [
        *(build_event_sensor(asset, interval_seconds) for asset in TRIGGER_EVENT),
        build_inbox_sensor(interval_seconds),
        reap_orphaned_runs,
    ]


health_report: Final = dg.ScheduleDefinition(
    name="health_report",
    cron_schedule="0 * * * *",
    job=health_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Renews the page of pipeline_health every hour: a run that fails does not come as far as that.",
)

whole_tables: Final = dg.ScheduleDefinition(
    name="check_whole_tables_daily",
    cron_schedule="30 3 * * *",
    job=whole_tables_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks once a day at what no run has changed: somebody else may have.",
)

ALL_SCHEDULES: Final = (run_pending_work, pull_due_sources, health_report, whole_tables)
