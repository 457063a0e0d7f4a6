"""Changed orders that downstream assets need not process, because nothing that they read of them has changed.

Saves most of the work of changed orders, which are shipped ones mostly: reading all other orders of their customers, to
find the same customers and leads, was two thirds of the time, and 1,000 shipped orders on ten million took
`order_items` and `process_items` 390 ms before and 2 ms since (docs/performance.md, "Gain of each optimisation").

Hazard: an order that is skipped wrongly keeps old lines or figures for ever. So an order is skipped only if its version
before has been processed and checked downstream, has nothing in quarantine there, and its customer and lead are stored
(docs/decisions.md, "Skipped consumers"). A new downstream asset gets all changed orders, until it has a query here.
This is the only module of an upstream asset that reads tables of downstream ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.ledger.queue import RawIdRange
from etl_assets.orders.transform import ORDER_KEY

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Batch

MAX_RANGES: Final = 1_000
"""If orders to process and orders to skip alternate more often than that, none is skipped."""


def downstream_overrides(batch: Batch, changed: pl.DataFrame) -> dict[AssetName, list[RawIdRange]]:
    """Return the ranges for downstream assets that need not process all changed orders of a batch.

    Args:
        batch: within its transaction; the changed orders are written.
        changed: as `compare_with_stored` returns them.
    """
    differ = pl.col("lines_differ", "customer_differs")
    skippable = changed.filter((pl.col("change") == "updated") & ~pl.all_horizontal(differ))
    if skippable.is_empty():
        return {}
    keys = [*ORDER_KEY, "raw_id", "stored_raw_id", "customer_global_id"]
    versions = skippable.select(*keys, "is_cancelled", differ)
    copy_to_temp_table(batch.connection, "orders", versions, name="new_versions", joined_by=keys)
    skipped = {
        asset: fetch_frame(batch.connection, query, {"raw_id": pl.Int64()})["raw_id"]
        for asset, query in _UNCHANGED_FOR.items()
    }
    ranges = {asset: _ranges_without(batch.batch_id, changed["raw_id"], raw_ids) for asset, raw_ids in skipped.items()}
    return {asset: parts for asset, parts in ranges.items() if len(parts) <= MAX_RANGES}


def _ranges_without(batch_id: int, changed: pl.Series, skipped: pl.Series) -> list[RawIdRange]:
    """Return the ranges that have all changed orders but the skipped ones."""
    runs = (
        changed.sort()
        .to_frame("raw_id")
        .with_columns(is_skipped=pl.col("raw_id").is_in(skipped.implode()))
        .group_by(pl.col("is_skipped").rle_id().alias("run"), maintain_order=True)
        .agg(pl.col("is_skipped").first(), low=pl.col("raw_id").first(), high=pl.col("raw_id").last())
        .filter(~pl.col("is_skipped"))
    )
    return [RawIdRange(batch_id, low, high) for low, high in runs["low", "high"].iter_rows()]


def _unfinished(*assets: AssetName) -> str:
    """Return the CTE `unfinished`: raw ids (a multirange, or null) of orders that assets have yet to process or check.

    A range no longer finds an order that has been changed since: work that is due for the version before is due for the
    new one.
    """
    names = ", ".join(f"'{asset}'" for asset in assets)
    return f"""
        WITH unfinished AS MATERIALIZED (
            SELECT range_agg(int8range(low, high, '[]')) AS ids FROM (
                SELECT asset, low, high FROM etl_work UNION ALL SELECT asset, low, high FROM etl_pending_checks
            ) ranges WHERE asset IN ({names})
        )
    """  # noqa: S608  # constants only


_LINES_UNCHANGED: Final = f"""
    {_unfinished("order_items", "process_items")}
    SELECT v.raw_id FROM unfinished CROSS JOIN new_versions v
    JOIN raw_orders new ON new.raw_id = v.raw_id JOIN import_tasks n ON n.import_id = new.import_id
    JOIN raw_orders old ON old.raw_id = v.stored_raw_id JOIN import_tasks o ON o.import_id = old.import_id
    WHERE NOT v.lines_differ AND n.mapping IS NOT DISTINCT FROM o.mapping
      AND NOT coalesce(unfinished.ids @> v.stored_raw_id, false)
      AND NOT EXISTS (
          SELECT FROM quarantine q WHERE q.raw_id = v.stored_raw_id AND q.resolved_at IS NULL
          AND q.asset IN ('order_items', 'process_items')
      )
"""  # noqa: S608  # constants only
"""Query of the orders whose lines are read from the same text by the same preset as before.

After a release that adds a key to presets, mappings differ once for each order, and its lines are read again.
"""
_LEAD_UNCHANGED: Final = f"""
    {_unfinished("customers", "leads")}
    SELECT v.raw_id FROM unfinished CROSS JOIN new_versions v
    LEFT JOIN lead_orders a USING (shop_id, order_id)
    LEFT JOIN customers c ON c.customer_global_id = v.customer_global_id
    LEFT JOIN business_leads l ON l.lead_id = a.lead_id AND l.customer_global_id = v.customer_global_id
    WHERE NOT v.customer_differs
      AND (v.customer_global_id IS NULL OR c.customer_global_id IS NOT NULL)
      AND CASE WHEN v.is_cancelled OR v.customer_global_id IS NULL THEN a.lead_id IS NULL ELSE l.lead_no IS NOT NULL END
      AND NOT coalesce(unfinished.ids @> v.stored_raw_id, false)
      AND NOT EXISTS (
          SELECT FROM quarantine q JOIN orders named USING (shop_id, order_id)
          WHERE q.resolved_at IS NULL AND q.asset IN ('customers', 'leads')
          AND named.customer_global_id = v.customer_global_id
      )
      AND NOT EXISTS (
          SELECT FROM quarantine q WHERE q.shop_id = v.shop_id AND q.order_id = v.order_id AND q.resolved_at IS NULL
          AND q.asset IN ('customers', 'leads')
      )
"""  # noqa: S608  # constants only
"""Query of the orders with the customer and lead that the pipeline made of them, or rightly with neither."""

_UNCHANGED_FOR: Final[dict[AssetName, str]] = {"order_items": _LINES_UNCHANGED, "customers": _LEAD_UNCHANGED}
"""For downstream assets, the query of the `raw_id` of those `new_versions` in which nothing has changed for them.

`process_items` and `leads` follow: they get their ranges from these two.
"""
