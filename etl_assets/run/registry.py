"""Registry of the steps, and `run_asset`, which runs one of them from anywhere: Dagster, a command, asyncio.

Here: which object is the step of which asset. Not here: facts about assets (the asset graph), the engine
(`pipeline.runner`), Dagster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.batch_processor import BatchProcessor
from etl_assets.customers.step import CustomersStep
from etl_assets.database.database import Database
from etl_assets.leads.step import LeadsStep
from etl_assets.ledger.queue import enqueue_everything
from etl_assets.order_items.step import OrderItemsStep
from etl_assets.orders.step import OrdersStep
from etl_assets.pipeline.protocol import Services, Step, StepResult
from etl_assets.pipeline.runner import run_step
from etl_assets.process_items.step import ProcessItemsStep
from etl_assets.shop.step import ShopStep
from etl_assets.vectorized_queries import VectorizedQueries

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName
    from etl_assets.settings import Settings

STEPS: Final[dict[AssetName, Step]] = {
    "shop": ShopStep(),
    "orders": OrdersStep(),
    "order_items": OrderItemsStep(),
    "process_items": ProcessItemsStep(),
    "customers": CustomersStep(),
    "leads": LeadsStep(),
}
"""Step of each asset, upstream first; a test compares the names with the asset graph."""


def build_services(settings: Settings) -> Services:
    """Return the services for these settings, for use outside Dagster."""
    database = Database(settings)
    return Services(database, BatchProcessor(), VectorizedQueries(database))


def run_asset(
    asset: AssetName, services: Services, *, run_id: str | None = None, full_refresh: bool = False
) -> StepResult:
    """Consume everything that is pending for `asset`, or with `full_refresh` everything there is.

    See `run_step` for the errors that are raised.
    """
    if full_refresh:
        with services.database.transaction() as connection:
            enqueue_everything(connection, asset)
    return run_step(STEPS[asset], services, run_id=run_id)
