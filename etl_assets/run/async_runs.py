"""Assets as coroutines, for use inside another asyncio program: `run_etl` for any of them, and one by name for each.

Each runs the synchronous step in a thread, so that the event loop stays free, and returns its result as a dict. The
batches publish their events themselves, in their own transactions; a step that fails publishes one with status
`failed` and raises.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from etl_assets.database import migrate
from etl_assets.errors import BatchFailedError, DatabaseUnavailableError
from etl_assets.ledger.batches import publish_failure
from etl_assets.run.registry import build_services, run_asset
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Services


class AsyncRun(Protocol):
    """Coroutine that runs one asset."""

    async def __call__(self, services: Services | None = None) -> dict[str, Any]:
        """Run it. See `run_etl`."""
        ...


async def run_etl(asset: AssetName, services: Services | None = None) -> dict[str, Any]:
    """Consume everything that is pending for one asset.

    Args:
        asset: which one.
        services: database, batch processor and queries; made from the environment's settings where not given.

    Returns:
        The result as `StepResult.as_dict` gives it.

    Raises:
        EtlError: the step failed; an event with status `failed` was published if the database could be reached.
    """
    return await asyncio.to_thread(_run, asset, services)


def _coroutine_of(asset: AssetName) -> AsyncRun:
    """Return `run_etl` for one asset, under a name of its own."""

    async def run(services: Services | None = None) -> dict[str, Any]:
        return await run_etl(asset, services)

    run.__name__ = run.__qualname__ = f"run_etl_{asset}"
    run.__doc__ = f"Run the `{asset}` asset. See `run_etl`."
    return run


run_etl_shop: Final = _coroutine_of("shop")
run_etl_orders: Final = _coroutine_of("orders")
run_etl_order_items: Final = _coroutine_of("order_items")
run_etl_process_items: Final = _coroutine_of("process_items")
run_etl_customers: Final = _coroutine_of("customers")
run_etl_leads: Final = _coroutine_of("leads")


def _run(asset: AssetName, services: Services | None) -> dict[str, Any]:
    if services is not None:
        return _run_publishing(asset, services)
    own = build_services(Settings())
    try:
        migrate.require_current(own.database)
        return _run_publishing(asset, own)
    finally:
        own.database.dispose()


def _run_publishing(asset: AssetName, services: Services) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        return run_asset(asset, services).as_dict()
    except (BatchFailedError, DatabaseUnavailableError):
        raise  # published with the batch, or there is nowhere to publish to
    except Exception:
        with services.database.transaction() as connection:
            publish_failure(connection, asset, rows=0, duration=time.perf_counter() - started)
        raise
