"""OPEN leads become COLD after a number of days without an order (off by default)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch

if TYPE_CHECKING:
    from etl_assets.database.database import Database


def cool_down(database: Database, *, cold_after_days: int, run_id: str | None = None) -> BatchCounts:
    """Turn the OPEN leads whose last order is more than `cold_after_days` days old COLD; one batch if there are any."""
    with database.transaction() as connection:
        due = connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM business_leads WHERE current_stage = 'OPEN'"
                " AND last_order_at < now() - make_interval(days => :days))"
            ),
            {"days": cold_after_days},
        ).scalar_one()
        if not due:
            return BatchCounts()
        record = open_batch(connection, "leads", run_id, expected_epoch=None)
        cooled = connection.execute(
            sa.text(
                "WITH cooled AS (UPDATE business_leads SET current_stage = 'COLD', updated_at = now()"
                " WHERE current_stage = 'OPEN' AND last_order_at < now() - make_interval(days => :days)"
                " RETURNING lead_id)"
                " INSERT INTO lead_changes (lead_id, batch_id, what) SELECT lead_id, :batch_id, 'cooled' FROM cooled"
            ),
            {"days": cold_after_days, "batch_id": record.batch_id},
        ).rowcount
        counts = BatchCounts(updated=cooled)
        close_batch(connection, record, counts, [])
        return counts
