"""Dagster definitions: everything that Dagster loads, assembled in one place.

`build_defs` builds them with other resources for tests and commands; nothing needs to be patched. Nothing is defined
here: see `orchestration`. Concept:
https://docs.dagster.io/deployment/code-locations/managing-code-locations-with-definitions.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from etl_assets.orchestration.alert_sensors import ALERT_SENSORS
from etl_assets.orchestration.asset_checks import ALL_CHECKS
from etl_assets.orchestration.assets import ALL_ASSETS
from etl_assets.orchestration.jobs import full_refresh_job, pipeline_job, whole_tables_job
from etl_assets.orchestration.metadata import with_settings
from etl_assets.orchestration.order_type_jobs import ORDER_TYPE_JOBS
from etl_assets.orchestration.quarantine_jobs import QUARANTINE_JOBS
from etl_assets.orchestration.resources import default_resources
from etl_assets.orchestration.revert_jobs import REVERT_JOBS
from etl_assets.orchestration.sensors import build_schedules, build_sensors
from etl_assets.settings import Settings


def build_defs(*, resources: dict[str, Any] | None = None) -> dg.Definitions:
    """Build the definitions, with `resources` in place of the default ones of the same key."""
    settings = Settings()
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: with_settings(spec, settings), ALL_ASSETS),
        asset_checks=ALL_CHECKS,
        jobs=[pipeline_job, full_refresh_job, whole_tables_job, *QUARANTINE_JOBS, *ORDER_TYPE_JOBS, *REVERT_JOBS],
        sensors=[*build_sensors(settings.sensor_interval_seconds), *ALERT_SENSORS],
        schedules=build_schedules(settings),
        resources=default_resources() | (resources or {}),
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions that `dg` and `workspace.yaml` load."""
    return build_defs()
