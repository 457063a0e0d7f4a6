"""Counts of the findings of imports by code: of the imports that a run processed, or of the last days.

Those of reverted imports are not counted.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from etl_assets.raw_orders.findings import FINDINGS

_COUNTS: Final = """
    SELECT f.code, count(DISTINCT f.import_id) AS imports, CAST(sum(f.row_count) AS bigint) AS rows
    FROM {findings} f JOIN import_tasks t USING (import_id)
    WHERE f.import_id IN ({imports}) AND t.status <> 'reverted' GROUP BY f.code ORDER BY f.code
"""
_OF_RUN: Final = sa.text(
    _COUNTS.format(findings=FINDINGS, imports="SELECT unnest(import_ids) FROM etl_batches WHERE run_id = :run_id")
)
_OF_LAST_DAYS: Final = sa.text(
    _COUNTS.format(
        findings=FINDINGS,
        imports="SELECT import_id FROM import_tasks WHERE created_at > now() - make_interval(days => :days)",
    )
)


def count_findings_of_run(connection: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """Count the findings of the imports that a run landed or processed: `code`, `imports`, `rows`."""
    return [dict(row) for row in connection.execute(_OF_RUN, {"run_id": run_id}).mappings()]


def count_findings_of_last_days(connection: sa.Connection, days: int) -> list[dict[str, Any]]:
    """Count the findings of the imports of the last days: `code`, `imports`, `rows`."""
    return [dict(row) for row in connection.execute(_OF_LAST_DAYS, {"days": days}).mappings()]
