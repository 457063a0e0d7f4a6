"""Figures of `etl-assets imports`: what came in, with its findings, and what became of the rows of one import.

Rows of an import are found by its range of raw ids, so that the size of the tables does not matter; of the rows' texts
nothing is returned.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.asset_graph import QUARANTINING_ASSETS
from etl_assets.raw_orders.findings import FINDINGS, Finding, read_findings
from etl_assets.reporting.import_fates import count_fates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

BATCHES_SHOWN: Final = 20

_LIST: Final = f"""
    SELECT t.import_id, t.created_at, t.source, t.preset, t.line_count AS lines, t.row_count AS rows, t.status,
           coalesce(f.findings, 0) AS findings,
           (SELECT count(*) FROM quarantine q WHERE q.import_id = t.import_id AND q.resolved_at IS NULL) AS quarantined
    FROM import_tasks t LEFT JOIN (
        SELECT import_id, count(*) AS findings FROM {FINDINGS} f GROUP BY import_id
    ) f USING (import_id) ORDER BY t.created_at DESC, t.import_id LIMIT :limit
"""  # noqa: S608  # constants only
_IMPORT: Final = """
    SELECT import_id, created_at, completed_at, source, preset, line_count AS lines, row_count AS rows, status, error,
           unmatched, headers, mapping, batch_id, first_raw_id, last_raw_id,
           CASE WHEN status = 'held' THEN held -> 'tables' END AS would_remove
    FROM import_tasks WHERE import_id = :import_id
"""
_BATCHES: Final = """
    SELECT batch_id, run_id, status, cardinality(import_ids) AS imports, input_rows, inserted, updated, unchanged,
           superseded, quarantined, finished_at
    FROM etl_batches WHERE asset = 'orders' AND batch_id > :batch_id AND :import_id = ANY (import_ids)
    ORDER BY batch_id
"""
_QUARANTINE: Final = """
    SELECT asset, reason_code, count(*) FILTER (WHERE resolved_at IS NULL) AS open,
           count(*) FILTER (WHERE resolved_at IS NOT NULL) AS resolved
    FROM quarantine WHERE asset = ANY (:assets) AND raw_id BETWEEN :low AND :high AND import_id = :import_id
    GROUP BY asset, reason_code ORDER BY asset, reason_code
"""


_BY_STATUS: Final = """
    SELECT status, count(*) AS imports, CAST(coalesce(sum(row_count), 0) AS bigint) AS rows
    FROM import_tasks GROUP BY status
"""
_RECENT_FINDINGS: Final = f"""
    SELECT t.import_id, t.source, f.code, f.subject, f.row_count, f.first_line
    FROM (
        SELECT import_id, source, batch_id FROM import_tasks WHERE status = 'completed'
        ORDER BY batch_id DESC LIMIT :imports
    ) t JOIN {FINDINGS} f USING (import_id)
    ORDER BY t.batch_id DESC, f.code, f.subject LIMIT :limit
"""  # noqa: S608  # constants only


def list_imports(connection: sa.Connection, *, limit: int) -> list[dict[str, Any]]:
    """Return the last imports, the newest first, with the number of their findings and of their open quarantine."""
    return _records(connection, _LIST, limit=limit)


class ImportCount(NamedTuple):
    """Imports and their raw orders."""

    imports: int
    rows: int


def count_imports_by_status(connection: sa.Connection) -> Mapping[str, ImportCount]:
    """Count the imports and their raw orders by status; of a status without any, 0."""
    counted = connection.execute(sa.text(_BY_STATUS))
    return defaultdict(lambda: ImportCount(0, 0), {row.status: ImportCount(row.imports, row.rows) for row in counted})


def read_import(connection: sa.Connection, import_id: UUID, *, with_rows: bool = True) -> dict[str, Any]:
    """Read everything that is known about an import.

    Args:
        connection: an open transaction.
        import_id: which one.
        with_rows: count what became of its rows; else `rows` is None.

    Returns:
        `import` (its record; of a held one with what it `would_remove`), `headers`, `mapping` (the preset in force),
        `findings`; what became of its `rows` (how many of each of `import_fates.FATES`), its `quarantine` by asset and
        reason, and the last `batches` of orders that it was in.
    """
    (found,) = _records(connection, _IMPORT, import_id=import_id)
    headers, mapping = found.pop("headers"), found.pop("mapping")
    place = {name: found.pop(name) for name in ("batch_id", "first_raw_id", "last_raw_id")}
    return {
        "import": found,
        "headers": headers or [],
        "mapping": mapping,
        "findings": [finding.as_dict() for finding in read_findings(connection, [import_id])[import_id]],
        "rows": count_fates(connection, [import_id])[import_id] if with_rows else None,
        **_read_ledger(connection, import_id, place),
    }


def describe_mapping(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each mapped column, and in words where its value comes from."""
    items = {f"item.{column}": one for column, one in mapping["item"].items()}
    for column, one in (mapping["columns"] | items).items():
        parts = [f"{rule['value']!r} where {rule['when']} matches {rule['matches']}" for rule in one["rules"]]
        parts += [", ".join(one["columns"])] if one["columns"] else []
        parts += [f"latest of {', '.join(one['latest_of'])}"] if one.get("latest_of") else []
        parts += [f"constant {one['constant']!r}"] if one["constant"] is not None else []
        yield column, "; else ".join(parts)


def recent_findings(connection: sa.Connection, *, imports: int, limit: int) -> list[dict[str, Any]]:
    """Return the findings of the last completed imports, the newest first, at most `limit`: for the UI."""
    rows = connection.execute(sa.text(_RECENT_FINDINGS), {"imports": imports, "limit": limit})
    return [
        {
            "import_id": str(row.import_id),
            "source": row.source,
            "code": row.code,
            "count": row.row_count,
            "message": Finding(row.code, row.subject, row.row_count, row.first_line).message,
        }
        for row in rows
    ]


def _read_ledger(connection: sa.Connection, import_id: UUID, place: Mapping[str, int | None]) -> dict[str, Any]:
    if place["batch_id"] is None or place["last_raw_id"] is None:
        return {"quarantine": [], "batches": []}
    within = {"import_id": import_id, "low": place["first_raw_id"], "high": place["last_raw_id"]}
    batches = _records(connection, _BATCHES, import_id=import_id, batch_id=place["batch_id"])
    return {
        "quarantine": _records(connection, _QUARANTINE, assets=list(QUARANTINING_ASSETS), **within),
        "batches": batches[-BATCHES_SHOWN:],
    }


def _records(connection: sa.Connection, query: str, **parameters: object) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(query), parameters).mappings()]
