"""The `orders` asset: raw rows become the newest version of each order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from etl_assets.database.bisect_write import REJECTION_SCHEMA, write_bisecting
from etl_assets.database.frames import copy_rows, copy_to_temp_table, fetch_frame, update_rows
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.ledger.queue import RawIdRange, max_rows
from etl_assets.ledger.range_sql import imported_rows
from etl_assets.orders.transform import (
    ORDER_KEY,
    ORDER_SCHEMA,
    SHOP_NOT_MADE,
    compare_with_stored,
    newest_versions,
    read_orders,
)
from etl_assets.pipeline.diff import count_changes
from etl_assets.pipeline.protocol import Batch, LoadResult
from etl_assets.quarantine.rows import quarantine_rows, resolve_rows
from etl_assets.shop.step import refused_shops
from etl_assets.shop.transform import SHOP_KEY
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.vectorized_queries import VectorizedQueries

_RAW_TEXTS: Final = (
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency", "ordered_at",
    "updated_at", "defect",
)  # fmt: skip
RAW_ORDER_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "import_batch_id": pl.Int64(),
    **dict.fromkeys(_RAW_TEXTS, pl.String()),
}


class ParsedOrders(NamedTuple):
    """What raw rows say."""

    versions: pl.DataFrame
    """The good ones (`ORDER_SCHEMA`)."""
    newest: pl.DataFrame
    """Of those the newest of each order."""
    rejected: pl.DataFrame
    """The others (`REJECTED_SCHEMA`)."""


class OrdersStep:
    """raw_orders → orders."""

    asset: AssetName = "orders"
    batch_factor = 1

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """The pending raw rows; their items and processes stay where they are, other assets read those."""
        return database.read(
            f"SELECT r.raw_id, t.batch_id AS import_batch_id, {', '.join('r.' + name for name in _RAW_TEXTS)}"  # noqa: S608  # integers only
            f" FROM {imported_rows(ranges)}",
            RAW_ORDER_SCHEMA,
            rows=max_rows(ranges),
        )

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> ParsedOrders:  # noqa: ARG002  # of the protocol
        """Read the rows as versions of orders."""
        shops = queries.batch_lookup_shops()
        types = queries.batch_lookup_order_type_mappings(rows["order_type"]).drop("is_mapped")
        with queries.database.transaction() as connection:
            read = [read_orders(part, preset, shops, types) for preset, part in rows_by_preset(connection, rows)]
        versions = pl.concat([pl.DataFrame(schema=ORDER_SCHEMA), *(good for good, _ in read)])
        rejected = pl.concat([pl.DataFrame(schema=REJECTED_SCHEMA), *(rejected for _, rejected in read)])
        return ParsedOrders(versions, newest_versions(versions), rejected)

    def load(self, batch: Batch, transformed: ParsedOrders) -> LoadResult:
        """Write the newest versions; reject what can't be read; hand on what changed."""
        versions, newest, rejected = transformed
        rejected = _with_refusals_of_shops(batch.connection, rejected)
        has_older_pending = _has_older_pending(batch)
        written, refused = _write_newest(batch, versions, newest, has_older_pending=has_older_pending)
        _record_order_types(batch.connection, written)
        rejected = pl.concat([rejected, refused.select(*REJECTED_SCHEMA)])
        quarantine_rows(batch.connection, self.asset, rejected)
        latest = _latest_rows(versions.join(refused, on="raw_id", how="anti"))
        if has_older_pending:
            current = written.filter(pl.col("change") != "superseded")
            _store_latest_raw_id(batch.connection, latest.join(current, on="raw_id", how="anti"))
        _resolve(batch.connection, latest, rejected)
        overtaken = versions.height - written.height - refused.height
        counts = count_changes(written, superseded=overtaken, quarantined=rejected.height)
        # What `_write` has put down as this batch's.
        changed = written.filter(pl.col("change").is_in(["inserted", "updated"]) | (_REPEATED & has_older_pending))
        ranges = _ranges(batch, changed)
        return LoadResult(
            counts, ranges, downstream_overrides=_downstream_overrides(batch, changed), ranges_to_check=ranges
        )

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Reject the row as if it could not be read."""
        nothing = pl.DataFrame(schema=ORDER_SCHEMA)
        return self.load(batch, ParsedOrders(nothing, nothing, rejected))


def _with_refusals_of_shops(connection: sa.Connection, rejected: pl.DataFrame) -> pl.DataFrame:
    """Say of rows whose shop has not been made what the database has against it."""
    without_shop = rejected.filter(pl.col("reason") == SHOP_NOT_MADE)
    if without_shop.is_empty():
        return rejected
    copy_to_temp_table(connection, "raw_orders", without_shop.select("raw_id"), name="without_shop")
    named = fetch_frame(
        connection,
        "SELECT raw_id, platform, shop FROM without_shop JOIN raw_orders USING (raw_id)",
        {"raw_id": pl.Int64(), "platform": pl.String(), "shop_name": pl.String()},
    ).with_columns(clean_text(pl.col(SHOP_KEY)))
    refused = refused_shops(connection, named.select(SHOP_KEY).unique().sort(SHOP_KEY))
    return rejected.update(named.join(refused, on=SHOP_KEY).select("raw_id", *REJECTION_SCHEMA), on="raw_id")


def _write_newest(
    batch: Batch, versions: pl.DataFrame, newest: pl.DataFrame, *, has_older_pending: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the newest version of each order that the store takes.

    Returns:
        What became of the versions that it took, and those that it refused. All others are older than one it took.
    """
    written, refused = [], []
    while True:
        decided = compare_with_stored(newest, _stored(batch.connection, newest))
        refused.append(
            write_bisecting(
                batch.connection, decided, lambda part: _write(batch, part, has_older_pending=has_older_pending)
            )
        )
        written.append(decided.join(refused[-1], on="raw_id", how="anti"))
        # An order whose newest version is refused has its next older one.
        versions = versions.join(refused[-1], on=ORDER_KEY, how="semi").join(refused[-1], on="raw_id", how="anti")
        if versions.is_empty():
            return pl.concat(written), pl.concat(refused)
        newest = newest_versions(versions)


def _stored(connection: sa.Connection, newest: pl.DataFrame) -> pl.DataFrame:
    """The stored versions of the orders, and whether the raw lines of the two versions differ.

    Order ids mostly grow: an order beyond the last one of its shop is new, and is not even looked up.
    """
    last = fetch_frame(connection, _LAST_OF_SHOPS, {"shop_id": pl.Int32(), "last_id": pl.String()})
    is_within = pl.col("order_id") <= pl.col("last_id")  # both sides compare bytes: the column is COLLATE "C"
    known = newest.join(last, on="shop_id", maintain_order="left").filter(is_within)
    if known.is_empty():
        return pl.DataFrame(schema={**ORDER_SCHEMA, "lines_differ": pl.Boolean()})
    copy_to_temp_table(connection, "orders", known.select(ORDER_KEY), name="order_keys")
    stored = fetch_frame(connection, _STORED, ORDER_SCHEMA)
    both = known.select(*ORDER_KEY, "raw_id").join(stored, on=ORDER_KEY, suffix="_stored")
    differing = _with_other_lines(connection, both.select("raw_id", stored_raw_id="raw_id_stored"))
    return stored.with_columns(lines_differ=pl.col("raw_id").is_in(differing.implode()))


def _with_other_lines(connection: sa.Connection, versions: pl.DataFrame) -> pl.Series:
    """The `stored_raw_id` of those pairs of versions (`raw_id`, `stored_raw_id`) whose raw items or processes differ.

    Raw rows lie in the order of their ids: with the bounds of these the server reads such a part in order, if it is
    one, and does not look each row up.
    """
    others = versions.filter(pl.col("raw_id") != pl.col("stored_raw_id"))
    if others.is_empty():
        return others["stored_raw_id"]
    copy_to_temp_table(connection, "orders", others.sort("raw_id"), name="version_pairs")
    (low, stored_low), (high, stored_high) = others.min().row(0), others.max().row(0)
    differing = fetch_frame(
        connection,
        "SELECT v.stored_raw_id FROM version_pairs v"  # noqa: S608  # integers only
        f" JOIN raw_orders n ON n.raw_id = v.raw_id AND n.raw_id BETWEEN {low:d} AND {high:d}"
        f" JOIN raw_orders o ON o.raw_id = v.stored_raw_id AND o.raw_id BETWEEN {stored_low:d} AND {stored_high:d}"
        " WHERE (o.items, o.processes) IS DISTINCT FROM (n.items, n.processes)",
        {"stored_raw_id": pl.Int64()},
    )
    return differing["stored_raw_id"]


_LAST_OF_SHOPS: Final = (
    "SELECT s.shop_id, (SELECT max(o.order_id) FROM orders o WHERE o.shop_id = s.shop_id) FROM shop_configs s"
)
_STORED: Final = (
    f"SELECT o.* FROM order_keys k CROSS JOIN LATERAL (SELECT {', '.join(ORDER_SCHEMA)}"  # noqa: S608  # constants only
    " FROM orders WHERE shop_id = k.shop_id AND order_id = k.order_id LIMIT 1) o"
)
"""With a limit each key is looked up; else the planner reads all orders as soon as a batch is a tenth of them."""


def _write(batch: Batch, decided: pl.DataFrame, *, has_older_pending: bool) -> None:
    """Write inserted and updated orders; with `has_older_pending` also the latest raw row of unchanged ones."""
    numbered = decided.with_columns(batch_id=pl.lit(batch.batch_id, pl.Int64))
    stored = [*ORDER_SCHEMA, "batch_id"]
    inserted = numbered.filter(pl.col("change") == "inserted").select(*stored, order_no="raw_id")
    copy_rows(batch.connection, "orders", inserted.sort("raw_id"))  # as everything downstream reads them
    updated = numbered.filter(pl.col("change") == "updated")
    update_rows(batch.connection, "orders", updated.select(stored), key=ORDER_KEY, set_now="updated_at")
    moved = updated.filter(pl.col("stored_customer").is_not_null()).filter(
        pl.col("stored_customer").ne_missing(pl.col("customer_global_id"))
    )
    copy_rows(
        batch.connection,
        "order_moves",
        moved.sort("raw_id").select("batch_id", "raw_id", customer_global_id="stored_customer"),
    )
    if has_older_pending:
        seen_again = numbered.filter(_REPEATED)
        update_rows(batch.connection, "orders", seen_again.select(*ORDER_KEY, "raw_id", "batch_id"), key=ORDER_KEY)


def _record_order_types(connection: sa.Connection, written: pl.DataFrame) -> None:
    """Keep the list of order types that there are, so that a check of them need not read all orders."""
    types = written.filter(pl.col("change").is_in(["inserted", "updated"]))["order_type"].drop_nulls().unique().sort()
    if types.len():
        connection.execute(
            sa.text(
                "INSERT INTO order_types (order_type) SELECT unnest(CAST(:types AS text[])) ON CONFLICT DO NOTHING"
            ),
            {"types": types.to_list()},
        )


_REPEATED: Final = (pl.col("change") == "unchanged") & (pl.col("raw_id") > pl.col("stored_raw_id"))


def _has_older_pending(batch: Batch) -> bool:
    """Whether raw rows older than some of this batch's have yet to be processed.

    Then an unchanged order must remember the newer raw row: an older one that comes later would otherwise win.
    """
    if not batch.ranges:
        return False
    return bool(
        batch.connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM etl_work WHERE asset IN ('shop', 'orders') AND low < :high)"
                " OR EXISTS (SELECT FROM import_tasks WHERE status = 'pending')"
            ),
            {"high": max(r.high for r in batch.ranges)},
        ).scalar_one()
    )


def _latest_rows(good: pl.DataFrame) -> pl.DataFrame:
    """The last good raw row of each order, whichever version it is."""
    return good.group_by(ORDER_KEY).agg(pl.col("raw_id").max())


def _store_latest_raw_id(connection: sa.Connection, losers: pl.DataFrame) -> None:
    """Note good rows that come after the stored version's and did not win: bad rows before them may yet be read."""
    if losers.is_empty():
        return
    copy_to_temp_table(connection, "orders", losers, name="latest_rows")
    connection.execute(
        sa.text(
            "UPDATE orders o SET latest_raw_id = l.raw_id FROM latest_rows l WHERE o.shop_id = l.shop_id"
            " AND o.order_id = l.order_id AND l.raw_id > greatest(o.raw_id, o.latest_raw_id)"
        )
    )


def _resolve(connection: sa.Connection, latest: pl.DataFrame, rejected: pl.DataFrame) -> None:
    """Resolve earlier bad rows of orders that have a good one now, and bad rows read after a later good one."""
    resolve_rows(connection, "orders", latest.with_columns(is_good=pl.lit(value=True)))
    keyed = rejected.drop_nulls(ORDER_KEY).select(*ORDER_KEY).unique()
    if keyed.is_empty():
        return
    copy_to_temp_table(connection, "orders", keyed, name="order_keys")
    stored = fetch_frame(
        connection,
        "SELECT shop_id, order_id, greatest(raw_id, latest_raw_id), false"
        " FROM order_keys JOIN orders USING (shop_id, order_id)",
        {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "is_good": pl.Boolean()},
    )
    resolve_rows(connection, "orders", stored)


def _ranges(batch: Batch, rows: pl.DataFrame) -> list[RawIdRange]:
    """The range that has all these rows of a batch, if there are any."""
    if rows.is_empty():
        return []
    low, high = rows.select(low=pl.col("raw_id").min(), high=pl.col("raw_id").max()).row(0)
    return [RawIdRange(batch.batch_id, low, high)]


MAX_RANGES: Final = 1_000
"""If orders that are handed on and others alternate more often than that, all of them are handed on."""


def _downstream_overrides(batch: Batch, changed: pl.DataFrame) -> dict[AssetName, list[RawIdRange]]:
    """What consumers get that need not see all changed orders of a batch."""
    differ = pl.col("lines_differ", "customer_differs")
    partly = changed.filter((pl.col("change") == "updated") & ~pl.all_horizontal(differ))
    if partly.is_empty():
        return {}
    keys = [*ORDER_KEY, "raw_id", "stored_raw_id", "customer_global_id"]
    versions = partly.select(*keys, "is_cancelled", differ)
    copy_to_temp_table(batch.connection, "orders", versions, name="new_versions", joined_by=keys)
    queries: dict[AssetName, str] = {"order_items": _LINES_UNCHANGED, "customers": _LEAD_UNCHANGED}
    done = {one: fetch_frame(batch.connection, query, {"raw_id": pl.Int64()}) for one, query in queries.items()}
    return {consumer: _ranges_without(batch, changed, rows) for consumer, rows in done.items()}


def _ranges_without(batch: Batch, changed: pl.DataFrame, done: pl.DataFrame) -> list[RawIdRange]:
    """Ranges that have those changed orders of a batch that are not done already."""
    runs = (
        changed.sort("raw_id")
        .select("raw_id", is_done=pl.col("raw_id").is_in(done["raw_id"].implode()))
        .group_by(pl.col("is_done").rle_id().alias("run"), maintain_order=True)
        .agg(pl.col("is_done").first(), low=pl.col("raw_id").first(), high=pl.col("raw_id").last())
        .filter(~pl.col("is_done"))
    )
    if runs.height > MAX_RANGES:
        return _ranges(batch, changed)
    return [RawIdRange(batch.batch_id, low, high) for low, high in runs["low", "high"].iter_rows()]


def _unfinished(*assets: AssetName) -> str:
    """The table `unfinished`: the raw ids (a multirange, or null) of orders that assets have yet to consume or check.

    A range no longer finds an order that has been changed since: what is to be done for the version before is to be
    done for the new one.
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
"""The orders whose lines are read from the same text by the same rules as before."""
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
"""The orders with the customer and the lead that the pipeline made of them, or without: as they have to be."""
