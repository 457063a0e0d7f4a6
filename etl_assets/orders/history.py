"""The versions of one order, as all imports brought them, and what was written of them: for `explain order`.

No index finds the raw rows of an order, so the server reads `raw_orders` once (`orders.other_versions`). Why a version
counts or not is told in `orders.explanations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.changes.read import read_records
from etl_assets.database.frames import fetch_frame
from etl_assets.errors import EtlError
from etl_assets.orders.explanations import explain_versions
from etl_assets.orders.other_versions import find_raw_rows
from etl_assets.orders.step import RAW_ORDER_TEXT_SCHEMA, read_rows
from etl_assets.orders.transform import IDENTITY, ORDER_VALUES
from etl_assets.shop.configure import only_shop
from etl_assets.values.text import clean_text, clean_text_str
from etl_assets.vectorized_queries import VectorizedQueries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.database.database import Database

_TEXTS: Final = {"items": pl.String(), "processes": pl.String()}
_ROW_SCHEMA: Final = {**RAW_ORDER_TEXT_SCHEMA, **_TEXTS}
VALUES: Final = (*(name for name in ORDER_VALUES if name != "customer_global_id"), IDENTITY)
"""Values of a version that are compared, besides its raw items and processes."""


class UnknownOrderError(EtlError):
    """No import has such an order."""


def read_order(database: Database, shop: str, order: str, platform: str | None = None) -> dict[str, Any]:
    """Read everything that is known about one order.

    Args:
        database: the store.
        shop: name of its shop.
        order: its number.
        platform: of the shop, where several have one of this name.

    Returns:
        `platform`, `shop_name`, `order_id`; `order` (its row, or None where no version counts); `versions` as
        `explain_versions` returns them, with `import_id`, `source`, `line` and times; `changes` of the stored order.

    Raises:
        UnknownShopError: there is no such shop, and never was.
        AmbiguousShopError: there are several.
        UnknownOrderError: no row of an import names the order.
    """
    queries = VectorizedQueries(database)
    with database.transaction() as connection:
        shops = connection.execute(sa.text(_SHOPS), {"name": clean_text_str(shop), "platform": platform}).mappings()
        found = only_shop([dict(one) for one in shops], shop, platform)
        key = {"shop_id": found["shop_id"], "order_id": clean_text_str(order)}
        rows = _rows_of(connection, found, key["order_id"])
        if rows.is_empty():
            msg = f"No import has an order {order!r} of the shop {found['platform']}:{found['shop_name']}."
            raise UnknownOrderError(msg)
        stored = connection.execute(sa.text(_ORDER), key).mappings().one_or_none()
        known = [dict(row) for row in connection.execute(sa.text(_ROWS), {"ids": rows["raw_id"].to_list()}).mappings()]
        changes = read_records(connection, "orders", key)
    values = _values(queries, rows)
    versions = [{**row, "values": values.get(row["raw_id"])} for row in known]
    return {
        "platform": found["platform"],
        "shop_name": found["shop_name"],
        "order_id": key["order_id"],
        "order": None if stored is None else dict(stored),
        "versions": explain_versions(
            versions, *(stored[name] if stored else None for name in ("raw_id", "lines_raw_id"))
        ),
        "changes": changes,
    }


def _rows_of(connection: sa.Connection, shop: Mapping[str, Any], order_id: str) -> pl.DataFrame:
    """Read the raw rows of the order (`_ROW_SCHEMA`), and those of others that they correct."""
    found = find_raw_rows(connection, pl.Series([order_id]))
    columns = ", ".join("t.batch_id" if name == "import_batch_id" else f"r.{name}" for name in _ROW_SCHEMA)
    query = f"SELECT {columns}, r.replaces_raw_id {_FROM}"  # constants
    schema = {**_ROW_SCHEMA, "replaces_raw_id": pl.Int64()}
    rows = fetch_frame(connection, query, schema, {"ids": found.to_list()})
    names = {"platform": shop["platform"], "shop": shop["shop_name"], "order_id": order_id}
    own = rows.filter(clean_text(pl.col(column)) == name for column, name in names.items())
    replaced = own["replaces_raw_id"].drop_nulls()
    others = replaced.filter(~replaced.is_in(own["raw_id"].implode())).to_list()
    more = fetch_frame(connection, query, schema, {"ids": others})
    return pl.concat([own, more]).select(*_ROW_SCHEMA)


def _values(queries: VectorizedQueries, rows: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """Return the values of the rows that can be read, by raw id."""
    good = read_rows(queries, rows.select(*RAW_ORDER_TEXT_SCHEMA), queries.batch_lookup_shops()).versions
    both = good.select("raw_id", *VALUES).join(rows.select("raw_id", *_TEXTS), on="raw_id")
    return {row.pop("raw_id"): row for row in both.to_dicts()}


_SHOPS: Final = """
    SELECT shop_id, platform, shop_name FROM (
        SELECT shop_id, platform, shop_name FROM shop_configs
        UNION SELECT shop_id, platform, shop_name FROM deleted_shops
    ) shops
    WHERE shop_name = :name AND platform = coalesce(:platform, platform) ORDER BY platform
"""
_ORDER: Final = "SELECT * FROM orders WHERE shop_id = :shop_id AND order_id = :order_id"
_FROM: Final = "FROM raw_orders r JOIN import_tasks t USING (import_id) WHERE r.raw_id = ANY (%(ids)s)"
_ROWS: Final = """
    SELECT r.raw_id, r.import_id, t.source, r.row_no AS line, t.completed_at AS imported_at,
           t.status AS import_status, t.mapping ->> 'holds' = 'lines' AS is_of_lines,
           r.corrects_reverted IS TRUE AS is_correction_reverted,
           EXISTS (
               SELECT FROM etl_work w WHERE w.asset IN ('shop', 'orders') AND w.batch_id = t.batch_id
               AND r.raw_id BETWEEN w.low AND w.high
           ) AS is_pending,
           (
               SELECT max(m.raw_id) FROM raw_orders m JOIN import_tasks i USING (import_id)
               WHERE m.replaces_raw_id = r.raw_id AND i.status = 'completed' AND m.corrects_reverted IS NOT TRUE
           ) AS corrected_by,
           (
               SELECT jsonb_build_object('reason', q.reason_code || ': ' || q.reason, 'resolution', q.resolution)
               FROM quarantine q WHERE q.asset = 'orders' AND q.raw_id = r.raw_id
               ORDER BY q.resolved_at DESC NULLS FIRST, q.quarantine_id DESC LIMIT 1
           ) AS entry
    FROM raw_orders r JOIN import_tasks t USING (import_id) WHERE r.raw_id = ANY (:ids)
"""
