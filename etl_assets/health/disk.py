"""Free space of the disk that holds ETL_HOME: the embedded database, the inbox and Dagster's records."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.health.records import Severity

LEAST_FREE_BYTES: Final = 1 << 30
"""With less, a load may fail at any time."""
FEW_FREE_BYTES: Final = 5 << 30


def free_bytes(home: Path) -> int:
    """Return the free space at `home`, or where it would be made."""
    folder = home.resolve()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(existing).free


def severity_of(free: int) -> Severity | None:
    """Return how bad it is to have so little space left; None where it is enough."""
    return "error" if free < LEAST_FREE_BYTES else "warn" if free < FEW_FREE_BYTES else None


def gibibytes(number: int) -> str:
    """Write a number of bytes as GiB."""
    return f"{number / (1 << 30):,.1f} GiB"
