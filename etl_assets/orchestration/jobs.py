"""Jobs that can be launched from the UI or a command (https://docs.dagster.io/guides/build/jobs).

Here: selections of assets and checks. Jobs of ops for the quarantine are in `quarantine_jobs`.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

from etl_assets.quality.checks import CHECKS

PIPELINE_JOB: Final = "etl_pipeline"
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

whole_tables_job: Final = dg.define_asset_job(
    WHOLE_TABLES_JOB,
    selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey(one.asset), one.name) for one in CHECKS)),
    description="Run all checks against whole tables; runs of the pipeline check the rows that they changed.",
)
