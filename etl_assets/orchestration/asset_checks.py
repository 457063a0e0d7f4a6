"""Dagster asset checks, built from the declarations in `etl_assets.quality.checks`; no rule is here.

See https://docs.dagster.io/guides/test/asset-checks. In a run of their asset they check the rows that changed; on their
own, and in the job `check_whole_tables`, whole tables. A check that makes sense of whole tables only has a result in
every run, too, as Dagster would count it as not passed: its last one stands while that is good and not too old
(docs/decisions.md, "Checks of whole tables").

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from etl_assets.asset_graph import AssetName
from etl_assets.database.database import Database
from etl_assets.orchestration.failures import reported_errors
from etl_assets.orchestration.jobs import WHOLE_TABLES_JOB
from etl_assets.orchestration.run_tags import priority_tags
from etl_assets.quality.checks import CHECKS, Check
from etl_assets.quality.running import CheckOutcome, run_checks
from etl_assets.reporting.samples import shown_row
from etl_assets.settings import SampleRows

STANDS_FOR_HOURS: Final = 26
"""Age until which the result of a check of whole tables stands: the job `check_whole_tables` renews it every night."""
CHECKED_AT: Final = "checked_at"


def _spec(check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=check.name, asset=check.asset, description=check.description, blocking=check.is_blocking
    )


def _result(check: Check, outcome: CheckOutcome, mode: SampleRows) -> dg.AssetCheckResult:
    is_warning = check.severity == "warn"
    records = [dg.TableRecord(shown_row(row, mode)) for row in outcome.violations]
    metadata = {"violations": dg.MetadataValue.table(records)} if records else {}
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=check.asset,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
        metadata={
            "violation_count": outcome.violation_count,
            "looked_at": "whole tables" if outcome.is_of_full_tables else "what changed",
            CHECKED_AT: dg.MetadataValue.timestamp(time.time()),
            **metadata,
        },
    )


def build_checks(asset: AssetName, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """Build all checks of one asset as one step, which costs one start."""

    @dg.multi_asset_check(
        name=f"{asset}_checks",
        specs=[_spec(check) for check in checks],
        can_subset=True,
        op_tags=priority_tags(asset),
    )
    def check_asset(
        context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        whole_tables = _is_on_its_own(context.run, asset)
        standing = {} if whole_tables else _standing_results(context.instance, checks)
        with reported_errors(f"{asset}: checks"):
            for check, outcome in run_checks(database, asset, whole_tables=whole_tables, left_out=standing):
                standing.pop(check.name, None)
                if check.name in selected:
                    yield _result(check, outcome, database.settings.sample_rows)
        for name, last in standing.items():
            if name in selected:
                yield dg.AssetCheckResult(check_name=name, asset_key=asset, passed=True, metadata=last.metadata)

    return check_asset


def _is_on_its_own(run: dg.DagsterRun, asset: AssetName) -> bool:
    """Return whether checks are run without their asset."""
    if run.job_name == WHOLE_TABLES_JOB:
        return True
    if run.asset_selection:
        return dg.AssetKey(asset) not in run.asset_selection
    return run.asset_check_selection is not None


def _standing_results(instance: dg.DagsterInstance, checks: Sequence[Check]) -> dict[str, AssetCheckEvaluation]:
    """Return the last results of checks of whole tables that are good and not too old, by the check's name."""
    oldest = time.time() - STANDS_FOR_HOURS * 3600
    found = {check.name: _last_evaluation(instance, check) for check in checks if check.full_table_only}
    return {
        name: last
        for name, last in found.items()
        if last is not None and last.passed and _checked_at(last.metadata) > oldest
    }


def _last_evaluation(instance: dg.DagsterInstance, check: Check) -> AssetCheckEvaluation | None:
    key = dg.AssetCheckKey(dg.AssetKey(check.asset), check.name)
    finished = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=finished)
    return records[0].evaluation if records else None


def _checked_at(metadata: Mapping[str, dg.MetadataValue]) -> float:
    checked_at = metadata.get(CHECKED_AT)
    return checked_at.value if isinstance(checked_at, dg.TimestampMetadataValue) else 0.0


ALL_CHECKS: Final = tuple(
    build_checks(asset, list(checks))
    for asset, checks in groupby(sorted(CHECKS, key=lambda check: check.asset), key=lambda check: check.asset)
)
