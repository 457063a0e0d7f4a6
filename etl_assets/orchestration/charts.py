"""The pictures in the metadata of materialisations: what is drawn for which asset, and how the UI gets it.

A picture never fails an asset whose rows are stored: what stood in its way is logged, and said in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from etl_assets.database.database import sqlstate_of
from etl_assets.reporting import figures, pages
from etl_assets.reporting.figures import TooSlowError
from etl_assets.reporting.samples import without_free_currencies, without_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

SECONDS: Final = 0.7
"""How long the figures of one picture may take to be read."""


def chart_metadata(database: Database, asset: AssetName, log: Logger) -> dict[str, Any]:
    """The pictures of an asset as metadata; none where there is nothing to draw yet."""
    drawn = {name: _page(draw, f"{asset}: {name}", log) for name, draw in _pages_of(database, asset).items()}
    return {name: dg.MetadataValue.md(page) for name, page in drawn.items() if page is not None}


def _pages_of(database: Database, asset: AssetName) -> dict[str, Callable[[], str | None]]:
    mode = database.settings.sample_rows

    def orders_page() -> str | None:
        by_shop, by_day = figures.read_order_counts(database, seconds=SECONDS)
        return pages.orders_page(without_names(by_shop, mode), by_day)

    def leads_page() -> str | None:
        return pages.leads_page(without_free_currencies(figures.read_lead_funnel(database, seconds=SECONDS), mode))

    pages_of: dict[str, Callable[[], str | None]] = {}
    if asset == "orders":
        pages_of["orders_per_shop_and_day"] = orders_page
    if asset == "leads":
        pages_of["lead_funnel"] = leads_page
    pages_of["rate_of_the_last_runs"] = lambda: pages.rates_page(figures.read_rates(database, asset))
    return pages_of


def _page(draw: Callable[[], str | None], name: str, log: Logger) -> str | None:
    try:
        return draw()
    except TooSlowError as error:
        log.info("%s is left out. %s", name, error)
        return f"Left out. {error}"
    except Exception as error:  # noqa: BLE001  # whatever it is
        reason = f"{type(error).__name__} (SQLSTATE {sqlstate_of(error) or '-'})"
        log.error("%s could not be drawn: %s", name, reason)  # noqa: TRY400  # a driver's text quotes values
        return f"Could not be drawn: {reason}."
