"""`VectorizedQueries`: looks up any number of keys in a bounded number of queries.

The keys travel to the database as arrays, or by COPY into a temporary table, and are joined there, so that neither
their number nor what they contain (quotes, backslashes, emoji) matters. A key with NUL can't exist in the store and
finds nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.frames import fetch_frame, look_up
from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.lead_figures import FIGURES
from etl_assets.values.text import normalize_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from etl_assets.database.database import Database

DEFAULT_ORDER_TYPE: Final = "BULK"

LEAD_SCHEMA: Final = {
    "lead_id": pl.String(),
    "customer_global_id": pl.String(),
    "lead_no": pl.Int32(),
    "current_stage": pl.String(),
    "reopen_count": pl.Int32(),
    **FIGURES,
}
SHOP_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "platform": pl.String(),
    "shop_name": pl.String(),
    "currency": pl.String(),
    "timezone": pl.String(),
    "default_currency": pl.String(),
    "is_provisional": pl.Boolean(),
}
ORDER_TYPE_SCHEMA: Final = {"raw": pl.String(), "system_order_type": pl.String()}
_NUL: Final = "\0"


class VectorizedQueries:
    """Look-ups by many keys at once. Each takes an open transaction, or opens one for itself."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def batch_lookup_customers(
        self, df: pl.DataFrame, *, connection: sa.Connection | None = None, stored_within: str | None = None
    ) -> pl.DataFrame:
        """Look customers up by `customer_global_id`, by `customer_key`, or by `shop_id` and `customer_nickname`.

        Args:
            df: has the columns of one of these keys (the first that it has is used); duplicates and nulls do no harm.
            connection: the transaction to look in.
            stored_within: SQL condition of few rows that include all that can be found, for first loads: these are read
                at once, and only their keys are looked up. Hexadecimal literals only.

        Returns:
            The known ones, a row per customer: `CUSTOMER_SCHEMA`.

        Raises:
            ValueError: the frame has none of the keys.
        """
        keys: tuple[tuple[str, str], ...] = (
            ("customer_global_id", _CUSTOMERS_BY_ID),
            ("customer_key", _CUSTOMERS_BY_KEY),
            ("shop_id,customer_nickname", _CUSTOMERS_BY_NAME),
        )
        for names, query in keys:
            columns = names.split(",")
            if set(columns) <= set(df.columns):
                stored = self._stored(df.select(columns), "customers", stored_within, connection)
                return self._lookup(stored, "customers", query, CUSTOMER_SCHEMA, connection)
        msg = "The frame has no customer key: customer_global_id, customer_key, or shop_id and customer_nickname."
        raise ValueError(msg)

    def batch_lookup_leads(
        self,
        customer_gids: pl.Series | Iterable[str],
        *,
        connection: sa.Connection | None = None,
        lock: bool = False,
        stored_within: str | None = None,
    ) -> pl.DataFrame:
        """Look up all leads of the given customers, whatever their stage: `LEAD_SCHEMA`, sorted by customer and lead.

        Args:
            customer_gids: ids of customers; duplicates and nulls do no harm.
            connection: the transaction to look in.
            lock: keep the leads as they are until that transaction ends.
            stored_within: SQL condition of few rows that include all that can be found, for first loads: these are read
                at once, and only their keys are looked up. Hexadecimal literals only.
        """
        series = (
            customer_gids if isinstance(customer_gids, pl.Series) else pl.Series(list(customer_gids), dtype=pl.String)
        )
        keys = series.cast(pl.String).alias("customer_global_id").to_frame()
        keys = self._stored(keys, "business_leads", stored_within, connection)
        query = _LEADS_BY_CUSTOMER + (" FOR UPDATE OF t" if lock else "")
        found = self._lookup(keys, "business_leads", query, LEAD_SCHEMA, connection)
        return found.sort("customer_global_id", "lead_id")

    def batch_lookup_order_type_mappings(
        self, order_types: pl.Series | Iterable[str | None], *, connection: sa.Connection | None = None
    ) -> pl.DataFrame:
        """Look up the system's order types of given ones (compared cleaned and case-insensitively; `BULK` if unmapped).

        Returns:
            `order_type` (as given, each once), `system_order_type`, `is_mapped`.
        """
        series = order_types if isinstance(order_types, pl.Series) else pl.Series(list(order_types), dtype=pl.String)
        with self._reading(connection) as inside:
            return match_order_types(series, fetch_frame(inside, _ORDER_TYPE_MAPPINGS, ORDER_TYPE_SCHEMA))

    def batch_lookup_shops(self, *, connection: sa.Connection | None = None) -> pl.DataFrame:
        """Read all shops: `SHOP_SCHEMA`. There are as many as a seller has, so they are read whole."""
        with self._reading(connection) as inside:
            return fetch_frame(inside, _SHOPS, SHOP_SCHEMA)

    def _stored(
        self, keys: pl.DataFrame, table: str, stored_within: str | None, connection: sa.Connection | None
    ) -> pl.DataFrame:
        """Return those of the keys that are stored, where the rows to look among are few; else all of them.

        Saves staging all keys of a first load, in which only other sessions can have stored any: 0.3 s of the server's
        time for a million orders (docs/performance.md, "Gain of each optimisation").
        """
        if stored_within is None:
            return keys
        names = ", ".join(keys.columns)
        with self._within(connection) as inside:
            stored = fetch_frame(inside, f"SELECT {names} FROM {table} WHERE {stored_within}", dict(keys.schema))  # noqa: S608  # constants, hex literals
        return keys.join(stored, on=keys.columns, how="semi")

    def _lookup(
        self,
        keys: pl.DataFrame,
        table: str,
        query: str,
        schema: dict[str, pl.DataType],
        connection: sa.Connection | None,
    ) -> pl.DataFrame:
        texts = [name for name, dtype in keys.schema.items() if dtype == pl.String]
        known = keys.drop_nulls().unique()
        if texts:
            known = known.filter(~pl.any_horizontal(pl.col(texts).str.contains(_NUL, literal=True)))
        if known.is_empty():
            return pl.DataFrame(schema=schema)
        with self._within(connection) as inside:
            return look_up(inside, query, schema, keys=known, like=table, name="lookup_keys")

    @contextmanager
    def _reading(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        """Give the transaction to look in, or a connection for one SELECT that names no keys."""
        if connection is not None:
            yield connection
        else:
            with self.database.autocommit() as own:
                yield own

    @contextmanager
    def _within(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        if connection is not None:
            yield connection
        else:
            with self.database.transaction() as own:
                yield own


def match_order_types(order_types: pl.Series, mappings: pl.DataFrame) -> pl.DataFrame:
    """Match order types with mappings (`ORDER_TYPE_SCHEMA`); returns what `batch_lookup_order_type_mappings` does."""
    mappings = mappings.select(normalize_case(pl.col("raw")).alias("match"), "system_order_type").unique(
        "match", keep="first"
    )
    given = order_types.cast(pl.String).alias("order_type").to_frame().unique(maintain_order=True)
    found = given.with_columns(match=normalize_case(pl.col("order_type"))).join(
        mappings, on="match", how="left", maintain_order="left"
    )
    return found.select(
        "order_type",
        pl.col("system_order_type").fill_null(DEFAULT_ORDER_TYPE),
        is_mapped=pl.col("system_order_type").is_not_null(),
    )


def _select(columns: Iterable[str], table: str, join: str) -> str:
    return f"SELECT {', '.join('t.' + c for c in columns)} FROM lookup_keys k JOIN {table} t {join}"  # noqa: S608  # constants


_CUSTOMERS_BY_ID: Final = _select(CUSTOMER_SCHEMA, "customers", "USING (customer_global_id)")
_CUSTOMERS_BY_KEY: Final = _select(CUSTOMER_SCHEMA, "customers", "USING (customer_key)")
_CUSTOMERS_BY_NAME: Final = _select(CUSTOMER_SCHEMA, "customers", "USING (shop_id, customer_nickname)")
_LEADS_BY_CUSTOMER: Final = _select(LEAD_SCHEMA, "business_leads", "USING (customer_global_id)") + " ORDER BY 1"
_ORDER_TYPE_MAPPINGS: Final = "SELECT raw_order_type, system_order_type FROM order_type_mappings ORDER BY 1"
_SHOPS: Final = f"SELECT {', '.join(SHOP_SCHEMA)} FROM shop_configs ORDER BY shop_id"  # noqa: S608  # constants only
