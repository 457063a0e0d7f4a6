"""Sensors and schedules: one sensor for each asset and the event that triggers it, and those that ingest data.

See https://docs.dagster.io/guides/automate/sensors and https://docs.dagster.io/guides/automate/schedules.

Here: when Dagster looks, and which job it runs. Not here: whether a run is due (`run_requests`), which event triggers
which asset (the asset graph), alerts (`alert_sensors`). A run takes its asset and everything downstream, so that an
import is one run; the sensors of the downstream assets find nothing pending then, and request runs for the work that a
run stopped halfway has left. Why there is a sensor for each asset: docs/decisions.md, "Event sensors".

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import dataclasses
import datetime as dt
import hashlib
import time
from typing import Final

import dagster as dg

from etl_assets.asset_graph import TRIGGER_EVENT, AssetName
from etl_assets.database.database import Database
from etl_assets.events.consumer import consume_events
from etl_assets.events.handler import Payload, event_task_handler
from etl_assets.events.listener import listening
from etl_assets.events.subjects import EVENT_VERSION
from etl_assets.inbox.ready_files import find_ready_files
from etl_assets.orchestration.health import newest_finished_run, report_health, wrote_health
from etl_assets.orchestration.jobs import health_job, pipeline_job, whole_tables_job
from etl_assets.orchestration.orphaned_runs import fail_orphaned_runs
from etl_assets.orchestration.run_requests import RunRequester, request_pending_runs
from etl_assets.orchestration.waiting import Outcome, look_repeatedly
from etl_assets.settings import Settings
from etl_assets.sources.bookmarks import progress_of_all
from etl_assets.sources.config import load_sources
from etl_assets.sources.pull import due_reconciles, due_sources

FIRST_ASSET: Final = "shop"
"""The asset that every import wakes, with everything downstream: its sensor waits for imports."""
INBOX_LOOK_SECONDS: Final = 0.5
REQUIRED_FIELDS: Final = ("event", "import_ids", "status", "success_count", "error_count", "duration")


def build_event_sensor(asset: AssetName, interval_seconds: int) -> dg.SensorDefinition:
    """Build the sensor that requests a run of `asset` when the event that triggers it has brought work."""
    subject = TRIGGER_EVENT[asset]
    name = f"{asset}_on_{subject.lower()}"

    @event_task_handler(supported_version=EVENT_VERSION, required_fields=REQUIRED_FIELDS, task_name=name)
    def check_event(payload: Payload) -> None:
        """Accept any valid event: it only wakes the sensor, the queue holds the work."""

    @dg.sensor(
        name=name,
        job=pipeline_job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs {asset} and everything downstream when {subject} has brought it work.",
        tags={"etl_assets/subject": subject},
    )
    def sensor(
        context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
    ) -> dg.RunRequest | dg.SkipReason:
        def look() -> Outcome:
            consumed = consume_events(database, name, subject, check_event)
            if consumed.refused:
                context.log.error("%d events were refused: see the table refused_events.", consumed.refused)
            return _requester(context, database).request(asset)

        seconds = database.settings.sensor_wait_seconds
        if asset != FIRST_ASSET or not seconds:
            return look()
        with listening(database) as wait:
            return look_repeatedly(look, wait, seconds=seconds)

    return sensor


def build_inbox_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """Build the sensor that requests a run of the pipeline when complete files are in the inbox."""

    @dg.sensor(
        name="inbox",
        job=pipeline_job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Imports complete files of the folder ETL_INBOX and runs the pipeline.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
    ) -> dg.RunRequest | dg.SkipReason:
        settings = database.settings

        def look() -> Outcome:
            files = find_ready_files(settings.inbox_folder, settle_seconds=settings.inbox_settle_seconds)
            if not files:
                return dg.SkipReason("No complete file is in the inbox.")
            found = [(path.name, path.lstat().st_size, path.lstat().st_mtime_ns) for path in files]
            reason = f"{len(files)} files are in the inbox"
            names = [path.name for path in files]
            return _requester(context, database).request_for("raw_orders", _fingerprint(found), reason, names)

        def wait(seconds: float) -> None:
            time.sleep(min(seconds, INBOX_LOOK_SECONDS))

        return look_repeatedly(look, wait, seconds=settings.sensor_wait_seconds)

    return sensor


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports runs as failed whose process is gone, so that their work is requested again.",
)
def reap_orphaned_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Report orphaned runs as failed; alerts and the next run requests follow from that."""
    return dg.SkipReason(f"{fail_orphaned_runs(context.instance)} orphaned runs were reported as failed.")


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes pipeline_health when a run has ended without reaching it.",
)
def report_health_of_runs(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]) -> dg.SkipReason:
    """Write health after runs that failed or were cancelled, and after those of other jobs."""
    newest = newest_finished_run(context.instance)
    if newest is None or newest == context.cursor:
        return dg.SkipReason("No other run has ended.")
    context.update_cursor(newest)
    if wrote_health(context.instance, newest):
        return dg.SkipReason("The last run has written it.")
    return dg.SkipReason(report_health(database, context.instance))


@dg.schedule(
    cron_schedule="*/5 * * * *",
    job=pipeline_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs all pending work, announced by an event or not, also work that the sensors have given up.",
)
def run_pending_work(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Database]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request runs for every asset with pending work."""
    requester = dataclasses.replace(_requester(context, database), max_attempts=None)
    return request_pending_runs(requester, TRIGGER_EVENT) or dg.SkipReason(
        "No work is pending that no run in progress processes."
    )


@dg.schedule(
    name="sources",
    cron_schedule="* * * * *",
    job=pipeline_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reads the sources of sources.yaml that are due; new rows wake the pipeline.",
)
def pull_due_sources(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Database]
) -> dg.RunRequest | dg.SkipReason:
    """Request a pull of the sources that are due."""
    configured = load_sources(database.settings)
    now = dt.datetime.now(dt.UTC)
    pulled, reconciled = due_sources(database, configured, now), due_reconciles(database, configured, now)
    names = sorted({*pulled, *reconciled})
    if not names:
        return dg.SkipReason("No source is due.")
    progress = progress_of_all(database)
    return _requester(context, database).request_for(
        "raw_orders",
        _fingerprint([(name, progress.get(name)) for name in names]),
        f"{', '.join(names)} are due",
        names,
        only=True,
        run_config={"ops": {"raw_orders": {"config": {"pull": pulled, "reconcile": reconciled}}}},
    )


def _fingerprint(work: object) -> str:
    return hashlib.sha256(repr(work).encode()).hexdigest()[:16]


def _requester(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, database: Database) -> RunRequester:
    assert context.repository_def is not None  # noqa: S101  # Dagster gives it to sensors of a code location
    return RunRequester(database, context.instance, context.repository_def.asset_graph)


def build_sensors(interval_seconds: int) -> list[dg.SensorDefinition]:
    """Build all sensors; those of events evaluate every `interval_seconds`."""
    return [
        *(build_event_sensor(asset, interval_seconds) for asset in TRIGGER_EVENT),
        build_inbox_sensor(interval_seconds),
        reap_orphaned_runs,
        report_health_of_runs,
    ]


health_report: Final = dg.ScheduleDefinition(
    name="health_report",
    cron_schedule="0 * * * *",
    job=health_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Materialises pipeline_health every hour: a run that fails does not reach it.",
)

whole_tables: Final = dg.ScheduleDefinition(
    name="check_whole_tables_daily",
    cron_schedule="30 3 * * *",
    job=whole_tables_job,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks whole tables once a day: other programs may have changed rows that no run touched.",
)


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Build all schedules; `sources` only where ETL_SOURCES is set, as each of its ticks is kept."""
    pulls = [pull_due_sources] if settings.sources is not None else []
    return [run_pending_work, *pulls, health_report, whole_tables]
