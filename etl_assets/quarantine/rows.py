"""Writes of quarantine within a batch: keeps rejected rows with their reasons, resolves rows that newer ones overtake.

Both run in the batch's transaction, so that quarantine and data never disagree. The package describes the whole life of
a row; user actions on it are in the other modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import QUARANTINING_ASSETS
from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger.range_sql import LIVE
from etl_assets.values.text import fits_an_index

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName

_OPEN_MOVES: Final = (
    "SELECT DISTINCT m.raw_id FROM order_moves m JOIN quarantine q USING (raw_id)"
    " WHERE q.asset = 'customers' AND q.resolved_at IS NULL"
)
_OPEN_SCHEMA: Final = {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "corrected_by": pl.Int64()}


def quarantine_rows(connection: sa.Connection, asset: AssetName, rejected: pl.DataFrame) -> int:
    """Put rejected rows into quarantine: one entry per raw row and reason code, however often the row is run.

    An entry is opened again unless a correction stands for its row, or a later row of its order does (`superseded`, an
    outcome of `orders` that holds for ever, but of lines and customers for as long as the later row counts). A row that
    was reverted before its lines could be processed gets a closed entry.

    Args:
        connection: the batch's transaction.
        asset: the asset that rejected them.
        rejected: rows of `REJECTED_SCHEMA`; the first of those with the same raw row and reason code is kept.

    Returns:
        How many rows were rejected, new in quarantine or known.
    """
    if rejected.is_empty():
        return 0
    # An order id too long for the index belongs to no stored order, so no later row could resolve the entry by it.
    kept = (
        rejected.select(*REJECTED_SCHEMA)
        .unique(["raw_id", "reason_code"], keep="first", maintain_order=True)
        .with_columns(pl.when(fits_an_index(pl.col("order_id"))).then("order_id").alias("order_id"))
    )
    copy_to_temp_table(connection, "quarantine", kept, name="rejected_rows")
    connection.execute(
        sa.text(_QUARANTINE),
        {"asset": asset, "reopened": ["replayed", "reverted", *([] if asset == "orders" else ["superseded"])]},
    )
    return rejected.height


_IS_CORRECTED: Final = f"""
    EXISTS (
        SELECT FROM raw_orders r JOIN import_tasks t USING (import_id) WHERE r.replaces_raw_id = q.raw_id AND {LIVE}
    )
"""  # constants only
_OF_LINES: Final = """
    EXISTS (SELECT FROM import_tasks t WHERE t.import_id = q.import_id AND t.mapping ->> 'holds' = 'lines')
"""
"""SQL condition that the row of an entry `q` is one of a file of lines."""
_QUARANTINE: Final = f"""
    INSERT INTO quarantine AS q
        (asset, import_id, raw_id, shop_id, order_id, reason_code, reason, row, resolved_at, resolution)
    SELECT :asset, r.import_id, s.raw_id, s.shop_id, s.order_id, s.reason_code, s.reason, to_jsonb(r),
           CASE WHEN NOT ({LIVE}) THEN now() END, CASE WHEN NOT ({LIVE}) THEN 'reverted' END
    FROM rejected_rows s JOIN raw_orders r ON r.raw_id = s.raw_id JOIN import_tasks t ON t.import_id = r.import_id
    ORDER BY s.raw_id
    ON CONFLICT (asset, raw_id, reason_code) DO UPDATE SET resolved_at = NULL, resolution = NULL
    WHERE q.resolution = ANY (:reopened) AND excluded.resolution IS NULL AND NOT {_IS_CORRECTED}
"""  # noqa: S608  # constants only


def resolve_anew(connection: sa.Connection, rejected: pl.DataFrame, latest: pl.DataFrame) -> None:
    """Decide anew whether rows of `orders` are overtaken or corrected, when rows that did so are reverted or restored.

    To be followed by `resolve_rows`.

    Args:
        connection: the batch's transaction; the orders are written.
        rejected: bad rows (`REJECTED_SCHEMA`) of orders that were decided anew, in quarantine.
        latest: `shop_id`, `order_id` and `raw_id` of the last good row of each, the newest version or not.
    """
    if rejected.is_empty():
        return
    copy_to_temp_table(connection, "orders", latest.select("shop_id", "order_id", "raw_id"), name="latest_rows")
    copy_to_temp_table(connection, "quarantine", rejected.select("raw_id", "reason_code"), name="rejected_again")
    for statement in _RESOLVE_ANEW:
        connection.execute(sa.text(statement))


_OF_REJECTED: Final = """
    FROM rejected_again a WHERE q.asset = 'orders' AND q.raw_id = a.raw_id AND q.reason_code = a.reason_code
"""
_RESOLVE_ANEW: Final = (
    f"""
    UPDATE quarantine q SET resolved_at = now(), resolution = 'replayed' {_OF_REJECTED}
    AND q.resolved_at IS NULL AND {_IS_CORRECTED}
    """,  # noqa: S608  # constants only
    f"""
    UPDATE quarantine q SET resolved_at = NULL, resolution = NULL {_OF_REJECTED}
    AND q.resolution = 'superseded' AND NOT {_IS_CORRECTED} AND NOT EXISTS (
        SELECT FROM latest_rows l WHERE l.shop_id = q.shop_id AND l.order_id = q.order_id AND l.raw_id > q.raw_id
        AND (q.reason_code <> 'CONFLICTING_ORDER' OR EXISTS (
            SELECT FROM orders o WHERE o.shop_id = q.shop_id AND o.order_id = q.order_id
            AND o.platform_order_id = q.row ->> 'platform_order_id'
        ))
    )
    """,  # noqa: S608  # constants only
)


def reopen_reverted(connection: sa.Connection, current: pl.DataFrame) -> None:
    """Open what a revert closed of lines, customers and leads, where the rows that count are those from before it.

    Hazard: an import may be restored before a run has followed its revert. Its orders are unchanged then, so that no
    asset downstream would reject their rows again. Of orders that change, the assets downstream decide.

    Args:
        connection: the batch's transaction.
        current: `raw_id` of the rows that count, and `is_changed`: whether their orders are written.
    """
    copy_to_temp_table(connection, "quarantine", current.select("raw_id", "is_changed"), name="counting_rows")
    connection.execute(
        sa.text(
            "UPDATE quarantine q SET resolution = CASE WHEN c.is_changed THEN 'replayed' END,"
            " resolved_at = CASE WHEN c.is_changed THEN q.resolved_at END"
            " FROM counting_rows c WHERE q.asset = ANY (:assets) AND q.raw_id = c.raw_id AND q.resolution = 'reverted'"
        ),
        {"assets": [asset for asset in QUARANTINING_ASSETS if asset != "orders"]},
    )


def resolve_lines_of_deleted(connection: sa.Connection, orders: pl.DataFrame) -> None:
    """Resolve rows of lines that can't be read, of orders (`shop_id`, `order_id`) that are deleted: they only wait now.

    If such an order comes again, its lines are read again, and the entry is opened.
    """
    if orders.is_empty():
        return
    copy_to_temp_table(connection, "quarantine", orders, name="deleted_keys")
    connection.execute(
        sa.text(
            "UPDATE quarantine q SET resolved_at = now(), resolution = 'superseded' FROM deleted_keys d"
            " WHERE q.shop_id = d.shop_id AND q.order_id = d.order_id AND q.resolved_at IS NULL"
            " AND q.asset IN ('order_items', 'process_items')"
        )
    )


def resolve_rows(
    connection: sa.Connection,
    asset: AssetName,
    current: pl.DataFrame,
    *,
    moved: pl.Series | None = None,
    of_lines: bool = False,
) -> None:
    """Resolve open rows that the latest rows of their orders have overtaken.

    A row that is good now, or was replaced by a corrected one that is, resolves as `replayed`; an earlier row of
    the same order as `superseded`, of lines, customers and leads any other row (a restored one may have come
    before). A row of another order under the same number (`CONFLICTING_ORDER`) is no earlier one of it: only an
    order with the same id of the platform resolves it.

    Hazards (docs/decisions.md, "Quarantine resolution" and "Late rows"). Of orders, any good row resolves earlier bad
    ones, even one that lost against the stored version; of lines, only the version that counts does: the caller decides
    by the rows of `current`. A bad row that is read after a later good one must resolve as well. Where an order moved,
    the fault may lie with the customer that it left: until that move is followed (`moved`), its row is not good.

    A first load has no open rows and millions of keys: keys are compared with the open rows before they are copied to
    the server, so that usually none is.

    Args:
        connection: the batch's transaction.
        asset: the asset whose quarantine it is.
        current: `shop_id`, `order_id`, `raw_id` (the latest row of each order), `is_good`.
        moved: of `customers`, the raw rows whose moves to another customer this batch followed.
        of_lines: of `orders`, the rows are of files of lines, and resolve only such; else they resolve only others.
    """
    if current.is_empty():
        return
    keys = current.select("shop_id", "order_id", "raw_id", is_good="is_good")
    open_rows = fetch_frame(connection, _open_rows_query(asset, keys.height + 1), _OPEN_SCHEMA)
    if open_rows.height <= keys.height:
        keys = _matching(keys, open_rows)
    if keys.is_empty():
        return
    if moved is not None:
        others = fetch_frame(connection, _OPEN_MOVES, {"raw_id": pl.Int64()}).filter(
            ~pl.col("raw_id").is_in(moved.implode())
        )
        keys = keys.with_columns(is_good=pl.col("is_good") & ~pl.col("raw_id").is_in(others["raw_id"].implode()))
    copy_to_temp_table(connection, "orders", keys, name="current_rows")
    connection.execute(
        sa.text(
            f"""
            WITH overtaken AS (
                SELECT q.quarantine_id, 'superseded' AS resolution
                FROM current_rows c JOIN quarantine q USING (shop_id, order_id)
                WHERE q.asset = :asset AND q.resolved_at IS NULL
                AND (q.asset <> 'orders' OR {_OF_LINES} = :of_lines)
                AND (q.raw_id < c.raw_id OR q.asset <> 'orders' AND q.raw_id <> c.raw_id)
                AND (q.reason_code <> 'CONFLICTING_ORDER' OR EXISTS (
                    SELECT FROM orders o WHERE o.shop_id = c.shop_id AND o.order_id = c.order_id
                    AND o.platform_order_id = q.row ->> 'platform_order_id'
                ))
                UNION ALL
                SELECT q.quarantine_id, 'replayed'
                FROM current_rows c JOIN raw_orders r USING (raw_id)
                JOIN quarantine q ON q.raw_id IN (r.raw_id, r.replaces_raw_id)
                WHERE q.asset = :asset AND q.resolved_at IS NULL AND c.is_good
            )
            UPDATE quarantine q SET resolved_at = now(), resolution = o.resolution
            FROM (SELECT quarantine_id, min(resolution) AS resolution FROM overtaken GROUP BY quarantine_id) o
            WHERE q.quarantine_id = o.quarantine_id
            """  # noqa: S608  # constants only
        ),
        {"asset": asset, "of_lines": of_lines},
    )


def _open_rows_query(asset: AssetName, at_most: int) -> str:
    """Return the query of an asset's open rows, each with the raw rows that correct it."""
    return (
        "SELECT q.shop_id, q.order_id, q.raw_id, m.raw_id FROM quarantine q"  # noqa: S608  # a constant and an integer
        " LEFT JOIN raw_orders m ON m.replaces_raw_id = q.raw_id"
        f" WHERE q.asset = '{asset}' AND q.resolved_at IS NULL FETCH FIRST {at_most:d} ROWS ONLY"
    )


def _matching(keys: pl.DataFrame, open_rows: pl.DataFrame) -> pl.DataFrame:
    """Return the keys that may resolve an open row: of the same raw row, its correction, or its order."""
    raw_ids = pl.concat([open_rows["raw_id"], open_rows["corrected_by"]]).drop_nulls().alias("raw_id").to_frame()
    same_row = keys.join(raw_ids, on="raw_id", how="semi")
    same_order = keys.join(open_rows, on=("shop_id", "order_id"), how="semi")
    return pl.concat([same_row, same_order]).unique()
