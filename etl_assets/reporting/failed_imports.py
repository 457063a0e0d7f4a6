"""Imports that failed and were not corrected since, for reports.

An import is corrected once a later one of the same path, perhaps with another suffix, is completed: an .xlsx file that
could not be read may come again as .csv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITHOUT_SUFFIX: Final = r"regexp_replace({table}.source, '\.[^./]*$', '')"
_FAILED: Final = f"""
    SELECT f.import_id, f.created_at, f.source, f.error, count(*) OVER () AS total FROM import_tasks f
    WHERE f.status = 'failed' AND f.created_at > now() - make_interval(days => :days)
      AND NOT EXISTS (
          SELECT FROM import_tasks c WHERE c.status = 'completed' AND c.created_at > f.created_at
          AND c.created_at > now() - make_interval(days => :days)
          AND {_WITHOUT_SUFFIX.format(table="c")} = {_WITHOUT_SUFFIX.format(table="f")}
      )
    ORDER BY f.created_at DESC, f.import_id LIMIT :shown
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class FailedImports:
    """Failed imports of the last days that were not corrected since."""

    total: int
    shown: Sequence[dict[str, Any]]
    """The last ones: `import_id`, `created_at`, `source`, `error`."""


def read_failed_imports(connection: sa.Connection, *, days: int, shown: int) -> FailedImports:
    """Read the failed imports of so many days; of their details, those of the last `shown`."""
    rows = [dict(row) for row in connection.execute(sa.text(_FAILED), {"days": days, "shown": shown}).mappings()]
    total = rows[0]["total"] if rows else 0
    return FailedImports(total, [{name: value for name, value in row.items() if name != "total"} for row in rows])
