"""Describe the machine and the versions of a measurement."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from etl_assets.database.data_directory import SETTINGS


def describe_machine(server_version: str) -> dict[str, str]:
    """Return the machine and the relevant versions."""
    return {
        "cores": str(psutil.cpu_count()),
        "processor": _processor(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "PostgreSQL": f"{server_version}, embedded, {', '.join(f'{k} = {v}' for k, v in SETTINGS.items())}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("polars", "connectorx", "psycopg", "SQLAlchemy")),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
