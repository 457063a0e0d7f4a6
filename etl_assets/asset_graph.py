"""Asset graph as data: one `AssetSpec` for each asset. Every list of assets in the package derives from it.

Here: names, tables, keys, events, the queues between assets, where corrected rows enter, limits, and the texts and
column lineage that the UI shows. Not here: code. Steps are registered in `run.registry`, columns are described in
`database.schema`, Dagster objects are built in `orchestration`. This module imports neither a database driver nor
Dagster nor Polars, so that everything may import it.

Adding an asset is one name and one entry here, and one folder: see docs/new-module.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from etl_assets.events import subjects

if TYPE_CHECKING:
    from collections.abc import Mapping

AssetName = Literal[
    "raw_orders",
    "shop",
    "orders",
    "order_items",
    "process_items",
    "customers",
    "leads",
]
"""Name of an asset, for the type checker; the same names in the same order as `ASSETS` (a test compares them)."""

RangeContent = Literal["imports", "orders", "orders_and_moves"]
"""The rows that a range of an asset's queue names: raw rows of imports, changed orders, or those and moved orders."""

Scope = Literal["order_no", "order", "customer", "none"]
"""Columns by which a row belongs to an order: its number, its key, or its customer's id; `none`: to no order."""

SCOPE_COLUMNS: Final[Mapping[Scope, tuple[str, ...]]] = MappingProxyType(
    {"order_no": ("order_no",), "order": ("shop_id", "order_id"), "customer": ("customer_global_id",), "none": ()}
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns of a table that name a row of another table: there is no foreign key, but a check for orphans."""

    parent: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table that an asset writes."""

    name: str
    scope: Scope = "order_no"
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSpec:
    """Description of one asset."""

    name: AssetName
    deps: tuple[AssetName, ...] = ()
    """Upstream assets that it reads, as Dagster shows them."""
    enqueued_by: AssetName | None = None
    """Upstream asset whose batches put work on its queue; None: it has no queue and no step (`raw_orders`)."""
    triggered_by: AssetName | None = None
    """Asset whose event wakes the sensor that requests its runs."""
    range_content: RangeContent = "orders"
    """The rows that the ranges of its queue name."""
    publishes: str
    """Subject of the event of each of its batches."""
    tables: tuple[TableSpec, ...]
    """All tables that it writes; the counts of its batches are about the first."""
    key: tuple[str, ...]
    """Columns that identify a row of the first table."""
    is_quarantining: bool = True
    """Rows that it can't load are in quarantine under its name."""
    replay_entry: AssetName | None = None
    """Asset on whose queue a row of its quarantine is put to run again; None: its own."""
    seconds_per_1000_rows: float = 10.0
    """Outer limit: a batch that takes longer is broken, not slow."""
    layer: str = "core"
    """Tag of the asset in the UI."""
    description: str
    """Description of the asset in the UI."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Column of the first table -> columns it is made from, as `asset.column`, separated by blanks. Columns that the
    database or people fill are left out."""

    @property
    def table(self) -> str:
        """Table that the counts of its batches are about."""
        return self.tables[0].name


_SHOP_OF_ROW: Final = "raw_orders.platform raw_orders.shop"
_ORDER_KEY: Final = {
    "order_no": "orders.order_no",
    "shop_id": "orders.shop_id",
    "order_id": "orders.order_id",
}
_LEAD_ORDERS: Final = "orders.customer_global_id orders.is_cancelled"
_LEAD_ORDERS_OF_TYPE: Final = f"{_LEAD_ORDERS} orders.system_order_type"
_MONEY: Final = "orders.amount orders.currency"
_OF_ORDER: Final = Reference("orders", ("order_no", "shop_id", "order_id"))

ASSETS: Final[tuple[AssetSpec, ...]] = (
    AssetSpec(
        name="raw_orders",
        publishes=subjects.DATA_IMPORT_COMPLETED,
        tables=(TableSpec("raw_orders", scope="none"),),
        key=("raw_id",),
        is_quarantining=False,
        layer="raw",
        description="The rows of imported exports, every value as text, untouched: a row per order and import.\n\n"
        "Answers:\n"
        "- What exactly did the platform send us, in which import, on which line?\n"
        "- How many imports came in, and how many failed?\n",
    ),
    AssetSpec(
        name="shop",
        deps=("raw_orders",),
        enqueued_by="raw_orders",
        triggered_by="raw_orders",
        range_content="imports",
        publishes=subjects.SHOP_ETL_COMPLETED,
        tables=(TableSpec("shop_configs", scope="none"),),
        key=("platform", "shop_name"),
        is_quarantining=False,  # `orders` is: it says why a row has no shop
        seconds_per_1000_rows=5.0,
        description="The webshops that orders come from: a row per platform and shop name. Manual changes stay.\n\n"
        "Answers:\n"
        "- Which shops do we sell through, on which platforms?\n"
        "- Which currency and time zone are a shop's orders in?\n",
        lineage={
            "platform": "raw_orders.platform",
            "shop_name": "raw_orders.shop",
            "currency": "raw_orders.currency",
        },
    ),
    AssetSpec(
        name="orders",
        deps=("raw_orders", "shop"),
        enqueued_by="shop",
        triggered_by="raw_orders",
        range_content="imports",
        publishes=subjects.ORDERS_ETL_COMPLETED,
        tables=(TableSpec("orders", scope="order", references=(Reference("shop_configs", ("shop_id",)),)),),
        key=("shop_id", "order_id"),
        replay_entry="shop",  # its shop may be new
        seconds_per_1000_rows=5.0,
        description="The newest version of each order: a row per shop and order id. Unreadable rows are in"
        " `quarantine`.\n\n"
        "Answers:\n"
        "- What was ordered when, in which shop, by whom, for how much?\n"
        "- Is it a sample, a proof or a bulk order, and is it cancelled?\n"
        "- How many orders does each shop bring, and each day? See the picture of the asset leads.\n",
        lineage={
            "shop_id": f"shop.shop_id shop.platform shop.shop_name {_SHOP_OF_ROW}",
            "order_id": "raw_orders.order_id",
            "order_no": "raw_orders.raw_id",
            "customer_nickname": "raw_orders.customer_name",
            "customer_global_id": f"raw_orders.customer_name {_SHOP_OF_ROW}",
            "latest_status": "raw_orders.order_status",
            "is_cancelled": "raw_orders.order_status",
            "order_type": "raw_orders.order_type",
            "system_order_type": "raw_orders.order_type",
            "amount": "raw_orders.amount",
            "refunded_amount": "raw_orders.refunded_amount",
            "currency": "raw_orders.currency raw_orders.amount shop.default_currency",
            "ordered_at": "raw_orders.ordered_at shop.timezone",
            "source_updated_at": "raw_orders.updated_at shop.timezone",
            "raw_id": "raw_orders.raw_id",
            "lines_raw_id": "raw_orders.raw_id raw_orders.updated_at",
        },
    ),
    AssetSpec(
        name="order_items",
        deps=("orders",),
        enqueued_by="orders",
        triggered_by="orders",
        publishes=subjects.ORDER_ITEMS_ETL_COMPLETED,
        tables=(TableSpec("order_items", references=(_OF_ORDER,)),),
        key=("order_no", "line_no"),
        description="The lines of each order: a row per product, variant and quantity.\n\n"
        "Answers:\n"
        "- Which products sell, in which variants, how many pieces, at what price?\n"
        "- What has to be made for an order?\n",
        lineage=_ORDER_KEY
        | dict.fromkeys(
            ("line_no", "product", "variant", "sku", "quantity", "unit_price", "processes", "personalisation"),
            "raw_orders.items",
        ),
    ),
    AssetSpec(
        name="process_items",
        deps=("order_items",),
        enqueued_by="order_items",
        triggered_by="order_items",
        publishes=subjects.PROCESS_ITEMS_ETL_COMPLETED,
        tables=(TableSpec("process_items", references=(_OF_ORDER,)),),
        key=("order_no", "line_no", "process_no"),
        description="The processes (工艺) of lines and orders: printing, embroidery, engraving."
        " `line_no` 0 is the whole order.\n\n"
        "Answers:\n"
        "- What has to be done to which product, in which position?\n"
        "- How many pictures have to be printed?\n",
        lineage=_ORDER_KEY
        | dict.fromkeys(
            ("process_no", "process_type", "position", "picture_count"), "order_items.processes raw_orders.processes"
        )
        | {
            "line_no": "order_items.line_no",
            "quantity": "order_items.quantity",
            "picture_print_quantity": "order_items.quantity order_items.processes raw_orders.processes",
        },
    ),
    AssetSpec(
        name="customers",
        deps=("shop", "orders"),
        enqueued_by="orders",
        triggered_by="orders",
        range_content="orders_and_moves",
        publishes=subjects.CUSTOMERS_ETL_COMPLETED,
        tables=(TableSpec("customers", scope="customer", references=(Reference("shop_configs", ("shop_id",)),)),),
        key=("customer_key",),
        seconds_per_1000_rows=3.0,
        description="The buyers: a row per shop and nickname. The id of a customer is the same in every database.\n\n"
        "Answers:\n"
        "- Who buys, since when, and how often?\n"
        "- Who has not bought for a long time?\n",
        lineage={
            "customer_global_id": "orders.customer_global_id",
            "customer_key": "shop.platform shop.shop_name orders.customer_nickname",
            "shop_id": "orders.shop_id",
            "customer_nickname": "orders.customer_nickname",
            "first_order_at": "orders.ordered_at orders.is_cancelled",
            "last_order_at": "orders.ordered_at orders.is_cancelled",
            "order_count": "orders.order_id orders.is_cancelled",
        },
    ),
    AssetSpec(
        name="leads",
        deps=("customers", "orders"),
        enqueued_by="customers",
        triggered_by="customers",
        publishes=subjects.LEADS_ETL_COMPLETED,
        tables=(
            TableSpec(
                "business_leads", scope="customer", references=(Reference("customers", ("customer_global_id",)),)
            ),
            TableSpec(
                "lead_orders",
                scope="order",
                references=(Reference("business_leads", ("lead_id",)), Reference("orders", ("shop_id", "order_id"))),
            ),
        ),
        key=("lead_id",),
        layer="sales",
        description="Sales leads (商机) with the figures of their orders, split into sample, proof, bulk. People own"
        " the stage.\n\n"
        "Answers:\n"
        "- Whom should sales people talk to, and what is at stake?\n"
        "- How many leads come from a sample to a bulk order? See the picture of the last materialisation.\n",
        lineage={
            "lead_id": "customers.customer_global_id",
            "customer_global_id": "orders.customer_global_id customers.customer_global_id",
            "lead_no": "orders.customer_global_id",
            "reopen_count": "orders.customer_global_id",
            "first_order_at": f"{_LEAD_ORDERS} orders.ordered_at",
            "last_order_at": f"{_LEAD_ORDERS} orders.ordered_at",
            "order_count": f"{_LEAD_ORDERS} orders.order_id",
            "total_amount": f"{_LEAD_ORDERS} {_MONEY}",
            **{f"{kind}_count": _LEAD_ORDERS_OF_TYPE for kind in ("sample", "proof", "bulk")},
            **{f"{kind}_amount": f"{_LEAD_ORDERS_OF_TYPE} {_MONEY}" for kind in ("sample", "proof", "bulk")},
            "currency": "orders.currency orders.ordered_at",
            "other_currency_count": f"{_LEAD_ORDERS} orders.currency",
            "refunded_amount": f"{_LEAD_ORDERS} orders.refunded_amount orders.currency",
        },
    ),
)
"""All assets, upstream first."""

SPECS: Final[Mapping[AssetName, AssetSpec]] = MappingProxyType({spec.name: spec for spec in ASSETS})

STEP_ASSETS: Final[tuple[AssetName, ...]] = tuple(spec.name for spec in ASSETS if spec.enqueued_by is not None)
"""Assets with a queue and a step: all but `raw_orders`."""

DOWNSTREAM: Final[Mapping[AssetName, tuple[AssetName, ...]]] = MappingProxyType(
    {spec.name: tuple(other.name for other in ASSETS if other.enqueued_by == spec.name) for spec in ASSETS}
)
"""Asset -> assets on whose queues its batches put work."""

LEAF_ASSETS: Final[tuple[AssetName, ...]] = tuple(
    spec.name for spec in ASSETS if not any(spec.name in other.deps for other in ASSETS)
)
"""Assets that no other asset reads."""


def _with_upstream(asset: AssetName) -> frozenset[AssetName]:
    return frozenset((asset,)).union(*(_with_upstream(upstream) for upstream in SPECS[asset].deps))


URGENT_ASSETS: Final[frozenset[AssetName]] = _with_upstream("leads")
"""`leads`, for which users wait, and the assets that it reads: a run has them before others that are ready."""

TABLE_OF: Final[Mapping[AssetName, str]] = MappingProxyType({spec.name: spec.table for spec in ASSETS})
TABLES_OF: Final[Mapping[AssetName, tuple[str, ...]]] = MappingProxyType(
    {spec.name: tuple(table.name for table in spec.tables) for spec in ASSETS}
)
TABLE_SPECS: Final[Mapping[str, TableSpec]] = MappingProxyType(
    {table.name: table for spec in ASSETS for table in spec.tables}
)
SUBJECT_OF: Final[Mapping[AssetName, str]] = MappingProxyType({spec.name: spec.publishes for spec in ASSETS})
TRIGGER_EVENT: Final[Mapping[AssetName, str]] = MappingProxyType(
    {spec.name: SUBJECT_OF[spec.triggered_by] for spec in ASSETS if spec.triggered_by is not None}
)
"""Asset -> subject of the event that wakes its sensor."""
REPLAY_ENTRY: Final[Mapping[AssetName, AssetName]] = MappingProxyType(
    {asset: SPECS[asset].replay_entry or asset for asset in STEP_ASSETS}
)
"""Asset that rejected a row -> asset on whose queue the row is put to run again."""
QUARANTINING_ASSETS: Final[tuple[AssetName, ...]] = tuple(spec.name for spec in ASSETS if spec.is_quarantining)
"""Assets under whose names rows are in quarantine."""
