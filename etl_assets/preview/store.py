"""Reading of the store for previews: the look-ups that steps use, in one read-only transaction.

A preview needs no database: where there is none yet, or it has no tables, it reads nothing and everything is new.
Nothing here writes, starts a migration or creates a database.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.customers.transform import CUSTOMER_ORDER_SCHEMA
from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.errors import NotMigratedError
from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.leads.past import read_past
from etl_assets.leads.step import read_attached_orders
from etl_assets.leads.transform import LEAD_ORDER_SCHEMA
from etl_assets.ledger.queue import count_pending_rows
from etl_assets.orders.brake import STORED_ROWS
from etl_assets.orders.line_versions import STORED_LINES_SCHEMA
from etl_assets.orders.load_lines import read_line_versions_of
from etl_assets.orders.stored_versions import read_stored_orders
from etl_assets.orders.transform import ORDER_KEY, ORDER_SCHEMA
from etl_assets.vectorized_queries import (
    LEAD_SCHEMA,
    ORDER_TYPE_SCHEMA,
    SHOP_SCHEMA,
    VectorizedQueries,
    match_order_types,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.settings import Settings

STORED_ORDER_SCHEMA: Final = {**LEAD_ORDER_SCHEMA, **CUSTOMER_ORDER_SCHEMA}
"""Columns of an order that customers and leads are made of."""
LEAD_OF_ORDER_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "lead_id": pl.String(),
    "lead_customer": pl.String(),
}
HASH_DIGITS: Final = 16
"""Hexadecimal digits of the SHA-256 of raw items or processes that are compared."""


class Store:
    """The stored rows; without a connection there are none."""

    def __init__(self, queries: VectorizedQueries | None = None, connection: sa.Connection | None = None) -> None:
        self._queries, self.connection = queries, connection

    def last_raw_id(self) -> int:
        """Return a number that no raw row is beyond."""
        return self._number("SELECT last_value FROM raw_orders_raw_id_seq")

    def pending_rows(self) -> int:
        """Return how many rows of imports are yet to be processed, at most."""
        return 0 if self.connection is None else count_pending_rows(self.connection)

    def shops(self) -> pl.DataFrame:
        """Read all shops (`SHOP_SCHEMA`)."""
        if self._queries is None:
            return pl.DataFrame(schema=SHOP_SCHEMA)
        return self._queries.batch_lookup_shops(connection=self.connection)

    def order_types(self, order_types: pl.Series) -> pl.DataFrame:
        """Look up the system's types of order types, as `batch_lookup_order_type_mappings` returns them."""
        if self._queries is None:
            return match_order_types(order_types, pl.DataFrame(schema=ORDER_TYPE_SCHEMA))
        return self._queries.batch_lookup_order_type_mappings(order_types, connection=self.connection)

    def orders(self, newest: pl.DataFrame) -> pl.DataFrame:
        """Read the stored versions of orders (`ORDER_SCHEMA`)."""
        if self.connection is None:
            return pl.DataFrame(schema=ORDER_SCHEMA)
        return read_stored_orders(self.connection, newest)

    def line_versions(self, newest: pl.DataFrame) -> pl.DataFrame:
        """Read the stored versions of orders' lines (`STORED_LINES_SCHEMA`)."""
        if self.connection is None:
            return pl.DataFrame(schema=STORED_LINES_SCHEMA)
        return read_line_versions_of(self.connection, newest)

    def line_pointers(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Read the stored ones of orders (`ORDER_KEY`), with the raw row of a file of lines that they point to."""
        return self._fetch(_LINE_POINTERS, LINE_POINTER_SCHEMA, "orders", keys.select(ORDER_KEY))

    def line_counts(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Read how many lines and processes orders have (`LINE_COUNT_SCHEMA`), but for those with lines of a file."""
        return self._fetch(_LINE_COUNTS, LINE_COUNT_SCHEMA, "orders", keys.select(ORDER_KEY))

    def ledger_rows(self, assets: Sequence[AssetName]) -> dict[AssetName, int]:
        """Return how many rows assets have by the ledger."""
        if self.connection is None:
            return {}
        rows = self.connection.execute(sa.text(STORED_ROWS), {"assets": list(assets)})
        return {asset: count for asset, count in rows}  # noqa: C416  # rows are no pairs to the type checker

    def differing_lines(self, versions: pl.DataFrame) -> pl.Series:
        """Return the `stored_raw_id` of versions whose raw items or processes differ from the stored ones.

        The database compares hashes: of most orders imported again nothing has to be fetched.

        Args:
            versions: `stored_raw_id`, `items_hash`, `processes_hash`.
        """
        pairs = versions.select(raw_id="stored_raw_id", items="items_hash", processes="processes_hash")
        schema: dict[str, pl.DataType] = {"stored_raw_id": pl.Int64()}
        stored = pairs.drop_nulls("raw_id").sort("raw_id")
        return self._fetch(_DIFFERING_LINES, schema, "raw_orders", stored)["stored_raw_id"]

    def leads_of_orders(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Read the leads that orders (`ORDER_KEY`) are attached to, and their customers (`LEAD_OF_ORDER_SCHEMA`)."""
        return self._fetch(_LEADS_OF_ORDERS, LEAD_OF_ORDER_SCHEMA, "orders", keys.select(ORDER_KEY))

    def orders_of(self, customers: pl.Series) -> pl.DataFrame:
        """Read all orders of customers (`STORED_ORDER_SCHEMA`)."""
        keys = customers.alias("customer_global_id").to_frame()
        return self._fetch(_ORDERS_OF_CUSTOMERS, STORED_ORDER_SCHEMA, "customers", keys)

    def customers(self, customers: pl.Series) -> pl.DataFrame:
        """Read the stored ones of customers (`CUSTOMER_SCHEMA`)."""
        if self._queries is None:
            return pl.DataFrame(schema=CUSTOMER_SCHEMA)
        keys = customers.alias("customer_global_id").to_frame()
        return self._queries.batch_lookup_customers(keys, connection=self.connection)

    def leads(self, customers: pl.Series) -> pl.DataFrame:
        """Read all leads of customers (`LEAD_SCHEMA`)."""
        if self._queries is None:
            return pl.DataFrame(schema=LEAD_SCHEMA)
        return self._queries.batch_lookup_leads(customers, connection=self.connection)

    def past(self, customers: pl.Series, free: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Read deleted leads of customers, and former leads of orders, as `read_past` does."""
        if self.connection is None:
            return pl.DataFrame(schema={"lead_id": pl.String(), "customer_global_id": pl.String()}), None
        return read_past(self.connection, customers, free)

    def attached_orders(self, leads: pl.DataFrame) -> pl.DataFrame:
        """Read the orders attached to leads, as `read_attached_orders` does."""
        if self.connection is None:
            return pl.DataFrame(schema={**LEAD_ORDER_SCHEMA, "lead_id": pl.String()})
        return read_attached_orders(self.connection, leads)

    def unfinished_lines(self, raw_ids: pl.Series) -> pl.DataFrame:
        """Read, of raw rows, the import's mapping and whether their lines are in quarantine."""
        keys = raw_ids.unique().sort().alias("raw_id").to_frame()
        return self._fetch(_UNFINISHED, UNFINISHED_SCHEMA, "raw_orders", keys)

    def _number(self, query: str) -> int:
        return 0 if self.connection is None else int(self.connection.execute(sa.text(query)).scalar_one())

    def _fetch(self, query: str, schema: dict[str, pl.DataType], like: str, keys: pl.DataFrame) -> pl.DataFrame:
        if self.connection is None or keys.is_empty():
            return pl.DataFrame(schema=schema)
        copy_to_temp_table(self.connection, like, keys, name="preview_keys")
        return fetch_frame(self.connection, query, schema)


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """Open the store for reading; an embedded database that does not exist yet is not created.

    Raises:
        NotMigratedError: the database is of another version.
        EtlError: it can't be reached.
    """
    if settings.database_url is None and not settings.postgres_directory.exists():
        yield Store()
        return
    database = Database(settings)
    try:
        with database.snapshot() as connection:
            yield store_in(database, connection)
    finally:
        database.dispose()


def store_in(database: Database, connection: sa.Connection) -> Store:
    """Return the store as a read-only transaction sees it. Raises `NotMigratedError`."""
    found = migrate.read_revision(connection)
    if found is None:
        return Store()
    if found != (needed := migrate.newest_revision()):
        msg = (
            f"The schema {database.schema!r} is at {found}, this version needs {needed}: run `etl-assets db upgrade`."
            " A preview changes nothing, so it does not do that."
        )
        raise NotMigratedError(msg)
    # A file is read inside: hours may pass between two look-ups.
    connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    return Store(VectorizedQueries(database), connection)


def _columns(schema: dict[str, pl.DataType], alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in schema)


def _hash(column: str) -> str:
    return f"left(encode(sha256(convert_to({column}, 'UTF8')), 'hex'), {HASH_DIGITS})"


_DIFFERING_LINES: Final = f"""
    SELECT r.raw_id FROM preview_keys k JOIN raw_orders r USING (raw_id)
    WHERE ({_hash("r.items")}, {_hash("r.processes")}) IS DISTINCT FROM (k.items, k.processes)
"""  # noqa: S608  # constants only
LINE_COUNT_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "stored_order_items": pl.Int64(),
    "stored_process_items": pl.Int64(),
}
_LINE_COUNTS: Final = """
    SELECT o.shop_id, o.order_id, (SELECT count(*) FROM order_items i WHERE i.order_no = o.order_no),
           (SELECT count(*) FROM process_items p WHERE p.order_no = o.order_no)
    FROM preview_keys k JOIN orders o USING (shop_id, order_id) WHERE o.lines_raw_id IS NULL
"""
LINE_POINTER_SCHEMA: Final = {"shop_id": pl.Int32(), "order_id": pl.String(), "lines_raw_id": pl.Int64()}
_LINE_POINTERS: Final = """
    SELECT o.shop_id, o.order_id, o.lines_raw_id FROM preview_keys k JOIN orders o USING (shop_id, order_id)
"""
_LEADS_OF_ORDERS: Final = """
    SELECT a.shop_id, a.order_id, a.lead_id, l.customer_global_id
    FROM preview_keys k JOIN lead_orders a USING (shop_id, order_id)
    LEFT JOIN business_leads l ON l.lead_id = a.lead_id
"""
_ORDERS_OF_CUSTOMERS: Final = f"""
    SELECT {_columns(STORED_ORDER_SCHEMA, "o")} FROM preview_keys k JOIN orders o USING (customer_global_id)
"""  # noqa: S608  # constants only
_UNFINISHED: Final = """
    SELECT k.raw_id, CAST(t.mapping AS text), EXISTS (
        SELECT FROM quarantine q WHERE q.raw_id = k.raw_id AND q.resolved_at IS NULL
        AND q.asset IN ('order_items', 'process_items')
    ) FROM preview_keys k JOIN raw_orders r USING (raw_id) JOIN import_tasks t USING (import_id)
"""
UNFINISHED_SCHEMA: Final = {"raw_id": pl.Int64(), "mapping": pl.String(), "is_quarantined": pl.Boolean()}
