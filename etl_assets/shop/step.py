"""The `shop` asset: the distinct shops of new imports become `shop_configs`; known ones are never overwritten.

Reading, comparing and writing; the rules are in `shop.transform`. Rows without a shop are rejected by `orders`, not
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.bisect_write import write_bisecting
from etl_assets.database.frames import update_rows
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.ledger.queue import max_rows
from etl_assets.ledger.range_sql import LIVE, imported_rows
from etl_assets.pipeline.protocol import Batch, LoadResult, Step
from etl_assets.shop.transform import new_shops, settled_shops, shops_of_imports
from etl_assets.shop.unnamed import copy_shops

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

RAW_SHOP_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "import_batch_id": pl.Int64(),
    "platform": pl.String(),
    "shop": pl.String(),
    "currency": pl.String(),
}


NO_BATCH: Final = 0
"""Batch of rows that are written on trial only."""


class ShopStep(Step):
    """raw_orders → shop_configs."""

    asset: AssetName = "shop"
    batch_factor = 10

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the distinct shop columns of the pending raw rows, each with the first row that has them."""
        return database.read(
            "SELECT min(r.raw_id) AS raw_id, t.batch_id AS import_batch_id, r.platform, r.shop, r.currency"  # noqa: S608  # integers only
            f" FROM {imported_rows(ranges)} WHERE {LIVE} GROUP BY t.batch_id, r.platform, r.shop, r.currency",
            RAW_SHOP_SCHEMA,
            alone=True,
            rows=max_rows(ranges),
        )

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> pl.DataFrame:  # noqa: ARG002  # of the protocol
        """Return the distinct shops of the rows."""
        with queries.database.autocommit() as connection:
            return shops_of_imports([*rows_by_preset(connection, rows)])

    def load(self, batch: Batch, transformed: pl.DataFrame) -> LoadResult:
        """Add the shops that are not known yet; the imports' rows are then ready for `orders`.

        A shop that only files of lines have named gets its settings from the first import of orders.
        """
        known = batch.queries.batch_lookup_shops(connection=batch.connection)
        new = new_shops(transformed, known)
        refused = 0
        if batch.is_careful:
            refused = _add_shops(batch.connection, new, batch.batch_id).height
        else:
            copy_shops(batch.connection, new, batch.batch_id)
        settled = settled_shops(transformed, known)
        update_rows(batch.connection, "shop_configs", settled, key=["shop_id"], batch_id=batch.batch_id)
        unchanged = transformed.height - new.height - settled.height
        counts = BatchCounts(
            inserted=new.height - refused, updated=settled.height, unchanged=unchanged, quarantined=refused
        )
        return LoadResult(counts, batch.ranges)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Pass the row downstream: it gets into quarantine once, by `orders`, which names the reason."""
        return LoadResult(BatchCounts(quarantined=rejected.height), batch.ranges)


def refused_shops(connection: sa.Connection, shops: pl.DataFrame) -> pl.DataFrame:
    """Return those of `shops` (`SHOP_KEY`) that the store refuses, with `reason_code` and `reason`; stores none."""
    with connection.begin_nested() as trial:
        refused = _add_shops(connection, shops.with_columns(timezone=pl.lit("UTC")), NO_BATCH)
        trial.rollback()
    return refused


def _add_shops(connection: sa.Connection, new: pl.DataFrame, batch_id: int) -> pl.DataFrame:
    """Add the shops that the store takes; return the others, with `reason_code` and `reason`."""
    return write_bisecting(connection, new, lambda part: copy_shops(connection, part, batch_id))
