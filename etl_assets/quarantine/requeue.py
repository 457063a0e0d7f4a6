"""Requeue rows of quarantine as they are: put their ranges back on the queue of the asset where a replay enters.

That asset stands in the asset graph for every asset with a step, so none can be forgotten here. Corrected rows are new
imports instead: see `quarantine.corrections`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import REPLAY_ENTRY, SPECS
from etl_assets.database.frames import fetch_frame
from etl_assets.ledger import queue
from etl_assets.ledger.queue import RawIdRange
from etl_assets.quarantine.open_rows import split_not_open
from etl_assets.quarantine.row_filter import ALL_OPEN_ROWS
from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.quarantine.row_filter import RowFilter

ACTION: Final = "quarantine replay"
SHOWN_IDS: Final = 20
"""Ids that the record of an action on many rows names."""
REPLAY_LOCK_ID: Final = 7_305_461_903
"""Advisory lock of replays: two at once would land the same corrected rows."""

_OPEN_SCHEMA: Final = {
    "quarantine_id": pl.Int64(),
    "asset": pl.String(),
    "raw_id": pl.Int64(),
    "batch_id": pl.Int64(),
}
_REPLAYED_FROM_IMPORTS: Final = ", ".join(
    f"'{asset}'" for asset, entry in REPLAY_ENTRY.items() if SPECS[entry].range_content == "imports"
)
_OPEN: Final = f"""
    SELECT q.quarantine_id, q.asset, coalesce(o.raw_id, l.raw_id, q.raw_id),
           CASE WHEN q.asset IN ({_REPLAYED_FROM_IMPORTS}) THEN t.batch_id ELSE coalesce(o.batch_id, l.batch_id) END
    FROM quarantine q
    JOIN raw_orders r USING (raw_id)
    JOIN import_tasks t ON t.import_id = r.import_id
    LEFT JOIN orders o ON o.raw_id = q.raw_id AND q.asset NOT IN ({_REPLAYED_FROM_IMPORTS})
    LEFT JOIN orders l ON l.shop_id = q.shop_id AND l.order_id = q.order_id AND l.lines_raw_id = q.raw_id
        AND q.asset IN ('order_items', 'process_items')
"""  # noqa: S608  # names of assets


@dataclass(frozen=True, slots=True)
class Requeued:
    """Outcome of a requeue, as quarantine ids."""

    queued: tuple[int, ...]
    """Pending now."""
    outdated: tuple[int, ...]
    """Their order has come from another raw row since, or their asset is no longer in the graph: nothing to run."""
    resolved: tuple[int, ...]
    """Resolved before."""
    unknown: tuple[int, ...]
    """Not in quarantine."""


def requeue(
    database: Database,
    quarantine_ids: Sequence[int] | None = None,
    chosen: RowFilter = ALL_OPEN_ROWS,
    *,
    user_name: str | None = None,
) -> Requeued:
    """Put open rows of quarantine back on the queue; run the assets afterwards.

    The queue is a set, so this may be repeated and a row may be pending already.

    Args:
        database: the store.
        quarantine_ids: which rows.
        chosen: which open rows where no ids are given.
        user_name: for the record of user actions; without it, the user of this process.
    """
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLAY_LOCK_ID)))
        looked_at = chosen if quarantine_ids is None else ALL_OPEN_ROWS
        query = f"{_OPEN} WHERE {looked_at.condition} ORDER BY q.raw_id"
        found = fetch_frame(connection, query, _OPEN_SCHEMA, looked_at.parameters)
        if quarantine_ids is not None:
            found = found.filter(pl.col("quarantine_id").is_in(list(quarantine_ids)))
        is_current = pl.col("batch_id").is_not_null() & pl.col("asset").is_in(list(REPLAY_ENTRY))
        current = found.filter(is_current)
        for asset, consumer in REPLAY_ENTRY.items():
            rows = current.filter(pl.col("asset") == asset)
            ranges = [RawIdRange(*place) for place in rows.select("batch_id", "raw_id", high="raw_id").iter_rows()]
            queue.enqueue(connection, [consumer], ranges)
        if current.height:
            target = named_rows(current["quarantine_id"].sort().to_list())
            record_user_action(connection, ACTION, target, {}, {"rows": current.height}, user_name=user_name)
        not_open = split_not_open(connection, set(quarantine_ids or ()) - set(found["quarantine_id"]))
    return Requeued(
        queued=tuple(current["quarantine_id"].sort()),
        outdated=tuple(found.filter(~is_current)["quarantine_id"].sort()),
        resolved=not_open.resolved,
        unknown=not_open.unknown,
    )


def named_rows(quarantine_ids: Sequence[int]) -> str:
    """Return rows of quarantine as the record of an action names them."""
    return f"rows {', '.join(map(str, quarantine_ids[:SHOWN_IDS]))}{', …' if len(quarantine_ids) > SHOWN_IDS else ''}"
