"""The subjects of the events that the pipeline publishes, and the version of their payload. Nothing else names them."""

from __future__ import annotations

from typing import Final, Literal

EVENT_VERSION: Final = "1.0"

DATA_IMPORT_COMPLETED: Final = "DATA_IMPORT_COMPLETED"
SHOP_ETL_COMPLETED: Final = "SHOP_ETL_COMPLETED"
ORDERS_ETL_COMPLETED: Final = "ORDERS_ETL_COMPLETED"
ORDER_ITEMS_ETL_COMPLETED: Final = "ORDER_ITEMS_ETL_COMPLETED"
PROCESS_ITEMS_ETL_COMPLETED: Final = "PROCESS_ITEMS_ETL_COMPLETED"
CUSTOMERS_ETL_COMPLETED: Final = "CUSTOMERS_ETL_COMPLETED"
LEADS_ETL_COMPLETED: Final = "LEADS_ETL_COMPLETED"

AssetName = Literal["raw_orders", "shop", "orders", "order_items", "process_items", "customers", "leads"]

SUBJECT_OF: Final[dict[AssetName, str]] = {
    "raw_orders": DATA_IMPORT_COMPLETED,
    "shop": SHOP_ETL_COMPLETED,
    "orders": ORDERS_ETL_COMPLETED,
    "order_items": ORDER_ITEMS_ETL_COMPLETED,
    "process_items": PROCESS_ITEMS_ETL_COMPLETED,
    "customers": CUSTOMERS_ETL_COMPLETED,
    "leads": LEADS_ETL_COMPLETED,
}
"""What each asset publishes when a batch of it is committed."""

TRIGGER_EVENT: Final[dict[AssetName, str]] = {
    "shop": DATA_IMPORT_COMPLETED,
    "orders": DATA_IMPORT_COMPLETED,
    "order_items": ORDERS_ETL_COMPLETED,
    "customers": ORDERS_ETL_COMPLETED,
    "process_items": ORDER_ITEMS_ETL_COMPLETED,
    "leads": CUSTOMERS_ETL_COMPLETED,
}
"""The event that wakes each asset, upstream first. `orders` follows `shop`, which hands the imports on to it."""
