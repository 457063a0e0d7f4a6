"""Charts in the metadata of materialisations: chooses the charts of each asset and wraps them for the UI.

A chart never fails an asset whose rows are stored: its error is logged, and shown in its place. Figures are read and
drawn in `etl_assets/reporting`. See https://docs.dagster.io/guides/build/assets/metadata-and-tags.
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
"""Time budget for reading the figures of one chart."""


def chart_metadata(database: Database, asset: AssetName, log: Logger) -> dict[str, Any]:
    """Return the charts of an asset as metadata; empty while it has no data."""
    drawn = {name: _draw_safely(draw, f"{asset}: {name}", log) for name, draw in _pages_of(database, asset).items()}
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


def _draw_safely(draw: Callable[[], str | None], name: str, log: Logger) -> str | None:
    """Draw a page; in case of an error, return a page that names it."""
    try:
        return draw()
    except TooSlowError as error:
        log.info("%s is left out. %s", name, error)
        return f"Left out. {error}"
    except Exception as error:  # noqa: BLE001  # of any kind: a chart must not fail its asset
        reason = f"{type(error).__name__} (SQLSTATE {sqlstate_of(error) or '-'})"
        log.error("%s could not be drawn: %s", name, reason)  # noqa: TRY400  # a driver's text quotes values
        return f"Could not be drawn: {reason}."
