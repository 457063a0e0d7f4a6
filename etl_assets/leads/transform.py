"""The rules of leads (design §4): pure functions from orders and leads to leads.

Reading and writing is in `leads.step`, the texts of the rules in `leads.explanations`, the passing of time in
`leads.stale`. A rule that can be configured takes its setting as an argument; the step passes it from `Batch.settings`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl_assets.lead_figures import FIGURES
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
    "refunded_amount": MONEY,
    "currency": pl.String(),
}
"""Columns of an order that the rules of leads read."""

_TYPES: Final = {"sample": "SAMPLE", "proof": "PROOF", "bulk": "BULK"}


class Attachment(NamedTuple):
    """Attachment of the orders of a batch to leads."""

    detached: pl.DataFrame
    """Orders that leave their lead: `shop_id`, `order_id`, `reason` (a key of `DETACH_REASONS`)."""
    attached: pl.DataFrame
    """Orders that join a lead: `LEAD_ORDER_SCHEMA`, `lead_id`, `strategy` (a key of `ATTACH_REASONS`)."""
    kept: pl.DataFrame
    """Orders that stay in their lead: `LEAD_ORDER_SCHEMA`, `lead_id`."""
    new_leads: pl.DataFrame
    """Leads to make: `lead_id`, `customer_global_id`, `lead_no`."""
    reopened: pl.DataFrame
    """COLD leads that become OPEN: `lead_id`, and `shop_id`, `order_id` of the first order that joins them."""


def attach_orders(orders: pl.DataFrame, leads: pl.DataFrame, former: pl.DataFrame | None = None) -> Attachment:
    """Attach orders to leads.

    An order belongs to a lead if it is not cancelled and has a customer. Those that belong to none yet join their
    customer's OPEN or COLD lead (reuse), or the first of them makes one (new) that the customer's later ones join.
    An order of a lead that is not among `leads` (it was deleted by hand) belongs to none. An order that a revert took
    out of a lead of its customer returns to it, whatever its stage is now, and changes no stage.

    Args:
        orders: changed orders, `LEAD_ORDER_SCHEMA`, with `lead_id` (the lead they are attached to now, or null).
        leads: all leads of the customers in question: `lead_id`, `customer_global_id`, `lead_no`, `current_stage`.
        former: the lead that a revert took each order out of last: `ORDER_KEY`, `lead_id`, `strategy`.
    """
    owners = leads.select("lead_id", lead_customer="customer_global_id")
    known = orders.join(owners, on="lead_id", how="left", maintain_order="left")
    belongs = ~pl.col("is_cancelled") & pl.col("customer_global_id").is_not_null()
    stays = pl.col("lead_id").is_not_null() & belongs & (pl.col("lead_customer") == pl.col("customer_global_id"))
    stays = stays.fill_null(value=False)
    kept = known.filter(stays).drop("lead_customer")
    free = known.filter(belongs & ~stays).select(*LEAD_ORDER_SCHEMA)
    returned = _returned(free, owners, former)
    free = free.join(returned, on=ORDER_KEY, how="anti", maintain_order="left")
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
        attached=pl.concat([attached.select(*LEAD_ORDER_SCHEMA, "lead_id", "strategy"), returned]),
        kept=kept,
        new_leads=targets.filter("is_new").select("lead_id", "customer_global_id", "lead_no"),
        reopened=attached.filter(pl.col("current_stage") == "COLD")
        .unique("lead_id", keep="first", maintain_order=True)
        .select("lead_id", *ORDER_KEY),
    )


def _returned(free: pl.DataFrame, owners: pl.DataFrame, former: pl.DataFrame | None) -> pl.DataFrame:
    """Return the free orders whose former lead is still their customer's, with its `lead_id` and their `strategy`."""
    if former is None:
        return free.clear().with_columns(lead_id=pl.lit(None, pl.String), strategy=pl.lit(None, pl.String))
    return (
        free.join(former, on=ORDER_KEY)
        .join(owners, on="lead_id")
        .filter(pl.col("lead_customer") == pl.col("customer_global_id"))
        .select(*LEAD_ORDER_SCHEMA, "lead_id", "strategy")
    )


def _detach_reason() -> pl.Expr:
    return (
        pl.when(pl.col("lead_customer").is_null()).then(pl.lit("lead_gone"))
        .when("is_cancelled").then(pl.lit("cancelled"))
        .when(pl.col("customer_global_id").is_null()).then(pl.lit("no_customer"))
        .otherwise(pl.lit("moved"))
    )  # fmt: skip


def with_reverted(attachment: Attachment, deleted: pl.DataFrame) -> Attachment:
    """Name as the reason of orders (`ORDER_KEY`) that leave their lead that they were deleted by a revert."""
    if deleted.is_empty():
        return attachment
    gone = deleted.with_columns(is_gone=pl.lit(value=True))
    detached = attachment.detached.join(gone, on=ORDER_KEY, how="left", maintain_order="left")
    reason = pl.when(pl.col("is_gone")).then(pl.lit("reverted")).otherwise("reason")
    return attachment._replace(detached=detached.select(*ORDER_KEY, reason=reason))


def _targets(free: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """Return the lead that each customer's free orders join: its active one, or a new one numbered after all others."""
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
    """Compute the figures of leads from all their orders; amounts of different currencies are never added together.

    The lead's currency is that of its first order by (ordered_at, none last; order_id). Only amounts in it are summed;
    orders in another one are counted in `other_currency_count` as well. Totals are gross: what was given back is in
    `refunded_amount` (docs/decisions.md, "Refunds").

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
            refunded_amount=_sum(pl.col("refunded_amount").filter(is_own)),
            **per_type,
        )
        .select("lead_id", *FIGURES)
        .sort("lead_id")
    )


def figures_and_withdrawals(
    lead_ids: pl.DataFrame, members: pl.DataFrame, leads: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the figures that leads have now, and those of the leads that are withdrawn instead.

    Args:
        lead_ids: `lead_id` of the leads in question, new ones and stored ones.
        members: all their orders, as for `lead_figures`.
        leads: all stored leads of their customers, as for `attach_orders`.
    """
    empty = lead_ids.join(members, on="lead_id", how="anti")
    withdrawn = withdrawn_leads(empty, leads)
    left_empty = empty.join(withdrawn, on="lead_id", how="anti")
    return pl.concat([lead_figures(members), empty_figures(left_empty)]), withdrawn


def empty_figures(lead_ids: pl.DataFrame) -> pl.DataFrame:
    """Return the figures of leads that have no order attached: zeros."""
    zeros = {
        name: pl.lit(None if dtype in (TIMESTAMP_UTC, pl.String()) else 0, dtype).alias(name)
        for name, dtype in FIGURES.items()
    }
    return lead_ids.select("lead_id", *zeros.values())


def withdrawn_leads(empty: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """Return the leads without orders that are withdrawn (deleted): those that only the pipeline has touched.

    That is an OPEN lead that is the customer's latest: without it the tables are as if its orders had never been. A
    lead in a stage that sales staff set stays, with figures of zero (docs/decisions.md, "Leads without orders").
    """
    latest = leads.with_columns(latest_no=pl.col("lead_no").max().over("customer_global_id"))
    return (
        latest.filter((pl.col("current_stage") == "OPEN") & (pl.col("lead_no") == pl.col("latest_no")))
        .join(empty, on="lead_id", how="semi")
        .select("lead_id", "customer_global_id")
    )


def _sum(amounts: pl.Expr) -> pl.Expr:
    return amounts.cast(TOTAL).sum()
