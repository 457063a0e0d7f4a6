"""The Dagster instance: where runs are recorded, under ETL_HOME unless DAGSTER_HOME says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import yaml

if TYPE_CHECKING:
    from etl_assets.settings import Settings

INSTANCE_SETTINGS = {"telemetry": {"enabled": False}, "nux": {"enabled": False}}


def dagster_home(settings: Settings) -> Path:
    """The folder of the instance, made with its `dagster.yaml` where it does not exist yet."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home).resolve()
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(yaml.safe_dump(INSTANCE_SETTINGS), encoding="utf-8")
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance; the caller closes it (it is a context manager)."""
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    return dg.DagsterInstance.get()
