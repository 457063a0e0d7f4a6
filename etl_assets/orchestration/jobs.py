"""The jobs that can be launched from the UI or a command."""

from __future__ import annotations

from typing import Final

import dagster as dg

from etl_assets.quality.checks import CHECKS

PIPELINE_JOB: Final = "etl_pipeline"
WHOLE_TABLES_JOB: Final = "check_whole_tables"

health_job: Final = dg.define_asset_job(
    "pipeline_health_report",
    selection=dg.AssetSelection.assets("pipeline_health"),
    description="Sum up how the pipeline is, without running it.",
)

pipeline_job: Final = dg.define_asset_job(
    PIPELINE_JOB,
    selection=dg.AssetSelection.all(),
    description="Consume everything that is pending, from raw orders to leads, and run all checks.",
)

whole_tables_job: Final = dg.define_asset_job(
    WHOLE_TABLES_JOB,
    selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey(one.asset), one.name) for one in CHECKS)),
    description="Run all checks against whole tables; the runs of the pipeline look at what they have changed.",
)
