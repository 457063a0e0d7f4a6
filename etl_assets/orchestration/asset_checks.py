"""Dagster asset checks, made from the declarations in `etl_assets.quality.checks`; no rule is here.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import dagster as dg

from etl_assets.database.database import Database
from etl_assets.quality.checks import CHECKS, Check, CheckOutcome, run_check


def _spec(check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=check.name, asset=check.asset, description=check.description, blocking=check.is_blocking
    )


def _result(check: Check, outcome: CheckOutcome) -> dg.AssetCheckResult:
    is_warning = check.severity == "warn"
    records = [
        dg.TableRecord({name: "" if value is None else str(value) for name, value in row.items()})
        for row in outcome.violations
    ]
    metadata = {"violations": dg.MetadataValue.table(records)} if records else {}
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=check.asset,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
        metadata={"violation_count": len(records), **metadata},
    )


def build_checks(asset: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """All checks of one asset as one step, so that they cost one start."""

    @dg.multi_asset_check(name=f"{asset}_checks", specs=[_spec(check) for check in checks])
    def check_asset(database: dg.ResourceParam[Database]) -> Iterator[dg.AssetCheckResult]:
        for check in checks:
            yield _result(check, run_check(database, check))

    return check_asset


ALL_CHECKS: Final = tuple(
    build_checks(asset, list(checks))
    for asset, checks in groupby(sorted(CHECKS, key=lambda check: check.asset), key=lambda check: check.asset)
)
