"""The list of orders: those that changed last, those of a shop by number, or those that a search finds.

Each way follows an index that the pipeline has anyway. A search looks for the beginning of an order number in each
shop, and for customers whose name begins with the text; it is limited, as its results are sorted by time. One order is
read in `order_details`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.values.text import clean_text_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE_SIZE: Final = 50
MAX_FOUND: Final = 200
"""Orders that a search shows."""
MAX_TEXT: Final = 200


class OrderPage(NamedTuple):
    """One page of the list."""

    orders: Sequence[Mapping[str, Any]]
    next: str | None
    """Cursor of the page after; None on the last one, and for a search."""
    is_cut: bool
    """True where a search found more than it shows."""


def read_orders(
    connection: sa.Connection, text: str = "", shop_id: int | None = None, *, at: str | None = None
) -> OrderPage:
    """Read a page of the list.

    Args:
        connection: an open transaction.
        text: beginning of an order number or of a customer's name.
        shop_id: only orders of this shop.
        at: cursor of the page; one that is not understood means the first page.
    """
    wanted = clean_text_str(text[:MAX_TEXT].replace("\0", ""))
    if wanted:
        rows = _rows(connection, _FOUND, text=wanted, shop_id=shop_id, limit=MAX_FOUND + 1)
        return OrderPage(rows[:MAX_FOUND], None, is_cut=len(rows) > MAX_FOUND)
    if shop_id is None:
        batch_id, raw_id = _numbers(at)
        rows = _rows(connection, _CHANGED_LAST, batch_id=batch_id, raw_id=raw_id, limit=PAGE_SIZE + 1)
        cursor = "{batch_id}~{raw_id}"
    else:
        rows = _rows(connection, _OF_SHOP, shop_id=shop_id, before=at, limit=PAGE_SIZE + 1)
        cursor = "{order_id}"
    following = cursor.format(**rows[PAGE_SIZE - 1]) if len(rows) > PAGE_SIZE else None
    return OrderPage(rows[:PAGE_SIZE], following, is_cut=False)


def _numbers(cursor: str | None) -> tuple[int, int]:
    batch_id, _, raw_id = (cursor or "").partition("~")
    are_numbers = all(text.isascii() and text.isdigit() and len(text) < len(str(_LAST)) for text in (batch_id, raw_id))
    return (int(batch_id), int(raw_id)) if are_numbers else (_LAST, _LAST)


_LAST: Final = 2**63 - 1


def _rows(connection: sa.Connection, query: str, **parameters: object) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(query), parameters).mappings()]


_COLUMNS: Final = """
    o.shop_id, o.order_id, o.customer_nickname AS customer, o.latest_status, o.is_cancelled, o.order_type,
    o.system_order_type, o.amount, o.refunded_amount, o.currency, o.ordered_at, o.batch_id, o.raw_id, s.platform,
    coalesce(s.shown_name, s.shop_name) AS shop, a.lead_id
"""
_JOINS: Final = """
    LEFT JOIN shop_configs s ON s.shop_id = o.shop_id
    LEFT JOIN lead_orders a ON a.shop_id = o.shop_id AND a.order_id = o.order_id
"""
_CHANGED_LAST: Final = f"""
    SELECT {_COLUMNS} FROM (
        SELECT * FROM orders WHERE (batch_id, raw_id) < (:batch_id, :raw_id)
        ORDER BY batch_id DESC, raw_id DESC LIMIT :limit
    ) o {_JOINS} ORDER BY o.batch_id DESC, o.raw_id DESC
"""  # noqa: S608  # constants only
_OF_SHOP: Final = f"""
    SELECT {_COLUMNS} FROM (
        SELECT * FROM orders
        WHERE shop_id = :shop_id AND (CAST(:before AS text) IS NULL OR order_id < CAST(:before AS text))
        ORDER BY order_id DESC LIMIT :limit
    ) o {_JOINS} ORDER BY o.order_id DESC
"""  # noqa: S608  # constants only
_FOUND: Final = f"""
    WITH chosen AS (
        SELECT shop_id FROM shop_configs WHERE CAST(:shop_id AS integer) IS NULL OR shop_id = CAST(:shop_id AS integer)
    ), named AS (
        SELECT customer_global_id FROM customers
        WHERE lower(customer_nickname) ~>=~ lower(:text) AND lower(customer_nickname) ~<~ (lower(:text) || chr(1114111))
        AND shop_id IN (SELECT shop_id FROM chosen) LIMIT :limit
    ), keys AS (
        (
            SELECT n.shop_id, n.order_id FROM chosen s CROSS JOIN LATERAL (
                SELECT shop_id, order_id FROM orders f
                WHERE f.shop_id = s.shop_id AND f.order_id >= :text AND f.order_id < (:text || chr(1114111))
                LIMIT :limit
            ) n LIMIT :limit
        ) UNION (
            SELECT n.shop_id, n.order_id FROM named c CROSS JOIN LATERAL (
                SELECT shop_id, order_id FROM orders f
                WHERE f.customer_global_id = c.customer_global_id LIMIT :limit
            ) n LIMIT :limit
        )
    )
    SELECT {_COLUMNS} FROM keys k JOIN orders o ON o.shop_id = k.shop_id AND o.order_id = k.order_id {_JOINS}
    ORDER BY o.ordered_at DESC NULLS LAST, o.order_id LIMIT :limit
"""  # noqa: S608  # constants only
