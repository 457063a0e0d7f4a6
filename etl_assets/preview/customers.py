"""Effects of changed orders on customers and leads: the rules of the steps, customer by customer.

A part has all changed orders of its customers, also those that leave them. The orders that do not change are read from
the store; an order that changes is never taken from there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import polars as pl

from etl_assets.customers.transform import CUSTOMER_ORDER_SCHEMA, summarise_customers, without_orders
from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.leads.step import CHANGED_ORDER_SCHEMA, decide_changes
from etl_assets.orders.transform import ORDER_KEY
from etl_assets.pipeline.diff import diff_rows

if TYPE_CHECKING:
    from etl_assets.preview.removals import Removals
    from etl_assets.preview.store import Store

_KEY = ("customer_global_id",)


@dataclass(slots=True)
class CustomerCounts:
    """Customers by what would become of them."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    """Left without orders and leads, and deleted."""


@dataclass(slots=True)
class LeadCounts:
    """Leads by what would become of them."""

    opened: int = 0
    changed: int = 0
    """Stored leads with other figures or another stage; those of `reopened` and `emptied` among them."""
    reopened: int = 0
    emptied: int = 0
    """Left without orders, in a stage that users set."""
    withdrawn: int = 0
    """Left without orders, and deleted."""


class CustomerParts:
    """Customers and leads of changed orders, decided part by part."""

    def __init__(self, store: Store, shops: pl.DataFrame, removals: Removals) -> None:
        self._store, self._shops, self._removals = store, shops, removals
        self.customers, self.leads = CustomerCounts(), LeadCounts()

    def decide(self, part: pl.DataFrame) -> None:
        """Count what becomes of the customers of a part, and of their leads."""
        ids = part["of_customer"].unique().sort()
        leads = self._store.leads(ids)
        withdrawn = self._decide_leads(part, ids, leads)
        having = part.filter(~pl.col("is_leaving"))
        others = self._store.orders_of(ids).join(part, on=ORDER_KEY, how="anti")
        orders = pl.concat([frame.select(*CUSTOMER_ORDER_SCHEMA) for frame in (others, having)])
        current = summarise_customers(orders, self._shops)
        stored = self._store.customers(ids)
        alone = stored.join(current, on=_KEY, how="anti")
        left_leads = leads.join(withdrawn, on="lead_id", how="anti")
        kept = alone.join(left_leads, on=_KEY, how="semi")
        decided = diff_rows(pl.concat([current.select(*CUSTOMER_SCHEMA), without_orders(kept)]), stored, _KEY)
        counts = dict(decided.group_by("change").len().iter_rows())
        self.customers.new += counts.get("inserted", 0)
        self.customers.changed += counts.get("updated", 0)
        self.customers.gone += alone.height - kept.height

    def _decide_leads(self, part: pl.DataFrame, ids: pl.Series, leads: pl.DataFrame) -> pl.DataFrame:
        """Count what becomes of the leads of customers; return those that are withdrawn."""
        rows = part.with_columns(lead_customer="of_customer", is_deleted=pl.lit(value=False))
        deleted, former = self._store.past(ids, part.filter(pl.col("lead_id").is_null()))
        changes, _ = decide_changes(
            self._store.attached_orders, rows.select(*CHANGED_ORDER_SCHEMA), leads, deleted, former
        )
        figures, reopened = changes.figures, changes.attachment.reopened
        is_updated = (pl.col("change") == "updated") | pl.col("lead_id").is_in(reopened["lead_id"].implode())
        self.leads.opened += figures.filter(pl.col("change") == "inserted").height
        self.leads.changed += figures.filter(is_updated).height
        self.leads.reopened += reopened.height
        emptied = figures.filter(is_updated & (pl.col("order_count") == 0))
        self.leads.emptied += emptied.height
        self.leads.withdrawn += changes.withdrawn.height
        left = pl.concat([emptied.select("lead_id"), changes.withdrawn.select("lead_id")])
        others = changes.attachment.attached.select("customer_global_id")
        leaving = part.filter(pl.col("leaves_lead")).join(left, on="lead_id", how="semi")
        gone = leaving.join(others, left_on="of_customer", right_on="customer_global_id", how="anti")
        self._removals.add_leads(gone.select("file", "lead_id"))
        return changes.withdrawn

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return the counts as ``--json`` prints them."""
        return {"customers": asdict(self.customers), "leads": asdict(self.leads)}
