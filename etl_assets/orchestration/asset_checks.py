"""Dagster asset checks, built from the declarations in `etl_assets.quality.checks`; no rule is here.

See https://docs.dagster.io/guides/test/asset-checks. In a run of their asset they check the rows that changed; on their
own, and in the job `check_whole_tables`, whole tables.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import dagster as dg

from etl_assets.asset_graph import AssetName
from etl_assets.database.database import Database
from etl_assets.orchestration.failures import reported_errors
from etl_assets.orchestration.jobs import WHOLE_TABLES_JOB
from etl_assets.quality.checks import CHECKS, Check
from etl_assets.quality.running import CheckOutcome, run_checks
from etl_assets.reporting.samples import shown_row
from etl_assets.settings import SampleRows


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
            "violation_count": len(records),
            "looked_at": "whole tables" if outcome.is_of_full_tables else "what changed",
            **metadata,
        },
    )


def build_checks(asset: AssetName, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """Build all checks of one asset as one step, which costs one start; checks that don't apply now give no result."""

    @dg.multi_asset_check(name=f"{asset}_checks", specs=[_spec(check) for check in checks], can_subset=True)
    def check_asset(
        context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        with reported_errors(f"{asset}: checks"):
            for check, outcome in run_checks(database, asset, whole_tables=_is_on_its_own(context.run, asset)):
                if check.name in selected:
                    yield _result(check, outcome, database.settings.sample_rows)

    return check_asset


def _is_on_its_own(run: dg.DagsterRun, asset: AssetName) -> bool:
    """Return whether checks are run without their asset."""
    if run.job_name == WHOLE_TABLES_JOB:
        return True
    if run.asset_selection:
        return dg.AssetKey(asset) not in run.asset_selection
    return run.asset_check_selection is not None


ALL_CHECKS: Final = tuple(
    build_checks(asset, list(checks))
    for asset, checks in groupby(sorted(CHECKS, key=lambda check: check.asset), key=lambda check: check.asset)
)
