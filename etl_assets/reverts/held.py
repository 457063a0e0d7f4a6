"""Imports that the brake holds: their rows count as little as those of reverted ones, until users accept them.

Which imports are held is the rule of `orders.brake`; accepting them is a change like a restore (`reverts.imports`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from etl_assets.quarantine.requeue import REPLAY_LOCK_ID
from etl_assets.reverts.imports import LandedImport, doubt_shops, leave_queue, outdate_all_batches, redecide_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from etl_assets.database.database import Database

_HOLD: Final = sa.text(
    "UPDATE import_tasks SET status = 'held', held = :held, is_redecided = :is_processed WHERE import_id = :import_id"
).bindparams(sa.bindparam("held", type_=JSONB))
_IS_PROCESSED: Final = sa.text(
    "SELECT EXISTS (SELECT FROM etl_batches"
    " WHERE asset = 'orders' AND batch_id > :batch_id AND :import_id = ANY (import_ids))"
)


def hold_imports(database: Database, *, held: Mapping[UUID, Mapping[str, Any]], run_id: str | None) -> None:
    """Hold imports that a batch, rolled back by now, was about; one that users have changed meanwhile is left alone.

    Args:
        database: the store.
        held: for each import, what it would have removed, by table.
        run_id: the Dagster run.

    Hazard: a part of the rows may have been committed before (a batch that was bisected). The orders of such an import
    are decided anew, as in a revert; of all others nothing but shops is in the tables.
    """
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLAY_LOCK_ID)))
        imports = [LandedImport.read(connection, one) for one in sorted(held)]
        outdate_all_batches(connection)
        for one in imports:
            if one.status != "completed" or one.range is None:
                continue
            parameters = {"import_id": one.import_id, "batch_id": one.range.batch_id}
            is_processed = connection.execute(_IS_PROCESSED, parameters).scalar_one()
            reason = {"run_id": run_id, "tables": dict(held[one.import_id])}
            connection.execute(_HOLD, {"import_id": one.import_id, "held": reason, "is_processed": is_processed})
            leave_queue(connection, one.range)
            if is_processed:
                redecide_rows(connection, one, one.range, "held", run_id=run_id)
            else:
                no_corrections = pl.DataFrame(schema={"raw_id": pl.Int64()})
                doubt_shops(connection, one, one.range, no_corrections, run_id=run_id)
