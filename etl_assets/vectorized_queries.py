"""`VectorizedQueries`: look up any number of keys in a bounded number of queries.

The keys travel to the database by COPY into a temporary table and are joined there, so that neither their number nor
what they contain (quotes, backslashes, emoji) matters. A key with NUL can't exist in the store and finds nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.values.numbers import TOTAL
from etl_assets.values.text import normalize_case
from etl_assets.values.timestamps import TIMESTAMP_UTC

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
    "first_order_at": TIMESTAMP_UTC,
    "last_order_at": TIMESTAMP_UTC,
    "order_count": pl.Int32(),
    "total_amount": TOTAL,
    "sample_count": pl.Int32(),
    "sample_amount": TOTAL,
    "proof_count": pl.Int32(),
    "proof_amount": TOTAL,
    "bulk_count": pl.Int32(),
    "bulk_amount": TOTAL,
    "currency": pl.String(),
    "other_currency_count": pl.Int32(),
}
SHOP_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "platform": pl.String(),
    "shop_name": pl.String(),
    "currency": pl.String(),
    "timezone": pl.String(),
}
_NUL: Final = "\0"


class VectorizedQueries:
    """Look-ups by many keys at once. Each takes an open transaction, or opens one for itself."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def batch_lookup_customers(
        self, df: pl.DataFrame, *, connection: sa.Connection | None = None, among: str | None = None
    ) -> pl.DataFrame:
        """Look customers up by `customer_global_id`, by `customer_key`, or by `shop_id` and `customer_nickname`.

        Args:
            df: has the columns of one of these keys (the first that it has is used); duplicates and nulls do no harm.
            connection: the transaction to look in.
            among: a condition that holds for all rows that may be found, and few others: where it holds for none, no
                key is staged. It has no other literals than hexadecimal ones.

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
                stored = self._stored(df.select(columns), "customers", among, connection)
                return self._lookup(stored, "customers", query, CUSTOMER_SCHEMA, connection)
        msg = "The frame has no customer key: customer_global_id, customer_key, or shop_id and customer_nickname."
        raise ValueError(msg)

    def batch_lookup_leads(
        self,
        customer_gids: pl.Series | Iterable[str],
        *,
        connection: sa.Connection | None = None,
        lock: bool = False,
        among: str | None = None,
    ) -> pl.DataFrame:
        """All leads of the given customers, whatever their stage: `LEAD_SCHEMA`, sorted by customer and lead.

        Args:
            customer_gids: ids of customers; duplicates and nulls do no harm.
            connection: the transaction to look in.
            lock: keep the leads as they are until that transaction ends.
            among: a condition that holds for all rows that may be found, and few others: where it holds for none, no
                key is staged. It has no other literals than hexadecimal ones.
        """
        series = (
            customer_gids if isinstance(customer_gids, pl.Series) else pl.Series(list(customer_gids), dtype=pl.String)
        )
        keys = series.cast(pl.String).alias("customer_global_id").to_frame()
        keys = self._stored(keys, "business_leads", among, connection)
        query = _LEADS_BY_CUSTOMER + (" FOR UPDATE OF t" if lock else "")
        found = self._lookup(keys, "business_leads", query, LEAD_SCHEMA, connection)
        return found.sort("customer_global_id", "lead_id")

    def batch_lookup_order_type_mappings(
        self, order_types: pl.Series | Iterable[str | None], *, connection: sa.Connection | None = None
    ) -> pl.DataFrame:
        """The system's order type of each given one (compared cleaned and case-insensitively; `BULK` where unmapped).

        Returns:
            `order_type` (as given, each once), `system_order_type`, `is_mapped`.
        """
        series = order_types if isinstance(order_types, pl.Series) else pl.Series(list(order_types), dtype=pl.String)
        with self._within(connection) as inside:
            mappings = fetch_frame(inside, _ORDER_TYPE_MAPPINGS, {"raw": pl.String(), "system_order_type": pl.String()})
        mappings = mappings.select(normalize_case(pl.col("raw")).alias("match"), "system_order_type").unique(
            "match", keep="first"
        )
        given = series.cast(pl.String).alias("order_type").to_frame().unique(maintain_order=True)
        found = given.with_columns(match=normalize_case(pl.col("order_type"))).join(
            mappings, on="match", how="left", maintain_order="left"
        )
        return found.select(
            "order_type",
            pl.col("system_order_type").fill_null(DEFAULT_ORDER_TYPE),
            is_mapped=pl.col("system_order_type").is_not_null(),
        )

    def batch_lookup_shops(self, *, connection: sa.Connection | None = None) -> pl.DataFrame:
        """All shops: `SHOP_SCHEMA`. There are as many as a seller has, so they are read whole."""
        with self._within(connection) as inside:
            return fetch_frame(inside, _SHOPS, SHOP_SCHEMA)

    def _stored(
        self, keys: pl.DataFrame, table: str, among: str | None, connection: sa.Connection | None
    ) -> pl.DataFrame:
        """Those of the keys that are stored, if they can be read at once `among` few; else all of them."""
        if among is None:
            return keys
        names = ", ".join(keys.columns)
        with self._within(connection) as inside:
            stored = fetch_frame(inside, f"SELECT {names} FROM {table} WHERE {among}", dict(keys.schema))  # noqa: S608  # constants, hex literals
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
            copy_to_temp_table(inside, table, known, name="lookup_keys")
            return fetch_frame(inside, query, schema)

    @contextmanager
    def _within(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        if connection is not None:
            yield connection
        else:
            with self.database.transaction() as own:
                yield own


def _select(columns: Iterable[str], table: str, join: str) -> str:
    return f"SELECT {', '.join('t.' + c for c in columns)} FROM lookup_keys k JOIN {table} t {join}"  # noqa: S608  # constants


_CUSTOMERS_BY_ID: Final = _select(CUSTOMER_SCHEMA, "customers", "USING (customer_global_id)")
_CUSTOMERS_BY_KEY: Final = _select(CUSTOMER_SCHEMA, "customers", "USING (customer_key)")
_CUSTOMERS_BY_NAME: Final = _select(CUSTOMER_SCHEMA, "customers", "USING (shop_id, customer_nickname)")
_LEADS_BY_CUSTOMER: Final = _select(LEAD_SCHEMA, "business_leads", "USING (customer_global_id)") + " ORDER BY 1"
_ORDER_TYPE_MAPPINGS: Final = "SELECT raw_order_type, system_order_type FROM order_type_mappings ORDER BY 1"
_SHOPS: Final = "SELECT shop_id, platform, shop_name, currency, timezone FROM shop_configs ORDER BY shop_id"
