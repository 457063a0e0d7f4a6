"""Schemas of the frames that rules hand to code with a database, and the other way round.

Here, so that a rule need not import the module that stores its result, nor a look-up the rule that uses it. A schema
that only one folder uses belongs there.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.values.timestamps import TIMESTAMP_UTC

REJECTED_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "reason_code": pl.String(),
    "reason": pl.String(),
}
"""Every frame of rejected rows; `shop_id` and `order_id` are null where they can't be read."""

CONFLICTING_ORDER: Final = "CONFLICTING_ORDER"
"""Reason code of orders that share an order number with another one: at landing a `defect` of the raw row."""

CUSTOMER_SCHEMA: Final = {
    "customer_global_id": pl.String(),
    "customer_key": pl.String(),
    "shop_id": pl.Int32(),
    "customer_nickname": pl.String(),
    "first_order_at": TIMESTAMP_UTC,
    "last_order_at": TIMESTAMP_UTC,
    "order_count": pl.Int32(),
}
"""Customers, as they are stored."""
