"""Shops, orders, customers and leads of each platform; no customer's data."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

_PLATFORMS: Final = """
    SELECT s.platform, count(DISTINCT s.shop_id) AS shops, count(*) AS orders,
           count(DISTINCT o.customer_global_id) AS customers, count(DISTINCT l.lead_id) AS leads
    FROM orders o
    JOIN shop_configs s USING (shop_id)
    LEFT JOIN lead_orders l ON l.shop_id = o.shop_id AND l.order_id = o.order_id
    GROUP BY s.platform ORDER BY leads DESC, s.platform
"""


def read_platforms(connection: sa.Connection) -> list[dict[str, Any]]:
    """Read a record per platform, those with most leads first: `platform`, `shops`, `orders`, `customers`, `leads`."""
    return [dict(row) for row in connection.execute(sa.text(_PLATFORMS)).mappings()]
