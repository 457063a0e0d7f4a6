"""The `orders` asset: raw rows become the newest version of each order.

Reading and writing, in the order of the contract (design §4); the rules are in `orders.transform`. Apart from it: the
look-up of stored versions (`stored_versions`), rows that come late (`late_rows`), changes that downstream assets may
skip (`skip_consumers`), orders of which a version was reverted or restored (`redecide`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl_assets.database.frames import copy_rows, copy_to_temp_table, fetch_frame, update_rows
from etl_assets.errors import EtlError
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.ledger.queue import RawIdRange, max_rows, slice_ranges
from etl_assets.ledger.range_sql import imported_rows
from etl_assets.orders.brake import complete_ranges, judge
from etl_assets.orders.late_rows import REPEATED, Surroundings, look_around, store_latest_raw_id, store_repeated
from etl_assets.orders.line_versions import NO_LINE_ROWS, LineRows, join_line_rows, read_line_versions
from etl_assets.orders.load_lines import are_of_lines, load_lines, point_to_waiting_lines
from etl_assets.orders.other_versions import GONE, ROLE, is_redecided, read_redecided
from etl_assets.orders.redecide import ReadRows, Redecision, plan_redecision, redecide_orders
from etl_assets.orders.removals import removal_candidates
from etl_assets.orders.skip_consumers import downstream_overrides
from etl_assets.orders.stored_versions import read_stored_versions
from etl_assets.orders.transform import (
    IDENTITY,
    ORDER_KEY,
    ORDER_SCHEMA,
    compare_with_stored,
    newest_versions,
    read_orders,
)
from etl_assets.orders.write_newest import StoredOrders, record_order_types, resolve_orders, write_newest
from etl_assets.pipeline.diff import count_changes
from etl_assets.pipeline.protocol import Batch, LoadResult, Step
from etl_assets.quarantine.reasons import SHOP_NOT_MADE
from etl_assets.quarantine.rows import quarantine_rows
from etl_assets.shop.step import refused_shops
from etl_assets.shop.transform import SHOP_KEY
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.settings import Settings
    from etl_assets.vectorized_queries import VectorizedQueries

_RAW_TEXTS: Final = (
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency", "ordered_at",
    "updated_at", "defect", "platform_order_id", "refunded_amount",
)  # fmt: skip
RAW_ORDER_TEXT_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "import_batch_id": pl.Int64(),
    **dict.fromkeys(_RAW_TEXTS, pl.String()),
}


class ParsedOrders(NamedTuple):
    """Raw rows, read as versions of orders."""

    versions: pl.DataFrame
    """The good rows (`ORDER_SCHEMA`)."""
    newest: pl.DataFrame
    """Of those the newest of each order."""
    rejected: pl.DataFrame
    """The bad rows (`REJECTED_SCHEMA`)."""
    lines: LineRows = NO_LINE_ROWS
    """Rows of files of lines, which are in none of the others."""
    redecision: Redecision | None = None
    """Orders to decide anew, since a version of them was reverted or restored: their rows are in none of the others."""


@dataclass(frozen=True, slots=True)
class OrdersStep(Step):
    """raw_orders → orders.

    An import that the brake judges is one batch, in one transaction; of a large one each bucket has `bucket_rows` rows.
    """

    asset: AssetName = "orders"
    bucket: int = 0
    buckets: int = 1
    bucket_rows: int = 0

    def complete_ranges(
        self,
        connection: sa.Connection,
        ranges: Sequence[RawIdRange],
        without: Sequence[RawIdRange],
        settings: Settings,
    ) -> Sequence[RawIdRange]:
        """Return ranges that do not cut an import that the brake judges."""
        return complete_ranges(connection, ranges, without, settings)

    def in_buckets(self, rows: int, batch_size: int) -> Sequence[Step]:
        """Return the step for each part of the batch, of `batch_size` rows; nearly all batches have one."""
        count = max(-(-rows // batch_size), 1)
        return [replace(self, bucket=index, buckets=count, bucket_rows=batch_size) for index in range(count)]

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the pending raw rows of the bucket without their items and processes, which are for other assets.

        Of reverted and restored imports also the other versions of their orders, with the `ROLE` of each row.
        """
        if self.buckets > 1:
            ranges = slice_ranges(ranges, self.bucket * self.bucket_rows, self.bucket_rows)
        texts = ", ".join(f"r.{name}" for name in _RAW_TEXTS)
        query = f"SELECT r.raw_id, t.batch_id AS import_batch_id, {texts}, t.is_redecided FROM {imported_rows(ranges)}"  # noqa: S608  # integers only
        schema = {**RAW_ORDER_TEXT_SCHEMA, "is_redecided": pl.Boolean()}
        rows = database.read(query, schema, rows=max_rows(ranges))
        usual = rows if not rows["is_redecided"].any() else rows.filter(~pl.col("is_redecided"))
        usual = usual.drop("is_redecided").with_columns(pl.lit(None, pl.String).alias(ROLE))
        if usual.height == rows.height:
            return usual
        batches = set(rows.filter("is_redecided")["import_batch_id"])
        redecided = [one for one in ranges if one.batch_id in batches]
        return pl.concat([usual, read_redecided(database, redecided, RAW_ORDER_TEXT_SCHEMA)])

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> ParsedOrders:  # noqa: ARG002  # of the protocol
        """Read the rows as versions of orders."""
        shops = queries.batch_lookup_shops()
        usual = rows.filter(pl.col(ROLE).is_null()) if rows[ROLE].null_count() < rows.height else rows
        versions, rejected, lines = read_rows(queries, usual, shops)
        parsed = ParsedOrders(versions, newest_versions(versions), rejected, lines)
        if usual.height == rows.height:
            return parsed
        redecided = rows.filter(pl.col(ROLE).is_not_null())
        read = read_rows(queries, redecided.filter(pl.col(ROLE) != GONE), shops)
        return parsed._replace(redecision=plan_redecision(redecided, read, shops))

    def load(self, batch: Batch, transformed: ParsedOrders) -> LoadResult:
        """Write the newest version of each order, quarantine bad rows, and enqueue the orders that changed."""
        redecision, lines = transformed.redecision, transformed.lines
        if redecision is not None:
            named = redecision.with_rejected(partial(_with_refusals_of_shops, batch.connection))
            return redecide_orders(batch, named) + self.load(batch, transformed._replace(redecision=None))
        result, candidates = self._load_orders(batch, transformed)
        if lines.versions.height + lines.rejected.height:
            rejected = _with_refusals_of_shops(batch.connection, lines.rejected)
            of_lines, of_lines_candidates = load_lines(batch, lines._replace(rejected=rejected))
            result, candidates = result + of_lines, pl.concat([candidates, of_lines_candidates])
        judge(batch, candidates, bucket=self.bucket, buckets=self.buckets)
        return result

    def _load_orders(self, batch: Batch, transformed: ParsedOrders) -> tuple[LoadResult, pl.DataFrame]:
        """Write what rows of orders say; return also the orders that they may take something from."""
        versions, newest, rejected, *_ = transformed
        around = look_around(batch)
        written, refused = write_newest(
            batch.connection,
            versions,
            newest,
            StoredOrders(partial(read_stored_versions, batch.connection), compare_with_stored),
            lambda part: _write(batch, part, around),
        )
        record_order_types(batch.connection, written)
        rejected = pl.concat([_with_refusals_of_shops(batch.connection, rejected), refused])
        quarantine_rows(batch.connection, self.asset, rejected)
        good = versions.join(refused, on="raw_id", how="anti")
        latest = good.group_by(ORDER_KEY).agg(pl.col("raw_id").max())
        if around.older_pending:
            winners = written.filter(pl.col("change") != "superseded")
            store_latest_raw_id(batch.connection, latest.join(winners, on="raw_id", how="anti"))
        resolve_orders(batch.connection, latest, rejected)
        overtaken = versions.height - written.height - refused.height
        counts = count_changes(written, superseded=overtaken, quarantined=rejected.height)
        changed = written.filter(pl.col("change").is_in(["inserted", "updated"]) | (REPEATED & around.older_pending))
        if self.buckets > 1:
            changed = _with_changes_of_the_batch(batch, changed)
        ranges = _enclosing_range(batch, changed)
        overrides = downstream_overrides(batch, changed)
        result = LoadResult(counts, ranges, downstream_overrides=overrides, ranges_to_check=ranges)
        return result, removal_candidates(written)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Reject the row as if it could not be read; rows of reverted and restored imports stay pending instead."""
        if is_redecided(batch.connection, batch.ranges):
            msg = "orders: the database refuses what follows from a reverted or restored import: see the log."
            raise EtlError(msg)
        nothing = pl.DataFrame(schema=ORDER_SCHEMA)
        if are_of_lines(batch.connection, rejected):
            lines = NO_LINE_ROWS._replace(rejected=rejected.select(*REJECTED_SCHEMA))
            return self.load(batch, ParsedOrders(nothing, nothing, rejected.clear(), lines))
        return self.load(batch, ParsedOrders(nothing, nothing, rejected))


def read_rows(queries: VectorizedQueries, rows: pl.DataFrame, shops: pl.DataFrame) -> ReadRows:
    """Read rows as versions of orders and of their lines, those of each preset by its rules."""
    types = queries.batch_lookup_order_type_mappings(rows["order_type"]).drop("is_mapped")
    with queries.database.autocommit() as connection:
        parts = list(rows_by_preset(connection, rows))
    read = [read_orders(part, preset, shops, types) for preset, part in parts if preset.holds == "orders"]
    lines = [read_line_versions(part, preset, shops) for preset, part in parts if preset.holds == "lines"]
    return ReadRows(
        pl.concat([pl.DataFrame(schema=ORDER_SCHEMA), *(good for good, _ in read)]),
        pl.concat([pl.DataFrame(schema=REJECTED_SCHEMA), *(rejected for _, rejected in read)]),
        join_line_rows(lines),
    )


def _with_refusals_of_shops(connection: sa.Connection, rejected: pl.DataFrame) -> pl.DataFrame:
    """Put the database's reason in place of `SHOP_NOT_MADE` for rows whose shop it refuses."""
    without_shop = rejected.filter(
        (pl.col("reason_code") == "MISSING_SHOP") & pl.col("reason").str.contains(SHOP_NOT_MADE, literal=True)
    )
    if without_shop.is_empty():
        return rejected
    copy_to_temp_table(connection, "raw_orders", without_shop.select("raw_id"), name="without_shop")
    named = fetch_frame(
        connection,
        "SELECT raw_id, platform, shop FROM without_shop JOIN raw_orders USING (raw_id)",
        {"raw_id": pl.Int64(), "platform": pl.String(), "shop_name": pl.String()},
    ).with_columns(clean_text(pl.col(SHOP_KEY)))
    refused = refused_shops(connection, named.select(SHOP_KEY).unique().sort(SHOP_KEY))
    refusals = named.join(refused, on=SHOP_KEY).select("raw_id", code="reason_code", refusal="reason")
    sentence = pl.col("reason").str.replace(SHOP_NOT_MADE, pl.col("refusal"), literal=True)
    return rejected.join(refusals, on="raw_id", how="left", maintain_order="left").select(
        "raw_id",
        *ORDER_KEY,
        reason_code=pl.coalesce("code", "reason_code"),
        reason=pl.when(pl.col("refusal").is_not_null()).then(sentence).otherwise("reason"),
    )


def _write(batch: Batch, decided: pl.DataFrame, around: Surroundings) -> None:
    """Write inserted and updated orders, the customers that these leave, and orders that a later row repeats."""
    numbered = decided.with_columns(batch_id=pl.lit(batch.batch_id, pl.Int64))
    stored = [*ORDER_SCHEMA, "batch_id"]
    inserted = numbered.filter(pl.col("change") == "inserted")
    inserted = inserted.select(*stored, order_no="raw_id", created_batch_id="batch_id")
    if around.lines_waiting and inserted.height:
        inserted = point_to_waiting_lines(batch.connection, inserted)
    copy_rows(batch.connection, "orders", inserted.sort("raw_id"))  # as everything downstream reads them
    updated = numbered.filter(pl.col("change") == "updated")
    values = updated.select(stored)
    update_rows(batch.connection, "orders", values, key=ORDER_KEY, set_now="updated_at", batch_id=batch.batch_id)
    moved = updated.filter(pl.col("stored_customer").is_not_null()).filter(
        pl.col("stored_customer").ne_missing(pl.col("customer_global_id"))
    )
    copy_rows(
        batch.connection,
        "order_moves",
        moved.sort("raw_id").select("batch_id", "raw_id", customer_global_id="stored_customer"),
    )
    names_identity = numbered.filter(pl.col("names_identity") & pl.col("change").is_in(["unchanged", "superseded"]))
    identities = names_identity.select(*ORDER_KEY, IDENTITY)
    update_rows(batch.connection, "orders", identities, key=ORDER_KEY, batch_id=batch.batch_id)
    if around.older_pending:
        store_repeated(batch, decided)


def _with_changes_of_the_batch(batch: Batch, changed: pl.DataFrame) -> pl.DataFrame:
    """Mark orders that an earlier bucket has changed as different in everything.

    Hazard: no asset downstream has seen that change yet, so none may be skipped (`orders.skip_consumers`).
    """
    low, high = min(one.low for one in batch.ranges), max(one.high for one in batch.ranges)
    is_own = pl.col("stored_raw_id").is_between(low, high).fill_null(value=False)
    return changed.with_columns(pl.col("lines_differ", "customer_differs") | is_own)


def _enclosing_range(batch: Batch, rows: pl.DataFrame) -> list[RawIdRange]:
    """Return the range that has all these rows of a batch, if there are any."""
    if rows.is_empty():
        return []
    low, high = rows.select(low=pl.col("raw_id").min(), high=pl.col("raw_id").max()).row(0)
    return [RawIdRange(batch.batch_id, low, high)]
