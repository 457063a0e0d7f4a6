"""The jobs that can be launched from the UI or a command."""

from __future__ import annotations

from typing import Final

import dagster as dg

PIPELINE_JOB: Final = "etl_pipeline"

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
