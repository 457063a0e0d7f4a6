"""OPEN leads become COLD after a number of days without an order (off by default).

The one rule of leads that depends on the time and not on changed orders: it runs once after all batches of a run
(`LeadsStep.finish`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from etl_assets.database.bisect_write import write_bisecting
from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch

if TYPE_CHECKING:
    from etl_assets.database.database import Database

logger = logging.getLogger(__name__)


def mark_cold_leads(database: Database, *, cold_after_days: int, run_id: str | None = None) -> BatchCounts:
    """Turn the OPEN leads whose last order is more than `cold_after_days` days old COLD; one batch if there are any.

    Those that the store refuses stay OPEN; the log says how many and why, and the next run tries them again.
    """
    with database.transaction() as connection:
        due = fetch_frame(
            connection,
            "SELECT lead_id FROM business_leads WHERE current_stage = 'OPEN'"  # noqa: S608  # an integer
            f" AND last_order_at < now() - make_interval(days => {cold_after_days:d}) ORDER BY lead_id FOR UPDATE",
            {"lead_id": pl.String()},
        )
        if due.is_empty():
            return BatchCounts()
        record = open_batch(connection, "leads", run_id, expected_epoch=None)
        refused = write_bisecting(connection, due, lambda part: _mark_cold(connection, part, record.batch_id))
        for reason, leads in refused.group_by("reason").len().sort("reason").iter_rows():
            logger.warning("%d leads stay OPEN: %s", leads, reason)
        counts = BatchCounts(updated=due.height - refused.height)
        close_batch(connection, record, counts, [])
        return counts


def _mark_cold(connection: sa.Connection, leads: pl.DataFrame, batch_id: int) -> None:
    copy_to_temp_table(connection, "business_leads", leads, name="due_leads")
    connection.execute(
        sa.text(
            "WITH marked AS (UPDATE business_leads l SET current_stage = 'COLD', updated_at = now()"
            " FROM due_leads d WHERE l.lead_id = d.lead_id RETURNING l.lead_id, l.batch_id), logged AS ("
            "INSERT INTO row_changes (batch_id, row_key, created_batch_id, before, after)"
            " SELECT :batch_id, jsonb_build_object('lead_id', lead_id), batch_id,"
            " jsonb_build_object('current_stage', 'OPEN'), jsonb_build_object('current_stage', 'COLD') FROM marked)"
            " INSERT INTO lead_changes (lead_id, batch_id, what) SELECT lead_id, :batch_id, 'cooled' FROM marked"
        ),
        {"batch_id": batch_id},
    )
