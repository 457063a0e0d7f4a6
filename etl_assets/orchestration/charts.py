"""Charts in the metadata of materialisations: chooses the charts of each asset and wraps them for the UI.

A chart never fails an asset whose rows are stored: its error is logged, and shown in its place. Figures are read and
drawn in `etl_assets/reporting`. See https://docs.dagster.io/guides/build/assets/metadata-and-tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from etl_assets.database.database import sqlstate_of
from etl_assets.reporting import figures, pages
from etl_assets.reporting.figures import SECONDS, TooSlowError
from etl_assets.reporting.samples import without_free_currencies, without_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database


def chart_metadata(database: Database, asset: AssetName, log: Logger) -> dict[str, Any]:
    """Return the charts of an asset as metadata, and figures of them for plots; empty while it has no data."""
    plotted: dict[str, int | float] = {}
    pages_of = _pages_of(database, asset, plotted)
    drawn = {name: _draw_safely(draw, f"{asset}: {name}", log) for name, draw in pages_of.items()}
    return plotted | {name: dg.MetadataValue.md(page) for name, page in drawn.items() if page is not None}


def _pages_of(
    database: Database, asset: AssetName, plotted: dict[str, int | float]
) -> dict[str, Callable[[], str | None]]:
    """Return the functions that draw the pages of an asset; that of leads adds its figures to `plotted`."""
    mode = database.settings.sample_rows

    def orders_page() -> str | None:
        by_shop, by_day = figures.read_order_counts(database, seconds=SECONDS)
        return pages.orders_page(without_names(by_shop, mode), by_day)

    def leads_page() -> str | None:
        funnel = without_free_currencies(figures.read_lead_funnel(database, seconds=SECONDS), mode)
        plotted.update(figures.open_lead_figures(funnel))
        return pages.leads_page(funnel)

    pages_of: dict[str, Callable[[], str | None]] = {}
    if asset == "leads":  # the last asset: no other waits for figures of whole tables
        pages_of["lead_funnel"] = leads_page
        pages_of["orders_per_shop_and_day"] = orders_page
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
