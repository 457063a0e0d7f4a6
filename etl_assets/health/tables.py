"""State of the pipeline's tables: backlog of each asset, bad rows, imports that need a decision, arrivals of shops.

Read from the ledger and from open rows only, so that it is cheap however many orders are stored. What of it needs
somebody is decided in `needs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF
from etl_assets.database.frames import fetch_frame
from etl_assets.health.rhythm import ARRIVALS, DAYS_LOOKED_AT
from etl_assets.orders.import_outcomes import quarantined_imports_of_last_days
from etl_assets.quarantine.open_rows import count_open_rows
from etl_assets.reporting.failed_imports import read_failed_imports
from etl_assets.reporting.held import read_held_imports

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    import polars as pl

    from etl_assets.database.database import Database
    from etl_assets.orders.import_outcomes import ImportOutcome
    from etl_assets.reporting.failed_imports import FailedImports
    from etl_assets.reporting.held import HeldImport

IMPORTS_SHOWN: Final = 20
IMPORT_DAYS: Final = 7

_ASSETS: Final = """
    SELECT a.asset, b.finished_at AS last_batch_at, CAST(extract(epoch FROM now() - b.finished_at) AS float) AS age,
           coalesce(w.rows, 0) AS pending_rows, CAST(extract(epoch FROM now() - w.since) AS float) AS waiting
    FROM unnest(CAST(:assets AS text[])) WITH ORDINALITY a (asset, place)
    LEFT JOIN LATERAL (
        SELECT finished_at FROM etl_batches WHERE asset = a.asset ORDER BY batch_id DESC LIMIT 1
    ) b ON true
    LEFT JOIN LATERAL (
        SELECT CAST(sum(high - low + 1) AS bigint) AS rows, min(queued_at) AS since FROM etl_work WHERE asset = a.asset
    ) w ON true
    ORDER BY a.place
"""
_NAMES: Final = "s.platform, s.shop_name, coalesce(s.shown_name, s.shop_name) AS shown_name"
_IDS: Final = "'–' AS platform, 'shop ' || s.shop_id AS shop_name, 'shop ' || s.shop_id AS shown_name"
_ARRIVALS: Final = f"""
    SELECT {{shop}}, a.day
    FROM shop_configs s CROSS JOIN LATERAL (
        SELECT day FROM shop_arrivals WHERE platform = s.platform AND shop_name = s.shop_name
        ORDER BY day DESC LIMIT {DAYS_LOOKED_AT:d}
    ) a
"""  # noqa: S608  # a number of ours


@dataclass(frozen=True, slots=True)
class AssetState:
    """Last batch and backlog of an asset. Ages are in seconds."""

    asset: str
    last_batch_at: dt.datetime | None
    age: float | None
    pending_rows: int
    """Upper bound: a range of the queue may hold numbers without a row."""
    waiting: float | None
    """Age of the oldest pending work, from when it was queued."""


@dataclass(frozen=True, slots=True)
class TableState:
    """State of all tables; holds no customer's data."""

    assets: Sequence[AssetState]
    quarantine: Sequence[dict[str, Any]]
    """`asset`, `reason_code`, `rows`, `since` of open rows, most rows first."""
    failed_imports: FailedImports
    """Those that were neither imported later nor dismissed."""
    quarantined_imports: Sequence[ImportOutcome]
    """Those of the week with orders that could not be read."""
    held_imports: Sequence[HeldImport]
    """Those that wait for users to accept or revert them."""
    arrivals: pl.DataFrame
    """Rows of `rhythm.ARRIVALS`."""

    @property
    def pending_rows(self) -> int:
        """Count the rows that are pending for any asset."""
        return sum(state.pending_rows for state in self.assets)

    @property
    def quarantined_rows(self) -> int:
        """Count the open rows of quarantine."""
        return sum(entry["rows"] for entry in self.quarantine)

    @property
    def longest_waiting(self) -> float:
        """Return the age of the oldest pending work, in seconds."""
        return max((one.waiting or 0.0 for one in self.assets), default=0.0)


def read_table_state(database: Database, *, names_shops: bool = True) -> TableState:
    """Read the state in one transaction; without `names_shops`, shops have their ids for names, and no platform."""
    arrivals = _ARRIVALS.format(shop=_NAMES if names_shops else _IDS)
    with database.transaction() as connection:
        assets = connection.execute(sa.text(_ASSETS), {"assets": list(TABLE_OF)}).all()
        quarantine = sorted(count_open_rows(connection), key=lambda entry: -entry["rows"])
        has_bad_orders = any(entry["asset"] == "orders" for entry in quarantine)
        return TableState(
            assets=[AssetState(*row) for row in assets],
            quarantine=quarantine,
            failed_imports=read_failed_imports(connection, shown=IMPORTS_SHOWN),
            quarantined_imports=quarantined_imports_of_last_days(connection, IMPORT_DAYS) if has_bad_orders else [],
            held_imports=read_held_imports(connection),
            arrivals=fetch_frame(connection, arrivals, ARRIVALS),
        )
