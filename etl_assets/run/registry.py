"""The six assets in the order of the graph, and how one of them is run from anywhere: Dagster, a command, asyncio."""

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
    from etl_assets.events.subjects import AssetName
    from etl_assets.settings import Settings

STEPS: Final[dict[AssetName, Step]] = {
    "shop": ShopStep(),
    "orders": OrdersStep(),
    "order_items": OrderItemsStep(),
    "process_items": ProcessItemsStep(),
    "customers": CustomersStep(),
    "leads": LeadsStep(),
}
"""Each asset's step, upstream first."""


def build_services(settings: Settings) -> Services:
    """The services that the settings describe, for use outside Dagster."""
    database = Database(settings)
    return Services(database, BatchProcessor(), VectorizedQueries(database))


def run_asset(
    asset: AssetName, services: Services, *, run_id: str | None = None, full_refresh: bool = False
) -> StepResult:
    """Consume everything that is pending for `asset`, or with `full_refresh` everything there is.

    See `run_step` for what is raised.
    """
    if full_refresh:
        with services.database.transaction() as connection:
            enqueue_everything(connection, asset)
    return run_step(STEPS[asset], services, run_id=run_id)
