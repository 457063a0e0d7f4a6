"""Outcomes of the raw rows of imports, as they are now: how many of each count, are in quarantine, wait and so on.

Counted from indexes: an import owns its range of raw ids, so its raw rows themselves are read only where those of
another import, which ran at the same time, lie between them. What a batch did to rows is in the ledger (`etl_batches`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.ledger.range_sql import LIVE, REWRITES_OTHERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

FATES: Final = (
    "current", "superseded_or_unchanged", "waiting", "quarantined", "corrected", "dismissed", "reverted", "held",
    "pending",
)  # fmt: skip
"""Outcomes of a raw row: its order is as the row says, or has its lines from it; another row of its order counts, or
says the same; its lines wait for their order; it could not be read; that was dismissed, or a correction stands for
it; it is reverted; it waits with its held import; or it has yet to be processed (a revert, too)."""

_OWN: Final = "(c.is_alone OR EXISTS (SELECT FROM raw_orders r WHERE r.raw_id = {of} AND r.import_id = c.import_id))"
"""SQL condition that a raw row between the bounds of an import `c` is one of its own."""
_COUNTS: Final = f"""
    WITH chosen AS (
        SELECT t.import_id, t.batch_id, t.status, t.row_count AS rows, t.is_redecided,
               t.last_raw_id - t.first_raw_id + 1 = t.row_count AS is_alone,
               int8multirange(int8range(t.first_raw_id, t.last_raw_id, '[]')) - coalesce((
                   SELECT range_agg(int8range(w.low, w.high, '[]')) FROM etl_work w
                   WHERE w.asset IN ('shop', 'orders') AND w.batch_id = t.batch_id
               ), '{{}}') AS processed
        FROM import_tasks t WHERE t.import_id = ANY (:import_ids) AND t.batch_id IS NOT NULL
        AND t.last_raw_id IS NOT NULL
    ), batches AS MATERIALIZED (
        SELECT b.batch_id, b.import_ids, b.batch_id IN (
            SELECT w.batch_id FROM import_tasks t JOIN (
                SELECT w.batch_id, unnest(w.import_ids) AS import_id FROM etl_batches w WHERE w.asset = 'orders'
            ) w USING (import_id) WHERE {REWRITES_OTHERS}
        ) AS rewrites_others
        FROM etl_batches b WHERE b.asset = 'orders' AND b.batch_id > (SELECT min(batch_id) FROM chosen)
    )
    SELECT c.import_id, c.status, c.rows, sum(p.processed) AS processed, sum(p.current) AS current,
           sum(p.waiting) AS waiting, sum(p.quarantined) AS quarantined, sum(p.corrected) AS corrected,
           sum(p.dismissed) AS dismissed, sum(p.reverted) AS reverted
    FROM chosen c LEFT JOIN LATERAL (
        SELECT upper(ids) - lower(ids) - CASE WHEN c.is_alone THEN 0 ELSE (
                   SELECT count(*) FROM raw_orders r
                   WHERE r.raw_id >= lower(ids) AND r.raw_id < upper(ids) AND r.import_id <> c.import_id
               ) END AS processed, counted.*
        FROM unnest(c.processed) ids LEFT JOIN LATERAL (
            SELECT (
                SELECT count(*) FROM orders o
                WHERE o.batch_id = ANY (ARRAY(
                    SELECT b.batch_id FROM batches b
                    WHERE b.batch_id > c.batch_id AND (b.rewrites_others OR c.import_id = ANY (b.import_ids))
                ))
                AND o.raw_id >= lower(ids) AND o.raw_id < upper(ids) AND {_OWN.format(of="o.raw_id")}
            ) + (
                SELECT count(*) FROM orders o
                WHERE o.lines_raw_id >= lower(ids) AND o.lines_raw_id < upper(ids)
                AND {_OWN.format(of="o.lines_raw_id")}
            ) AS current, (
                SELECT count(*) FROM line_versions v WHERE v.is_waiting
                AND v.raw_id >= lower(ids) AND v.raw_id < upper(ids) AND {_OWN.format(of="v.raw_id")}
            ) AS waiting, (
                SELECT count(DISTINCT r.replaces_raw_id) FROM raw_orders r JOIN import_tasks t USING (import_id)
                WHERE r.replaces_raw_id >= lower(ids) AND r.replaces_raw_id < upper(ids) AND {LIVE}
                AND (c.is_alone OR EXISTS (
                    SELECT FROM raw_orders o WHERE o.raw_id = r.replaces_raw_id AND o.import_id = c.import_id
                ))
            ) AS corrected, q.quarantined, q.dismissed, CASE WHEN c.is_redecided THEN (
                SELECT count(*) FROM raw_orders r WHERE r.replaces_raw_id IS NOT NULL AND r.corrects_reverted
                AND r.import_id = c.import_id AND r.raw_id >= lower(ids) AND r.raw_id < upper(ids)
            ) ELSE 0 END AS reverted
            FROM (
                SELECT count(*) FILTER (WHERE is_open) AS quarantined,
                       count(*) FILTER (WHERE NOT is_open AND is_dismissed) AS dismissed
                FROM (
                    SELECT bool_or(resolved_at IS NULL) AS is_open,
                           coalesce(bool_or(resolution = 'dismissed'), false) AS is_dismissed
                    FROM quarantine q WHERE q.asset = 'orders' AND q.import_id = c.import_id
                    AND q.raw_id >= lower(ids) AND q.raw_id < upper(ids) GROUP BY q.raw_id
                ) one
            ) q
        ) counted ON c.status = 'completed'
    ) p ON true
    GROUP BY c.import_id, c.status, c.rows
"""  # noqa: S608  # constants only


def count_fates(connection: sa.Connection, import_ids: Iterable[UUID]) -> dict[UUID, dict[str, int]]:
    """Count the raw rows of imports by what became of them, each of `FATES`; all 0 where an import has no rows."""
    ids = list(import_ids)
    found = connection.execute(sa.text(_COUNTS), {"import_ids": ids}).mappings()
    nothing = {one: dict.fromkeys(FATES, 0) for one in ids}
    return nothing | {row["import_id"]: _fates({name: value or 0 for name, value in row.items()}) for row in found}


def _fates(counted: dict[str, Any]) -> dict[str, int]:
    """Return the outcomes from what was counted; of the processed rows, the rest has lost against other rows.

    A corrected row may have another outcome as well, which comes first: its order may count until the correction does.
    """
    fates = dict.fromkeys(FATES, 0)
    processed = int(counted["processed"])
    fates["pending"] = int(counted["rows"]) - processed
    if counted["status"] in {"held", "reverted"}:
        return fates | {counted["status"]: processed}
    parts = {name: int(counted[name]) for name in ("current", "waiting", "quarantined", "dismissed", "reverted")}
    rest = processed - sum(parts.values())
    corrected = min(int(counted["corrected"]), rest)
    return fates | parts | {"corrected": corrected, "superseded_or_unchanged": rest - corrected}
