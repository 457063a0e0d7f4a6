"""Jobs that can be launched from the UI or a command (https://docs.dagster.io/guides/build/jobs).

Here: selections of assets and checks. Jobs of ops are in `quarantine_jobs`, `revert_jobs` and `order_type_jobs`.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

from etl_assets.asset_graph import STEP_ASSETS
from etl_assets.quality.checks import CHECKS

PIPELINE_JOB: Final = "etl_pipeline"
FULL_REFRESH_JOB: Final = "full_refresh"
STEP_JOBS: Final = (PIPELINE_JOB, FULL_REFRESH_JOB)
"""Jobs that run the steps of assets."""
WHOLE_TABLES_JOB: Final = "check_whole_tables"
HEALTH_JOB: Final = "pipeline_health_report"

health_job: Final = dg.define_asset_job(
    HEALTH_JOB,
    selection=dg.AssetSelection.assets("pipeline_health"),
    description="Summarise the state of the pipeline without running it.",
)

pipeline_job: Final = dg.define_asset_job(
    PIPELINE_JOB,
    selection=dg.AssetSelection.all(),
    description="Process all pending work, from raw orders to leads, and run all checks.",
)

full_refresh_job: Final = dg.define_asset_job(
    FULL_REFRESH_JOB,
    selection=dg.AssetSelection.all(),
    config={"ops": {asset: {"config": {"full_refresh": True}} for asset in STEP_ASSETS}},
    description="Process all stored rows again, after order types, settings of shops or rules have changed.",
)

whole_tables_job: Final = dg.define_asset_job(
    WHOLE_TABLES_JOB,
    selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey(one.asset), one.name) for one in CHECKS)),
    description="Run all checks against whole tables; runs of the pipeline check the rows that they changed.",
)
