"""Run assets in one Dagster run of this process, recorded in the instance, and report its result.

The caller passes the function that builds the definitions: they import this folder, so it can't import them.
See https://docs.dagster.io/guides/build/jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import dagster as dg
import sqlalchemy as sa

from etl_assets.asset_graph import STEP_ASSETS
from etl_assets.batch_processor import BatchProcessor
from etl_assets.database.database import Database
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.queue import read_pending_sources
from etl_assets.orchestration.check_specs import IMPORTS_PASS_THE_BRAKE
from etl_assets.orchestration.health import HEALTH_ASSET, SUMMARY, report_health
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.jobs import PIPELINE_JOB
from etl_assets.orchestration.metadata import INPUTS
from etl_assets.orchestration.orphaned_runs import fail_orphaned_runs, process_tag
from etl_assets.orchestration.run_tags import imports_tag
from etl_assets.orders.import_outcomes import quarantined_imports_of_run
from etl_assets.pipeline.protocol import StepResult
from etl_assets.reporting.findings import count_findings_of_run
from etl_assets.reporting.held import read_held_imports_of_run
from etl_assets.vectorized_queries import VectorizedQueries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.orders.import_outcomes import ImportOutcome
    from etl_assets.reporting.held import HeldImport
    from etl_assets.settings import Settings

CONSOLE_LOG_LEVEL: Final = "CRITICAL"
"""Dagster's own lines hold stack traces; the run's record has them all, and the report says what failed."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """Result of a run: `status` is success, partial_success (rows in quarantine) or failed."""

    run_id: str
    status: str
    assets: dict[AssetName, dict[str, Any]]
    failed_checks: tuple[str, ...]
    quarantined_imports: tuple[ImportOutcome, ...] = ()
    """Imports that the run processed, with orders that could not be read."""
    findings: tuple[dict[str, Any], ...] = ()
    """Findings of the imports that the run landed or processed, counted by code."""
    inputs: dict[str, Any] | None = None
    """Inputs ingested, refused and left, as `Landed.as_dict` has it; None where `raw_orders` was not run."""
    held_imports: tuple[HeldImport, ...] = ()
    """Imports that the run has held."""
    health: str = ""
    """Summary of the pipeline's health after the run, whatever it was about."""


class BuildDefs(Protocol):
    """Function that builds the definitions with other resources: `etl_assets.definitions.build_defs`."""

    def __call__(self, *, resources: dict[str, Any]) -> dg.Definitions:
        """Build them."""
        ...


def run_in_process(
    settings: Settings,
    build_defs: BuildDefs,
    *,
    only: Sequence[AssetName] = (),
    full_refresh: bool = False,
    on_progress: Callable[[str, int], None] | None = None,
) -> RunReport:
    """Materialise the assets in order, run their checks, and write `pipeline_health`, also where an asset fails.

    Args:
        settings: where the database and the instance are.
        build_defs: builds the definitions on the resources of this run.
        only: the assets to run; all of them where it is empty.
        full_refresh: process everything again instead of what is pending.
        on_progress: called with the asset's name and the rows of each finished batch.
    """
    database = Database(settings)
    resources: dict[str, Any] = {
        "database": dg.ResourceDefinition.hardcoded_resource(database),
        "batch_processor": dg.ResourceDefinition.hardcoded_resource(BatchProcessor(on_batch=on_progress)),
        "vectorized_queries": dg.ResourceDefinition.hardcoded_resource(VectorizedQueries(database)),
    }
    selected = [asset for asset in STEP_ASSETS if not only or asset in only]
    job = build_defs(resources=resources).resolve_job_def(PIPELINE_JOB)
    config = {
        "ops": {asset: {"config": {"full_refresh": full_refresh}} for asset in selected},
        "loggers": {"console": {"config": {"log_level": CONSOLE_LOG_LEVEL}}},
    }
    selection = [*(dg.AssetKey(asset) for asset in (selected if only else ["raw_orders", *selected])), HEALTH_ASSET]
    try:
        with database.transaction() as connection:
            sources = read_pending_sources(connection, selected)
        with open_instance(settings) as instance:
            fail_orphaned_runs(instance)
            result = job.execute_in_process(
                instance=instance,
                run_config=config,
                asset_selection=selection,
                raise_on_error=False,
                tags=process_tag() | imports_tag(sources),
            )
            health = _health_of_run(result) or report_health(database, instance)
        return _report(database, result, selected, health)
    finally:
        database.dispose()


def _report(
    database: Database, result: dg.ExecuteInProcessResult, selected: Sequence[AssetName], health: str
) -> RunReport:
    """Combine the ledger's figures of this run with Dagster's outcome of its steps."""
    errors = {
        event.step_key: event.step_failure_data.user_failure_data.description
        if event.step_failure_data.user_failure_data
        else (event.step_failure_data.error.message if event.step_failure_data.error else "failed")
        for event in result.all_events
        if event.is_step_failure
    }
    done = {event.step_key for event in result.all_events if event.is_step_success}
    ledger = _ledger(database, result.run_id)
    assets: dict[AssetName, dict[str, Any]] = {}
    for asset in selected:
        entry = ledger.get(asset, StepResult(asset)).as_dict()
        if asset in errors:
            entry |= {"status": "failed", "error": (errors[asset] or "failed").removeprefix(f"{asset}: ")}
        elif asset not in done:
            entry |= {"status": "skipped", "error": "an asset or a blocking check before it failed"}
        assets[asset] = entry
    failed_checks = tuple(
        f"{evaluation.asset_key.to_user_string()}:{evaluation.check_name}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
        and evaluation.severity == dg.AssetCheckSeverity.ERROR
        and evaluation.asset_key != HEALTH_ASSET  # it is about more than this run
    )
    partial = any(entry["status"] == "partial_success" for entry in assets.values())
    status = "failed" if not result.success or failed_checks else "partial_success" if partial else "success"
    has_quarantined = "orders" in ledger and ledger["orders"].counts.quarantined > 0
    with database.transaction() as connection:
        quarantined = quarantined_imports_of_run(connection, result.run_id) if has_quarantined else []
        findings = count_findings_of_run(connection, result.run_id)
        has_held = any(name.endswith(f":{IMPORTS_PASS_THE_BRAKE.name}") for name in failed_checks)
        held = read_held_imports_of_run(connection, result.run_id) if has_held else []
    return RunReport(
        result.run_id,
        status,
        assets,
        failed_checks,
        tuple(quarantined),
        tuple(findings),
        _inputs(result),
        tuple(held),
        health,
    )


def _health_of_run(result: dg.ExecuteInProcessResult) -> str | None:
    """Return the summary that the run has written; None where it did not reach `pipeline_health`."""
    for event in result.get_asset_materialization_events():
        if event.asset_key == HEALTH_ASSET:
            return str(event.materialization.metadata[SUMMARY].value)
    return None


def _inputs(result: dg.ExecuteInProcessResult) -> dict[str, Any] | None:
    for event in result.get_asset_materialization_events():
        if event.asset_key == dg.AssetKey("raw_orders"):
            found = event.materialization.metadata[INPUTS].value
            return found if isinstance(found, dict) else None
    return None


def _ledger(database: Database, run_id: str) -> dict[AssetName, StepResult]:
    sums = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in BatchCounts.__slots__)
    with database.transaction() as connection:
        rows = connection.execute(
            sa.text(
                f"SELECT asset, count(*) AS batches, sum(duration) AS duration, {sums}"  # noqa: S608  # our own column names
                " FROM etl_batches WHERE run_id = :run_id GROUP BY asset"
            ),
            {"run_id": run_id},
        ).mappings()
        return {
            row["asset"]: StepResult(
                row["asset"],
                BatchCounts(*(row[name] for name in BatchCounts.__slots__)),
                batches=row["batches"],
                duration=row["duration"],
            )
            for row in rows
        }
