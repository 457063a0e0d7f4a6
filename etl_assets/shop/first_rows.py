"""Settings that a shop got from its first row, taken anew once that row is reverted or restored.

A new shop gets its time zone and currency from the import that names it first (`shop.transform`). Had that import never
been, another would have named it first, and its orders would be read in that one's time zone (docs/decisions.md,
"Reverted imports"). Settings of users are never changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import fetch_frame, update_rows
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch
from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.ledger.range_sql import LIVE
from etl_assets.shop.configure import enqueue_orders
from etl_assets.shop.transform import SHOP_KEY, shops_of_imports

if TYPE_CHECKING:
    from uuid import UUID

_NAMES: Final = dict.fromkeys(SHOP_KEY, pl.String())
_SETTINGS: Final = {"currency": pl.String(), "timezone": pl.String(), "is_provisional": pl.Boolean()}
_SHOP_SCHEMA: Final = {"shop_id": pl.Int32(), **_NAMES, **_SETTINGS}
_ROW_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "import_batch_id": pl.Int64(),
    "platform": pl.String(),
    "shop": pl.String(),
    "currency": pl.String(),
}


def reset_shops(
    connection: sa.Connection, shop_ids: pl.Series, first_raw_id: int, *, import_id: UUID, run_id: str | None
) -> None:
    """Give shops the settings of the first import that names them now; have their orders read again where need be.

    Hazard: the values of inserted rows are those of now with the logged changes undone, so this is a batch of `shop`,
    which logs it (docs/decisions.md, "Change log").

    Args:
        connection: the transaction of a revert or restore; batches of all assets that were read before are outdated.
        shop_ids: the shops that its rows name.
        first_raw_id: the first of its rows; a shop with an order from before has its settings from before.
        import_id: the import.
        run_id: the Dagster run that holds it; None where users revert, restore or accept it.
    """
    parameters = {"ids": shop_ids.to_list(), "first": first_raw_id}
    found = connection.execute(sa.text(_MADE_SINCE), parameters).all() if shop_ids.len() else []
    if not found:
        return
    shops = pl.DataFrame([tuple(row) for row in found], schema=_SHOP_SCHEMA, orient="row")
    first = shops_of_imports([*rows_by_preset(connection, fetch_frame(connection, _ROWS, _ROW_SCHEMA))])
    other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_first")) for name in _SETTINGS)
    changed = shops.join(first, on=SHOP_KEY, suffix="_first").filter(other)
    if changed.is_empty():
        return
    values = changed.select("shop_id", **{name: f"{name}_first" for name in _SETTINGS})
    record = open_batch(connection, "shop", run_id, expected_epoch=None)
    update_rows(connection, "shop_configs", values, key=["shop_id"], batch_id=record.batch_id)
    close_batch(connection, record, BatchCounts(updated=changed.height), [import_id])
    for shop in changed.filter(pl.col("timezone") != pl.col("timezone_first")).iter_rows(named=True):
        enqueue_orders(connection, shop, is_other_zone=True)


_MADE_SINCE: Final = """
    SELECT s.shop_id, s.platform, s.shop_name, s.currency, s.timezone, s.is_provisional FROM shop_configs s
    WHERE s.shop_id = ANY (CAST(:ids AS integer[]))
      AND NOT EXISTS (SELECT FROM orders o WHERE o.shop_id = s.shop_id AND o.order_no < :first)
      AND NOT EXISTS (
          SELECT FROM user_actions a WHERE a.action = 'shops set' AND a.target = s.platform || ':' || s.shop_name
      )
    FOR UPDATE SKIP LOCKED
"""
"""A shop that a user is just setting is skipped: what users set stays."""
_ROWS: Final = f"""
    SELECT min(r.raw_id), t.batch_id, r.platform, r.shop, r.currency
    FROM raw_orders r JOIN import_tasks t USING (import_id) WHERE {LIVE}
    GROUP BY t.batch_id, r.platform, r.shop, r.currency
"""  # noqa: S608  # constants only
