"""Dagster assets of the asset graph: each calls its step and reports counts (https://docs.dagster.io/guides/build/assets).

Here: how Dagster materialises an asset. Not here: facts about assets (`asset_graph`), steps (`run.registry` and the
folder of each asset), metadata (`orchestration.metadata`), and `pipeline_health` (`orchestration.health`).

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

from collections.abc import Sequence
from typing import Final

import dagster as dg
from pydantic import Field

from etl_assets.asset_graph import SPECS, STEP_ASSETS, AssetName
from etl_assets.batch_processor import BatchProcessor
from etl_assets.database.database import Database
from etl_assets.orchestration.charts import chart_metadata
from etl_assets.orchestration.check_specs import (
    ALL_INPUTS_INGESTED,
    IMPORTS_ARE_READABLE,
    IMPORTS_PASS_THE_BRAKE,
    INPUTS_LEFT,
    RUN_CHECKS,
)
from etl_assets.orchestration.failures import reported_errors
from etl_assets.orchestration.health import pipeline_health
from etl_assets.orchestration.metadata import (
    INPUTS,
    OWNERS,
    findings_table,
    result_metadata,
    sample_rows,
    table_metadata,
)
from etl_assets.orchestration.run_tags import priority_tags
from etl_assets.orders.import_outcomes import ImportOutcome, quarantined_imports_of_run
from etl_assets.pipeline.protocol import Services, StepResult
from etl_assets.raw_orders.load import count_imports, fail_interrupted_imports
from etl_assets.reporting.failed_imports import FailedImports, read_failed_imports
from etl_assets.reporting.held import HeldImport, read_held_imports_of_run
from etl_assets.run.landing import Landed, ingest_pending_inputs
from etl_assets.run.registry import run_asset
from etl_assets.vectorized_queries import VectorizedQueries

GROUP: Final = "order_to_lead"
RULES_VERSION: Final = "1"
"""Code version of all assets: raise it when a rule changes stored rows; the UI then marks assets out of date."""


MESSAGES_SHOWN: Final = 20


class EtlConfig(dg.Config):
    """Run configuration of an asset."""

    full_refresh: bool = False
    """Process everything again instead of what is pending, after a rule or a mapping changed."""


class LandingConfig(dg.Config):
    """Run configuration of `raw_orders`: sources to read besides the inbox."""

    pull: list[str] = Field(default_factory=list)
    """Sources of sources.yaml of which to land what changed."""
    reconcile: list[str] = Field(default_factory=list)
    """Sources to read as a whole, to land what pulls should have brought."""


@dg.asset(
    name="raw_orders",
    group_name=GROUP,
    kinds={"postgres"},
    owners=OWNERS,
    tags={"layer": SPECS["raw_orders"].layer},
    code_version=RULES_VERSION,
    metadata=table_metadata("raw_orders"),
    pool="raw_orders",
    check_specs=[ALL_INPUTS_INGESTED],
    description=SPECS["raw_orders"].description,
)
def raw_orders(
    context: dg.AssetExecutionContext, config: LandingConfig, database: dg.ResourceParam[Database]
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster takes the generic form for several outputs
    """Ingest pending inputs; mark imports failed whose process is gone; report the imports that have landed."""
    interrupted = fail_interrupted_imports(database)
    with reported_errors("raw_orders"):
        landed = ingest_pending_inputs(
            database, run_id=context.run.run_id, pulled=config.pull, reconciled=config.reconcile
        )
    imports = count_imports(database)
    with database.transaction() as connection:
        refused = read_failed_imports(connection, shown=MESSAGES_SHOWN)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": imports["rows"],
            "dagster/table_name": f"{database.schema}.raw_orders",
            "imports_completed": imports["completed"],
            "imports_failed": imports["failed"],
            "imports_interrupted": interrupted,
            "files_taken_in": len(landed.inbox.imports),
            "files_failed": len(landed.inbox.refused),
            "files_waiting": len(landed.inbox.waiting),
            "rows_pulled": landed.pulled_rows,
            INPUTS: dg.MetadataValue.json(landed.as_dict()),
            **findings_table(database),
            **sample_rows(database, "raw_orders"),
        },
        check_results=[_check_inputs(landed, refused)],
    )


def _check_inputs(landed: Landed, refused: FailedImports) -> dg.AssetCheckResult:
    """Name what the run could not take in, and the files that were refused earlier and still need somebody."""
    errors = [one["error"] for one in refused.shown]
    earlier = [f"Refused earlier: {error}" for error in errors if error not in landed.problems]
    problems = landed.problems + earlier
    return dg.AssetCheckResult(
        check_name=ALL_INPUTS_INGESTED.name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR if landed.problems or not problems else dg.AssetCheckSeverity.WARN,
        metadata={
            "refused_imports": refused.total,
            INPUTS_LEFT: dg.MetadataValue.json([one for one in landed.problems if one not in errors][:MESSAGES_SHOWN]),
            "problems": "\n".join(problems[:MESSAGES_SHOWN]) or "none",
        },
    )


def build_asset(asset: AssetName) -> dg.AssetsDefinition:
    """Build the Dagster asset that runs the step of `asset`."""
    spec = SPECS[asset]

    @dg.asset(
        name=asset,
        deps=list(spec.deps),
        group_name=GROUP,
        kinds={"postgres", "polars"},
        owners=OWNERS,
        description=spec.description,
        tags={"layer": spec.layer},
        code_version=RULES_VERSION,
        metadata=table_metadata(asset),
        pool=asset,
        op_tags=priority_tags(asset),
        check_specs=[spec for spec in RUN_CHECKS if spec.asset_key == dg.AssetKey(asset)],
    )
    def materialize_asset(
        context: dg.AssetExecutionContext,
        config: EtlConfig,
        database: dg.ResourceParam[Database],
        batch_processor: dg.ResourceParam[BatchProcessor],
        vectorized_queries: dg.ResourceParam[VectorizedQueries],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # as for raw_orders
        services = Services(database, batch_processor, vectorized_queries)
        with reported_errors(asset):
            result = run_asset(asset, services, run_id=context.run.run_id, full_refresh=config.full_refresh)
        context.log.info("%s: %s", asset, result.as_dict())
        charts = chart_metadata(database, asset, context.log)
        figures = result_metadata(database, asset, context.run.run_id, result)
        rows = sample_rows(database, spec.table)
        # The rows of leads are what users look for there.
        metadata = rows | charts | figures if asset == "leads" else charts | figures | rows
        if asset != "orders":
            return dg.MaterializeResult(metadata=metadata)
        held = _held_imports(database, context.run.run_id, result)
        if held:
            metadata["held_imports"] = "\n".join(one.message for one in held[:MESSAGES_SHOWN])
        checks = [_check_imports(database, context.run.run_id, result), _check_brake(held)]
        return dg.MaterializeResult(metadata=metadata, check_results=checks)

    return materialize_asset


def _held_imports(database: Database, run_id: str, result: StepResult) -> list[HeldImport]:
    """Return the imports that the run has held, without a query where there are none."""
    if not result.held_batches:
        return []
    with database.transaction() as connection:
        return read_held_imports_of_run(connection, run_id)


def _check_brake(held: Sequence[HeldImport]) -> dg.AssetCheckResult:
    """Name the imports that the run has held."""
    return dg.AssetCheckResult(
        check_name=IMPORTS_PASS_THE_BRAKE.name,
        passed=not held,
        metadata={
            "held_imports": len(held),
            "problems": "\n".join(one.message for one in held[:MESSAGES_SHOWN]) or "none",
        },
    )


def _check_imports(database: Database, run_id: str, result: StepResult) -> dg.AssetCheckResult:
    """Name the imports of the run with orders that could not be read; fail where none of an import could be."""
    found: list[ImportOutcome] = []
    if result.counts.quarantined:
        with database.transaction() as connection:
            found = quarantined_imports_of_run(connection, run_id)
    return dg.AssetCheckResult(
        check_name=IMPORTS_ARE_READABLE.name,
        passed=not any(one.is_unreadable for one in found),
        metadata={
            "imports_with_unreadable_orders": len(found),
            "problems": "\n".join(one.message for one in found[:MESSAGES_SHOWN]) or "none",
        },
    )


ALL_ASSETS: Final = (raw_orders, *(build_asset(asset) for asset in STEP_ASSETS), pipeline_health)
