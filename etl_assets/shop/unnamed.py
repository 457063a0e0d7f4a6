"""Shops that a reverted import named: deleted once nothing else names them, and given back their ids if they return.

The doubt is noted when an import is reverted (`note_doubtful_shops`); it is settled after a run of `leads`, when orders
and customers of the shop are gone. Settings that users gave a shop keep it (docs/decisions.md, "Reverted imports").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.columns import CREATED_BATCH_ID
from etl_assets.database.frames import copy_rows, delete_rows, fetch_frame
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch
from etl_assets.ledger.range_sql import LIVE
from etl_assets.shop.transform import SHOP_KEY
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from etl_assets.database.database import Database

_RAW_SHOP: Final = {"platform": pl.String(), "shop": pl.String()}
_NAMES: Final = {"shop_id": pl.Int32(), **dict.fromkeys(SHOP_KEY, pl.String())}


def copy_shops(connection: sa.Connection, shops: pl.DataFrame, batch_id: int) -> None:
    """Add shops (columns of `shop_configs`) in a batch; one that was deleted gets the id that it had."""
    if shops.is_empty():
        return
    shops = shops.with_columns(pl.lit(batch_id, pl.Int64).alias(CREATED_BATCH_ID))
    deleted = fetch_frame(connection, "SELECT shop_id, platform, shop_name FROM deleted_shops", _NAMES)
    returning = shops.join(deleted, on=SHOP_KEY)
    copy_rows(connection, "shop_configs", shops.join(deleted, on=SHOP_KEY, how="anti", maintain_order="left"))
    if returning.height:
        copy_rows(connection, "shop_configs", returning)
        connection.execute(sa.text("DELETE FROM deleted_shops d USING shop_configs s WHERE s.shop_id = d.shop_id"))


def note_doubtful_shops(connection: sa.Connection, raw_shops: pl.DataFrame) -> pl.Series:
    """Note that the shops of reverted rows (`platform`, `shop`) may be named by nothing else; return their ids."""
    cleaned = raw_shops.select(platform=clean_text(pl.col("platform")), shop_name=clean_text(pl.col("shop")))
    known = fetch_frame(connection, "SELECT shop_id, platform, shop_name FROM shop_configs", _NAMES)
    shop_ids = known.join(cleaned, on=SHOP_KEY, how="semi")["shop_id"]
    connection.execute(
        sa.text("INSERT INTO doubtful_shops SELECT unnest(CAST(:ids AS integer[])) ON CONFLICT DO NOTHING"),
        {"ids": shop_ids.to_list()},
    )
    return shop_ids


def delete_unnamed_shops(database: Database, run_id: str | None) -> None:
    """Delete the doubtful shops that no row that counts, no order, no customer and no user names, in a batch of `shop`.

    Hazard: a row that names the shop may be on its way, or its orders and customers yet to be deleted. Until that is
    done, shops in doubt stay so; and a shop that is deleted all the same is made again with its id by the row that
    names it.
    """
    with database.autocommit() as connection:
        if not connection.execute(sa.text("SELECT EXISTS (SELECT FROM doubtful_shops)")).scalar_one():
            return
    with database.transaction() as connection:
        if connection.execute(sa.text(_IS_PENDING)).scalar_one():
            return
        record = open_batch(connection, "shop", run_id, expected_epoch=None)
        connection.execute(sa.text("SELECT FROM shop_configs JOIN doubtful_shops USING (shop_id) FOR UPDATE"))
        unused = fetch_frame(connection, _UNUSED, _NAMES)
        if unused.height:
            named = fetch_frame(connection, _NAMED, _RAW_SHOP)
            cleaned = named.select(platform=clean_text(pl.col("platform")), shop_name=clean_text(pl.col("shop")))
            unused = unused.join(cleaned, on=SHOP_KEY, how="anti")
        deleted = _delete(connection, unused, record.batch_id)
        connection.execute(sa.text("DELETE FROM doubtful_shops"))
        if deleted:
            close_batch(connection, record, BatchCounts(deleted=deleted), [])


def _delete(connection: sa.Connection, shops: pl.DataFrame, batch_id: int) -> int:
    copy_rows(connection, "deleted_shops", shops.select(*_NAMES))
    return delete_rows(connection, "shop_configs", shops.select("shop_id"), batch_id=batch_id)


_IS_PENDING: Final = "SELECT EXISTS (SELECT FROM etl_work WHERE asset IN ('shop', 'orders', 'customers', 'leads'))"
_UNUSED: Final = """
    SELECT s.shop_id, s.platform, s.shop_name FROM doubtful_shops JOIN shop_configs s USING (shop_id)
    WHERE NOT EXISTS (SELECT FROM orders o WHERE o.shop_id = s.shop_id)
      AND NOT EXISTS (SELECT FROM customers c WHERE c.shop_id = s.shop_id)
      AND NOT EXISTS (
          SELECT FROM user_actions a WHERE a.action = 'shops set' AND a.target = s.platform || ':' || s.shop_name
      )
"""
_NAMED: Final = f"""
    SELECT DISTINCT r.platform, r.shop FROM raw_orders r JOIN import_tasks t USING (import_id) WHERE {LIVE}
"""  # noqa: S608  # constants only
