"""The rules of leads (design §4): pure functions from orders and leads to leads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import polars as pl

from etl_assets.orders.transform import ORDER_KEY
from etl_assets.values.identifiers import lead_id
from etl_assets.values.numbers import MONEY, TOTAL
from etl_assets.values.timestamps import TIMESTAMP_UTC

ACTIVE_STAGES: Final = ("OPEN", "COLD")
"""The stages of a lead that orders are attached to; a customer has at most one such lead."""

LEAD_ORDER_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "raw_id": pl.Int64(),
    "customer_global_id": pl.String(),
    "is_cancelled": pl.Boolean(),
    "ordered_at": TIMESTAMP_UTC,
    "system_order_type": pl.String(),
    "amount": MONEY,
    "currency": pl.String(),
}
"""What the lead rules need of an order."""

_TYPES: Final = {"sample": "SAMPLE", "proof": "PROOF", "bulk": "BULK"}

FIGURES: Final = {
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
"""A lead's figures: those of its attached orders."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What becomes of the orders of a batch.

    detached: `shop_id`, `order_id`, `reason` (lead_gone, cancelled, no_customer, moved): leave their lead.
    attached: `LEAD_ORDER_SCHEMA`, `lead_id`, `strategy`: orders that join a lead now.
    kept: `LEAD_ORDER_SCHEMA`, `lead_id`: orders that stay where they are.
    new_leads: `lead_id`, `customer_global_id`, `lead_no`.
    reopened: `lead_id` of COLD leads that become OPEN; `shop_id`, `order_id` of the first order that joins them.
    """

    detached: pl.DataFrame
    attached: pl.DataFrame
    kept: pl.DataFrame
    new_leads: pl.DataFrame
    reopened: pl.DataFrame

    def with_first(self, first: FirstLeads) -> Attachment:
        """Together with the leads of customers who had none."""
        return replace(
            self,
            attached=pl.concat([self.attached, first.attached]),
            new_leads=pl.concat([self.new_leads, first.new_leads]),
        )


class FirstLeads(NamedTuple):
    """The leads of customers who have had none, worked out from their orders alone."""

    attached: pl.DataFrame
    """Their orders, as in `Attachment`."""
    new_leads: pl.DataFrame
    """As in `Attachment`."""
    figures: pl.DataFrame
    """What `lead_figures` returns for them."""

    def without(self, customers: pl.Series) -> FirstLeads:
        """Those of other customers than the given ones."""
        if customers.is_empty():
            return self
        new_leads, attached = (
            frame.filter(~pl.col("customer_global_id").is_in(customers.implode()))
            for frame in (self.new_leads, self.attached)
        )
        return FirstLeads(attached, new_leads, self.figures.join(new_leads, on="lead_id", how="semi"))


def first_leads(orders: pl.DataFrame) -> FirstLeads:
    """The leads that orders (`LEAD_ORDER_SCHEMA`) make if none of their customers has one."""
    none = pl.DataFrame(schema=dict.fromkeys(("lead_id", "customer_global_id", "current_stage"), pl.String()))
    plan = attach_orders(
        orders.select(*LEAD_ORDER_SCHEMA, lead_id=pl.lit(None, pl.String())),
        none.with_columns(lead_no=pl.lit(None, pl.Int32)),
    )
    return FirstLeads(plan.attached, plan.new_leads, lead_figures(plan.attached))


def attach_orders(orders: pl.DataFrame, leads: pl.DataFrame) -> Attachment:
    """Attach orders to leads.

    An order belongs to a lead if it is not cancelled and has a customer. Those that belong to none yet join their
    customer's OPEN or COLD lead (reuse), or the first of them makes one (new) that the customer's later ones join.
    An order of a lead that is not among `leads` (people deleted it) belongs to none.

    Args:
        orders: changed orders, `LEAD_ORDER_SCHEMA`, with `lead_id` (the lead they are attached to now, or null).
        leads: all leads of the customers in question: `lead_id`, `customer_global_id`, `lead_no`, `current_stage`.
    """
    owners = leads.select("lead_id", lead_customer="customer_global_id")
    known = orders.join(owners, on="lead_id", how="left", maintain_order="left")
    belongs = ~pl.col("is_cancelled") & pl.col("customer_global_id").is_not_null()
    stays = pl.col("lead_id").is_not_null() & belongs & (pl.col("lead_customer") == pl.col("customer_global_id"))
    stays = stays.fill_null(value=False)
    kept = known.filter(stays).drop("lead_customer")
    free = known.filter(belongs & ~stays).select(*LEAD_ORDER_SCHEMA)
    targets = _targets(free, leads)
    attached = (
        free.join(targets, on="customer_global_id", how="left")
        .sort("ordered_at", "order_id", nulls_last=True)
        .with_columns(is_first=pl.int_range(pl.len()).over("customer_global_id") == 0)
        .with_columns(
            strategy=pl.when(pl.col("is_new") & pl.col("is_first")).then(pl.lit("new")).otherwise(pl.lit("reuse"))
        )
    )
    return Attachment(
        detached=known.filter(pl.col("lead_id").is_not_null() & ~stays).select(*ORDER_KEY, reason=_detach_reason()),
        attached=attached.select(*LEAD_ORDER_SCHEMA, "lead_id", "strategy"),
        kept=kept,
        new_leads=targets.filter("is_new").select("lead_id", "customer_global_id", "lead_no"),
        reopened=attached.filter(pl.col("current_stage") == "COLD")
        .unique("lead_id", keep="first", maintain_order=True)
        .select("lead_id", *ORDER_KEY),
    )


def _detach_reason() -> pl.Expr:
    return (
        pl.when(pl.col("lead_customer").is_null()).then(pl.lit("lead_gone"))
        .when("is_cancelled").then(pl.lit("cancelled"))
        .when(pl.col("customer_global_id").is_null()).then(pl.lit("no_customer"))
        .otherwise(pl.lit("moved"))
    )  # fmt: skip


def _targets(free: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """The lead that each customer's free orders join: its active one, or a new one numbered after those it had."""
    customers = free.select("customer_global_id").unique()
    active = leads.filter(pl.col("current_stage").is_in(ACTIVE_STAGES)).select(
        "customer_global_id", "lead_id", "lead_no", "current_stage"
    )
    had = leads.group_by("customer_global_id").agg(
        next_no=pl.max_horizontal(pl.len().cast(pl.Int32), (pl.col("lead_no").max() + 1).fill_null(0))
    )
    joined = customers.join(active, on="customer_global_id", how="left").join(had, on="customer_global_id", how="left")
    is_new = pl.col("lead_id").is_null()
    number = pl.when(is_new).then(pl.col("next_no").fill_null(0)).otherwise("lead_no").cast(pl.Int32)
    return joined.with_columns(is_new=is_new, lead_no=number).with_columns(
        lead_id=pl.coalesce("lead_id", lead_id(pl.col("customer_global_id"), pl.col("lead_no")))
    )


def lead_figures(attached: pl.DataFrame) -> pl.DataFrame:
    """The figures of leads from all their attached orders; amounts of different currencies are never added together.

    The lead's currency is that of its first order by (ordered_at, none last; order_id). Only amounts in it are summed;
    orders in another one are counted in `other_currency_count` as well.

    Args:
        attached: `LEAD_ORDER_SCHEMA` and `lead_id`, none of them cancelled.

    Returns:
        `lead_id` and `FIGURES`, sorted by lead.
    """
    ordered = attached.sort("lead_id", "ordered_at", "order_id", nulls_last=True).with_columns(
        lead_currency=pl.col("currency").first().over("lead_id")
    )
    is_own = pl.col("currency").eq_missing(pl.col("lead_currency"))
    amount = pl.col("amount").filter(is_own)
    per_type = {}
    for name, system_type in _TYPES.items():
        is_type = pl.col("system_order_type") == system_type
        per_type[f"{name}_count"] = is_type.sum().cast(pl.Int32)
        per_type[f"{name}_amount"] = _sum(pl.col("amount").filter(is_own & is_type))
    return (
        ordered.group_by("lead_id")
        .agg(
            first_order_at=pl.col("ordered_at").min(),
            last_order_at=pl.col("ordered_at").max(),
            order_count=pl.len().cast(pl.Int32),
            total_amount=_sum(amount),
            currency=pl.col("lead_currency").first(),
            other_currency_count=(~is_own).sum().cast(pl.Int32),
            **per_type,
        )
        .select("lead_id", *FIGURES)
        .sort("lead_id")
    )


def empty_figures(lead_ids: pl.DataFrame) -> pl.DataFrame:
    """The figures of leads that have no order attached: zeros."""
    zeros = {
        name: pl.lit(None if dtype in (TIMESTAMP_UTC, pl.String()) else 0, dtype).alias(name)
        for name, dtype in FIGURES.items()
    }
    return lead_ids.select("lead_id", *zeros.values())


def withdrawn_leads(empty: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """Which leads without orders are withdrawn: those that nobody but the pipeline has touched.

    That is an OPEN lead that was made by the pipeline and is the customer's latest: with its orders gone, the tables
    are as if it had never been. A lead in a stage that people set stays, with figures of zero.
    """
    latest = leads.with_columns(latest_no=pl.col("lead_no").max().over("customer_global_id"))
    return (
        latest.filter((pl.col("current_stage") == "OPEN") & (pl.col("lead_no") == pl.col("latest_no")))
        .join(empty, on="lead_id", how="semi")
        .select("lead_id", "customer_global_id")
    )


def _sum(amounts: pl.Expr) -> pl.Expr:
    return amounts.cast(TOTAL).sum()
