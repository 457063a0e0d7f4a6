"""Subjects of the events that the pipeline publishes, and the version of their payload.

Constants for programs that listen. Which asset publishes which subject stands in `etl_assets.asset_graph`.
"""

from __future__ import annotations

from typing import Final

EVENT_VERSION: Final = "1.0"

DATA_IMPORT_COMPLETED: Final = "DATA_IMPORT_COMPLETED"
SHOP_ETL_COMPLETED: Final = "SHOP_ETL_COMPLETED"
ORDERS_ETL_COMPLETED: Final = "ORDERS_ETL_COMPLETED"
ORDER_ITEMS_ETL_COMPLETED: Final = "ORDER_ITEMS_ETL_COMPLETED"
PROCESS_ITEMS_ETL_COMPLETED: Final = "PROCESS_ITEMS_ETL_COMPLETED"
CUSTOMERS_ETL_COMPLETED: Final = "CUSTOMERS_ETL_COMPLETED"
LEADS_ETL_COMPLETED: Final = "LEADS_ETL_COMPLETED"
