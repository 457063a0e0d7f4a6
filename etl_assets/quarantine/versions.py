"""Versions of a bad row: the row of the file and its corrections, oldest first, with the cells that each one changed.

What became of the newest version is in `outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.presets.model import RAW_COLUMNS

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class Change(NamedTuple):
    """Change of a cell by a correction."""

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """Row of a file, or a correction of it."""

    raw_id: int
    import_id: UUID
    source: str
    line: int
    landed_at: datetime
    user_name: str | None
    is_counted: bool
    """False for a correction whose import is reverted, or that was made from a reverted row."""
    cells: dict[str, str | None]
    changes: dict[str, Change]
    """Cells that differ from the version it corrects, by column."""


def read_versions(connection: sa.Connection, raw_id: int, characters: int) -> list[Version]:
    """Return the row of the file that a raw row corrects, or is, and all its corrections, cells cut to `characters`."""
    found = connection.execute(sa.text(_VERSIONS), {"raw_id": raw_id, "characters": characters}).mappings().all()
    cells: dict[int, dict[str, str | None]] = {
        row["raw_id"]: {name: row[name] for name in RAW_COLUMNS} for row in found
    }
    return [
        Version(
            raw_id=row["raw_id"],
            import_id=row["import_id"],
            source=row["source"],
            line=row["row_no"],
            landed_at=row["created_at"],
            user_name=row["user_name"],
            is_counted=row["is_counted"],
            cells=cells[row["raw_id"]],
            changes=changed_cells(cells.get(row["replaces_raw_id"]), cells[row["raw_id"]]),
        )
        for row in found
    ]


def changed_cells(before: dict[str, str | None] | None, after: dict[str, str | None]) -> dict[str, Change]:
    """Return the cells that differ, in the order of the columns; an empty text is no value."""
    if before is None:
        return {}
    return {
        name: Change(before[name], after[name])
        for name in RAW_COLUMNS
        if (before[name] or None) != (after[name] or None)
    }


_VERSIONS: Final = f"""
    WITH RECURSIVE origin AS (
        SELECT r.raw_id, r.replaces_raw_id FROM raw_orders r WHERE r.raw_id = :raw_id
        UNION ALL
        SELECT r.raw_id, r.replaces_raw_id FROM origin o JOIN raw_orders r ON r.raw_id = o.replaces_raw_id
    ), chain AS (
        SELECT raw_id FROM origin WHERE replaces_raw_id IS NULL
        UNION ALL
        SELECT r.raw_id FROM chain c JOIN raw_orders r ON r.replaces_raw_id = c.raw_id
    )
    SELECT r.raw_id, r.replaces_raw_id, r.import_id, r.row_no, t.source, t.created_at, t.user_name,
           t.status IN ('completed', 'held') AND r.corrects_reverted IS NOT TRUE AS is_counted,
           {", ".join(f"left(r.{name}, :characters) AS {name}" for name in RAW_COLUMNS)}
    FROM chain JOIN raw_orders r USING (raw_id) JOIN import_tasks t USING (import_id) ORDER BY r.raw_id LIMIT 50
"""  # noqa: S608  # constants only
