"""Figures behind the charts: read from the ledger, or from a whole table within a time budget.

Rates are read after each asset, the others after `leads`: each query must stay cheap however many orders are stored.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.database import sqlstate_of
from etl_assets.database.frames import fetch_frame
from etl_assets.errors import EtlError
from etl_assets.values.numbers import TOTAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

SECONDS: Final = 0.7
"""Time budget for reading the figures of one chart."""

RUNS_SHOWN: Final = 20
DAYS_SHOWN: Final = 90
CURRENCIES_SHOWN: Final = 5

RATE_SCHEMA: Final = {"rows": pl.Int64(), "seconds": pl.Float64()}
FUNNEL_SCHEMA: Final = {
    "currency": pl.String(),
    "leads": pl.Int64(),
    **{
        f"{kind}_{figure}": dtype
        for kind in ("sample", "proof", "bulk")
        for figure, dtype in (("leads", pl.Int64()), ("orders", pl.Int64()), ("amount", TOTAL))
    },
    "sample_then_bulk": pl.Int64(),
    "open_leads": pl.Int64(),
    "open_amount": TOTAL,
}
SHOP_SCHEMA: Final = {"shop_id": pl.Int32(), "platform": pl.String(), "shop_name": pl.String(), "orders": pl.Int64()}
DAY_SCHEMA: Final = {"day": pl.Date(), "orders": pl.Int64()}

# A run may have many batches, and only the last runs are shown: read the newest batches of the asset by its index.
_RATES: Final = f"""
    WITH newest AS (
        SELECT batch_id, run_id, input_rows, duration FROM etl_batches
        WHERE asset = :asset AND input_rows > 0 ORDER BY batch_id DESC LIMIT 1000
    ), runs AS (
        SELECT max(batch_id) AS last_batch, CAST(sum(input_rows) AS bigint) AS rows, sum(duration) AS seconds
        FROM newest GROUP BY coalesce(run_id, CAST(batch_id AS text)) ORDER BY 1 DESC LIMIT {RUNS_SHOWN:d}
    )
    SELECT rows, seconds FROM runs ORDER BY last_batch
"""  # noqa: S608  # a constant number

_FUNNEL: Final = """
    SELECT currency, count(*),
           count(*) FILTER (WHERE sample_count > 0), sum(sample_count), sum(sample_amount),
           count(*) FILTER (WHERE proof_count > 0), sum(proof_count), sum(proof_amount),
           count(*) FILTER (WHERE bulk_count > 0), sum(bulk_count), sum(bulk_amount),
           count(*) FILTER (WHERE sample_count > 0 AND bulk_count > 0),
           count(*) FILTER (WHERE current_stage = 'OPEN'),
           coalesce(sum(total_amount) FILTER (WHERE current_stage = 'OPEN'), 0)
    FROM business_leads GROUP BY currency ORDER BY 2 DESC, 1
"""
_ORDERS: Final = """
    CREATE TEMPORARY TABLE counted_orders ON COMMIT DROP AS
    SELECT shop_id, day, CAST(sum(orders) AS bigint) AS orders, grouping(shop_id) AS is_day FROM (
        SELECT shop_id, CAST(ordered_at AS date) AS day, count(*) AS orders FROM orders GROUP BY 1, 2
    ) o GROUP BY GROUPING SETS ((shop_id), (day))
"""
_BY_SHOP: Final = """
    SELECT shop_id, platform, coalesce(shown_name, shop_name), orders
    FROM counted_orders JOIN shop_configs USING (shop_id)
    WHERE is_day = 0 ORDER BY orders DESC, shop_id
"""
_BY_DAY: Final = f"""
    WITH days AS (SELECT day, orders FROM counted_orders WHERE is_day = 1 AND day IS NOT NULL)
    SELECT day, orders FROM days WHERE day > (SELECT max(day) FROM days) - {DAYS_SHOWN:d} ORDER BY day
"""  # noqa: S608  # a constant number


_NEWEST_LEADS: Final = """
    SELECT customer, shop, round(total_amount, 2) AS amount, currency, stage, order_count AS orders,
           CAST(last_order_at AS date) AS last_order, lead_id
    FROM lead_list WHERE lead_id IN (
        SELECT lead_id FROM business_leads
        ORDER BY coalesce(last_order_at, '-infinity') DESC, lead_id DESC FETCH FIRST :limit ROWS ONLY
    ) ORDER BY last_order_at DESC NULLS LAST, lead_id DESC
"""


class TooSlowError(EtlError):
    """Raised where figures can't be read within the time budget."""


def read_rates(database: Database, asset: AssetName) -> pl.DataFrame:
    """Read input rows and seconds of the last runs of an asset that had rows, oldest first (`RATE_SCHEMA`)."""
    with database.transaction() as connection:
        rows = connection.execute(sa.text(_RATES), {"asset": asset}).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=RATE_SCHEMA, orient="row")


def read_lead_funnel(database: Database, *, seconds: float) -> pl.DataFrame:
    """Count leads that have orders of each type, per currency of the lead (`FUNNEL_SCHEMA`), most leads first.

    `…_leads` have at least one such order, `…_orders` and `…_amount` are those orders. Orders in another currency than
    their lead's are counted, their amounts not added.

    Raises:
        TooSlowError: it takes longer than `seconds`.
    """
    with _time_limited(database, seconds) as connection:
        return fetch_frame(connection, _FUNNEL, FUNNEL_SCHEMA)


def open_lead_figures(funnel: pl.DataFrame) -> dict[str, int | float]:
    """Return the number of open leads, and their amount in each of the currencies of most leads, from `FUNNEL_SCHEMA`.

    Currencies are ISO codes; amounts of several are never added together.
    """
    is_code = pl.col("currency").str.contains("^[A-Z]{3}$")
    shown = funnel.filter(is_code, pl.col("open_leads") > 0).head(CURRENCIES_SHOWN)
    amounts = shown.select("currency", "open_amount").iter_rows()
    return {
        "open_leads": int(funnel["open_leads"].sum()),
        **{f"open_amount_{currency}": float(amount) for currency, amount in amounts},
    }


def read_newest_leads(database: Database, *, limit: int, seconds: float) -> list[dict[str, Any]]:
    """Read the leads with the latest orders, with the names of customer and shop.

    Raises:
        TooSlowError: it takes longer than `seconds`.
    """
    with _time_limited(database, seconds) as connection:
        rows = connection.execute(sa.text(_NEWEST_LEADS), {"limit": limit}).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows]


def read_order_counts(database: Database, *, seconds: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Count orders per shop (`SHOP_SCHEMA`, most first) and per day (`DAY_SCHEMA`, UTC, the last 90 days).

    Raises:
        TooSlowError: it takes longer than `seconds`.
    """
    with _time_limited(database, seconds) as connection:
        connection.execute(sa.text(_ORDERS))
        return fetch_frame(connection, _BY_SHOP, SHOP_SCHEMA), fetch_frame(connection, _BY_DAY, DAY_SCHEMA)


@contextmanager
def _time_limited(database: Database, seconds: float) -> Iterator[sa.Connection]:
    """Open a transaction in which the server cancels a statement after `seconds`."""
    try:
        with database.transaction() as connection:
            budget = str(max(round(seconds * 1000), 1))
            connection.execute(sa.text("SELECT set_config('statement_timeout', :budget, true)"), {"budget": budget})
            yield connection
    except Exception as error:
        if sqlstate_of(error) != _QUERY_CANCELED:
            raise
        msg = f"The figures could not be read within {seconds:g} s: the tables are too large for it now."
        raise TooSlowError(msg) from None


_QUERY_CANCELED: Final = "57014"
