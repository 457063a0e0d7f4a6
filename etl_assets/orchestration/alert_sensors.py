"""Sensors that send alerts about failed runs, failed checks, held imports, and facts of imports and rows.

Only the reading of records belongs here; alerts, channels and the history of checks are in `etl_assets/alerts`. See https://docs.dagster.io/guides/automate/sensors.

Delivery is at least once: the cursor moves when a channel took the alert, and stays where none did. Therefore these are
plain sensors: Dagster's run-failure sensor goes on to the next run where sending fails, and Dagster has none for checks
(docs/decisions.md, "Alerts by plain sensors").

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as COMPLETED,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
from pydantic import TypeAdapter

from etl_assets.alerts.alert import Alert
from etl_assets.alerts.check_history import CheckHistory, Evaluation
from etl_assets.alerts.facts import Fact, FactKind, alert_of, compare_facts, due_facts
from etl_assets.alerts.notifier import Notifier, configured_channels
from etl_assets.alerts.told import forget_gone, read_facts, read_told, record_told
from etl_assets.database.database import Database
from etl_assets.orchestration.check_specs import ALL_INPUTS_INGESTED, IMPORTS_PASS_THE_BRAKE
from etl_assets.orchestration.health import HEALTH_ASSET
from etl_assets.orchestration.health_records import read_check_results
from etl_assets.reporting.held import HeldImport, read_held_imports, read_once_held
from etl_assets.settings import Settings

INTERVAL_SECONDS: Final = 30
RUNS_PER_TICK: Final = 20
EVALUATIONS_PER_CHECK: Final = 50
MESSAGES_PER_RUN: Final = 5
WILL_RETRY_TAG: Final = "dagster/will_retry"
RETRIED_AS_TAG: Final = "dagster/auto_retry_run_id"
RETRY_WAIT_SECONDS: Final = 120.0
"""Time for an announced retry to appear as a run; Dagster makes none of a run whose job is gone."""
_HELD_CURSOR: Final = TypeAdapter(set[UUID])
"""Imports that users know to be held, or to have been; accepted ones are forgotten, as they are never held again."""

TOLD_OTHERWISE: Final = frozenset(
    {
        IMPORTS_PASS_THE_BRAKE.key,
        ALL_INPUTS_INGESTED.key,
        dg.AssetCheckKey(HEALTH_ASSET, "checks_and_runs_pass"),
        dg.AssetCheckKey(HEALTH_ASSET, "imports_are_settled"),
    }
)
"""Checks that sum up facts of which there are alerts of their own."""

PendingAlerts = Iterator[tuple[str, Alert | None]]
"""For each record that a tick reads: the cursor after it, and the alert that is due, if any."""


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Sends an alert for each run that failed and is not retried.",
)
def notify_failed_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Watch runs of every origin: of sensors, of the UI, and of `etl-assets run`."""
    if context.cursor is None:
        newest = context.instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
        context.update_cursor(str(newest[0].storage_id if newest else 0))
        return dg.SkipReason("Started: watches runs that fail from now on.")
    settings = Settings()
    return _send_pending(context, settings, _failed_runs(context.instance, int(context.cursor), settings.public_url))


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Sends an alert when a check of severity ERROR begins to fail, and daily while it fails.",
)
def notify_failed_checks(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Watch the checks of this code location."""
    if context.cursor is None:
        context.update_cursor(CheckHistory(since=time.time()).model_dump_json())
        return dg.SkipReason("Started: watches checks that fail from now on.")
    if context.repository_def is None:
        msg = "The sensor was evaluated without its definitions."
        raise dg.DagsterInvariantViolationError(msg)
    keys = sorted(context.repository_def.asset_graph.asset_check_keys - TOLD_OTHERWISE)
    history = CheckHistory.model_validate_json(context.cursor)
    settings = Settings()
    return _send_pending(context, settings, _failed_checks(context.instance, keys, history, settings.public_url))


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Sends an alert for each import that the brake holds.",
)
def notify_held_imports(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]) -> dg.SkipReason:
    """Watch the imports, in place of the check of a run that holds some.

    Hazard: that check may fail in each of two runs for other imports, and is not evaluated if the run is killed
    (docs/decisions.md, "Repeated alerts").
    """
    with database.transaction() as connection:
        held, once_held = read_held_imports(connection), read_once_held(connection)
    if context.cursor is None:
        context.update_cursor(_HELD_CURSOR.dump_json(once_held).decode())
        return dg.SkipReason("Started: watches imports that are held from now on.")
    known = _HELD_CURSOR.validate_json(context.cursor) & once_held
    return _send_pending(context, database.settings, _new_held(held, known, database.settings))


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Sends alerts about refused files, inputs left, changed columns, unknown statuses, and new bad rows.",
)
def notify_facts(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]) -> dg.SkipReason:
    """Watch the tables; each fact is told once, by the table `told_facts`, and bad rows in a digest."""
    results = read_check_results(context.instance, [ALL_INPUTS_INGESTED.key])
    left = [problem for result in results if result.problems for problem in result.problems.splitlines()]
    told, digest_at = read_told(database)
    news = compare_facts(read_facts(database, left), told)
    forget_gone(database, news)
    if context.cursor is None:
        record_told(database, news.new)
        context.update_cursor("started")
        return dg.SkipReason("Started: watches facts from now on.")
    due = due_facts(news, database.settings, digest_at=digest_at, now=datetime.now(UTC))
    return _send_pending(context, database.settings, _new_facts(database, due))


def _new_facts(database: Database, due: list[tuple[FactKind, list[Fact]]]) -> PendingAlerts:
    """Return an alert for each kind of new facts; what was sent is recorded when the next one is asked for."""
    for kind, facts in due:
        yield "started", alert_of(kind, facts, database.settings)
        record_told(database, facts)


def _send_pending(context: dg.SensorEvaluationContext, settings: Settings, pending: PendingAlerts) -> dg.SkipReason:
    """Send alerts until no channel takes one. Raises `AlertError` if that was the first: the tick is retried."""
    notifier = Notifier(configured_channels(settings))
    sent, has_moved = 0, False
    for cursor, alert in pending:
        if alert is not None:
            if not notifier.send(alert):
                break
            sent += 1
        context.update_cursor(cursor)
        has_moved = True
    if not has_moved:
        notifier.raise_failures()
    problems = "".join(f" {name} failed: {problem}" for name, problem in notifier.failures.items())
    if problems:
        context.log.error("Alerts:%s", problems)
    return dg.SkipReason(f"{sent} alerts sent.{problems}")


def _new_held(held: list[HeldImport], known: set[UUID], settings: Settings) -> PendingAlerts:
    """Return an alert for each held import that is not `known`, the oldest first."""
    for one in reversed(held):
        if one.import_id in known:
            continue
        known = known | {one.import_id}
        in_dagster = _ui_link(settings.public_url, f"runs/{one.run_id}") if one.run_id else None
        alert = Alert(
            kind="import_held",
            title=f"Import {str(one.import_id)[:8]} is held",
            text=one.message,
            asset="orders",
            run_id=one.run_id,
            url=_ui_link(settings.web_url, f"imports/{one.import_id}") or in_dagster,
        )
        yield _HELD_CURSOR.dump_json(known).decode(), alert


def _failed_runs(instance: dg.DagsterInstance, after: int, public_url: str | None) -> PendingAlerts:
    records = instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=after),
        limit=RUNS_PER_TICK,
        ascending=True,
    ).records
    for record in records:
        run = instance.get_run_by_id(record.run_id)
        if run is not None and _awaits_retry(run, record):
            return
        is_retried = run is not None and RETRIED_AS_TAG in run.tags
        alert = None if run is None or is_retried else _run_alert(instance, run, record, public_url)
        yield str(record.storage_id), alert


def _awaits_retry(run: dg.DagsterRun, record: dg.EventLogRecord) -> bool:
    """Return whether a retry may still appear. Dagster never retries runs of `etl-assets run`."""
    wants_retry = run.tags.get(WILL_RETRY_TAG) == "true" and run.remote_job_origin is not None
    return wants_retry and RETRIED_AS_TAG not in run.tags and time.time() - record.timestamp < RETRY_WAIT_SECONDS


def _run_alert(
    instance: dg.DagsterInstance, run: dg.DagsterRun, record: dg.EventLogRecord, public_url: str | None
) -> Alert:
    failures = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=MESSAGES_PER_RUN
    ).records
    lines = [_step_line(failure.event_log_entry.dagster_event) for failure in failures]
    return Alert(
        kind="run_failed",
        title=f"Run {run.run_id[:8]} of {run.job_name} failed",
        text="\n".join(lines) or "No step failed: the run's process was killed, or the run exceeded its time limit.",
        run_id=run.run_id,
        url=_ui_link(public_url, f"runs/{run.run_id}"),
        at=datetime.fromtimestamp(record.timestamp, UTC),
    )


def _step_line(event: dg.DagsterEvent | None) -> str:
    """Return the message of a `dg.Failure` as it is; of other errors only the kind, as their texts may quote data."""
    if event is None or event.step_key is None:
        return "A step failed."
    failure = event.step_failure_data
    own = failure.user_failure_data.description if failure.user_failure_data else None
    error = failure.error.cause or failure.error if failure.error else None
    return f"{event.step_key}: {own or (error.cls_name if error else None) or 'failed'}"


def _failed_checks(
    instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey], history: CheckHistory, public_url: str | None
) -> PendingAlerts:
    for evaluation, record in _new_evaluations(instance, keys, history):
        alert = _check_alert(record, evaluation, public_url) if history.should_notify(evaluation) else None
        history = history.after(evaluation)
        yield history.model_dump_json(), alert


def _new_evaluations(
    instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey], history: CheckHistory
) -> list[tuple[Evaluation, AssetCheckExecutionRecord]]:
    """Return the evaluations since the history, oldest first; of each check only the newest ones.

    Compared by the time of the evaluation, not by the record's id: a record is made when the run is planned.
    """
    storage = instance.event_log_storage
    found = []
    for key, latest in storage.get_latest_asset_check_execution_by_key(keys).items():
        if latest.status in COMPLETED and not history.is_new(_evaluation_of(latest)):
            continue
        records = storage.get_asset_check_execution_history(key, limit=EVALUATIONS_PER_CHECK, status=COMPLETED)
        found += [(_evaluation_of(record), record) for record in records]
    found = [pair for pair in found if history.is_new(pair[0])]
    return sorted(found, key=lambda pair: pair[0].at)


def _evaluation_of(record: AssetCheckExecutionRecord) -> Evaluation:
    evaluation = record.evaluation
    failed = evaluation is not None and not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    at = record.event.timestamp if record.event else record.create_timestamp
    return Evaluation(f"{record.key.asset_key.to_user_string()}:{record.key.name}", failed, at)


def _check_alert(record: AssetCheckExecutionRecord, evaluation: Evaluation, public_url: str | None) -> Alert:
    asset, check = record.key.asset_key.to_user_string(), record.key.name
    metadata = record.evaluation.metadata if record.evaluation else {}
    count, problems = metadata.get("violation_count"), metadata.get("problems")
    found = f"{count.value} violations found. " if count is not None else f"{problems.value} " if problems else ""
    return Alert(
        kind="check_failed",
        title=f"Check {check} of {asset} failed",
        text=f"{found}See the page of the check; it is evaluated again with each run.",
        asset=asset,
        run_id=record.run_id or None,
        url=_ui_link(public_url, f"assets/{asset}?view=checks&checkDetail={check}"),
        at=datetime.fromtimestamp(evaluation.at, UTC),
    )


def _ui_link(public_url: str | None, path: str) -> str | None:
    return f"{public_url.rstrip('/')}/{path}" if public_url else None


ALERT_SENSORS: Final = (notify_failed_runs, notify_failed_checks, notify_held_imports, notify_facts)
