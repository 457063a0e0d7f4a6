"""Imports that failed, and were neither imported later nor dismissed, for reports and alerts.

A failed import is mended once a later one of the same origin is completed: the same path, perhaps with another suffix
or out of the folder `failed`, or the same source. An .xlsx file that could not be read may come again as .csv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.database.schema import ORIGIN_OF_IMPORT

if TYPE_CHECKING:
    from collections.abc import Sequence

_OF_LATER: Final = ORIGIN_OF_IMPORT.replace("source", "c.source")
_OF_FAILED: Final = ORIGIN_OF_IMPORT.replace("source", "t.source")
NEEDS_USERS: Final = f"""
    t.status = 'failed' AND t.dismissed_at IS NULL AND NOT EXISTS (
        SELECT FROM import_tasks c
        WHERE {_OF_LATER} = {_OF_FAILED} AND c.status IN ('completed', 'held') AND c.created_at > t.created_at
    )
"""
"""SQL condition that an import `t` is refused, and neither mended nor dismissed."""
_FAILED: Final = sa.text(f"""
    SELECT import_id, created_at, source, error, count(*) OVER () AS total FROM (
        SELECT DISTINCT ON ({_OF_FAILED}) t.import_id, t.created_at, t.source, t.error FROM import_tasks t
        WHERE {NEEDS_USERS} ORDER BY {_OF_FAILED}, t.created_at DESC
    ) newest ORDER BY created_at DESC, import_id LIMIT :shown
""")  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class FailedImports:
    """Failed imports that need somebody, each origin once."""

    total: int
    shown: Sequence[dict[str, Any]]
    """The last ones: `import_id`, `created_at`, `source`, `error`."""


def read_failed_imports(connection: sa.Connection, *, shown: int) -> FailedImports:
    """Read the failed imports; of their details, those of the last `shown`."""
    rows = [dict(row) for row in connection.execute(_FAILED, {"shown": shown}).mappings()]
    total = rows[0].pop("total") if rows else 0
    return FailedImports(total, [{name: value for name, value in row.items() if name != "total"} for row in rows])
