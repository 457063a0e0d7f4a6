"""Which columns each column of an asset's table is made from, declared as data, for the UI and for OpenLineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.asset_graph import AssetName

_SHOP_OF_ROW: Final = "raw_orders.platform raw_orders.shop"
_ORDER_KEY: Final = {"shop_id": "orders.shop_id", "order_id": "orders.order_id"}
_FIGURES: Final = "orders.customer_global_id orders.is_cancelled"
_TYPED: Final = f"{_FIGURES} orders.system_order_type"
_MONEY: Final = "orders.amount orders.currency"

LINEAGE: Final[Mapping[AssetName, Mapping[str, str]]] = {
    "shop": {
        "platform": "raw_orders.platform",
        "shop_name": "raw_orders.shop",
        "currency": "raw_orders.currency",
    },
    "orders": {
        "shop_id": f"shop.shop_id shop.platform shop.shop_name {_SHOP_OF_ROW}",
        "order_id": "raw_orders.order_id",
        "order_no": "raw_orders.raw_id",
        "customer_nickname": "raw_orders.customer_name",
        "customer_global_id": f"raw_orders.customer_name {_SHOP_OF_ROW}",
        "latest_status": "raw_orders.order_status",
        "is_cancelled": "raw_orders.order_status",
        "order_type": "raw_orders.order_type",
        "system_order_type": "raw_orders.order_type",
        "amount": "raw_orders.amount",
        "currency": "raw_orders.currency",
        "ordered_at": "raw_orders.ordered_at shop.timezone",
        "source_updated_at": "raw_orders.updated_at shop.timezone",
        "raw_id": "raw_orders.raw_id",
    },
    "order_items": {
        **_ORDER_KEY,
        "order_no": "orders.order_no",
        **dict.fromkeys(
            ("line_no", "product", "variant", "sku", "quantity", "unit_price", "processes"), "raw_orders.items"
        ),
    },
    "process_items": {
        **_ORDER_KEY,
        "order_no": "orders.order_no",
        **dict.fromkeys(
            ("process_no", "process_type", "position", "picture_count"), "order_items.processes raw_orders.processes"
        ),
        "line_no": "order_items.line_no",
        "quantity": "order_items.quantity",
        "picture_print_quantity": "order_items.quantity order_items.processes raw_orders.processes",
    },
    "customers": {
        "customer_global_id": "orders.customer_global_id",
        "customer_key": "shop.platform shop.shop_name orders.customer_nickname",
        "shop_id": "orders.shop_id",
        "customer_nickname": "orders.customer_nickname",
        "first_order_at": "orders.ordered_at orders.is_cancelled",
        "last_order_at": "orders.ordered_at orders.is_cancelled",
        "order_count": "orders.order_id orders.is_cancelled",
    },
    "leads": {
        "lead_id": "customers.customer_global_id",
        "customer_global_id": "orders.customer_global_id customers.customer_global_id",
        "lead_no": "orders.customer_global_id",
        "reopen_count": "orders.customer_global_id",
        "first_order_at": f"{_FIGURES} orders.ordered_at",
        "last_order_at": f"{_FIGURES} orders.ordered_at",
        "order_count": f"{_FIGURES} orders.order_id",
        "total_amount": f"{_FIGURES} {_MONEY}",
        **{f"{kind}_count": _TYPED for kind in ("sample", "proof", "bulk")},
        **{f"{kind}_amount": f"{_TYPED} {_MONEY}" for kind in ("sample", "proof", "bulk")},
        "currency": "orders.currency orders.ordered_at",
        "other_currency_count": f"{_FIGURES} orders.currency",
    },
}
"""Column → columns it is made from, as `asset.column`. What the database or people give is not named."""


def column_lineage(asset: AssetName) -> dg.TableColumnLineage:
    """The lineage of an asset's table as Dagster has it."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(*source.split(".")) for source in sources.split()]
            for column, sources in LINEAGE.get(asset, {}).items()
        }
    )
