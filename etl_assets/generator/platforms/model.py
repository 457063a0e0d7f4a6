"""Model of generated orders: what was ordered, by whom and when, before any platform's notation.

Frames of orders and their lines, drawn from a seed. Both the file and its expectation are made from them, neither from
the other, so that the expectation is independent of every reader. Texts of a platform do not belong here (`layout`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import polars as pl

from etl_assets.generator import people
from etl_assets.generator.lines import draw_lines
from etl_assets.generator.platforms.products import Assortment, Options, goods_table
from etl_assets.generator.random_columns import (
    Chunk,
    Indices,
    at,
    chance,
    instants,
    order_seconds,
    pick,
    returning_buyers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["unpaid", "paid", "shipped", "done", "closed", "dropped", "returned", "partly"]
"""Stage of an order: not paid; paid; sent; received; closed without payment; paid, then cancelled and paid back;
sent, then returned and paid back; received and paid back in part."""
UNPAID_STATES: Final = ("unpaid", "closed")
SENT_STATES: Final = ("shipped", "done", "returned", "partly")
REFUNDED_STATES: Final = ("dropped", "returned")
CANCELLED_STATES: Final = ("closed", "dropped")
DONE_STATES: Final = ("done", "returned", "partly")


class Status(NamedTuple):
    """Status as the export writes it, the state that it means, and if such an order counts as cancelled."""

    text: str | None
    state: State
    cancelled: bool = False
    weight: int = 1
    detail: str | None = None
    """Text of a second status column, where there is one."""


class Market(NamedTuple):
    """Country of a shop: how it sells and keeps time."""

    assortment: Assortment
    currency: str
    timezone: str
    factor: int = 1
    """Price in the smallest unit of the currency, per hundredth of the catalogue."""
    decimals: int = 2
    tax_percent: int = 0
    """Tax that the marketplace adds to what the seller gets."""


@dataclass(frozen=True, kw_only=True)
class Trade:
    """Orders drawn for a layout; layouts that share it describe the same orders for the same seed."""

    name: str
    market: Market
    statuses: tuple[Status, ...] = (Status(None, "done"),)
    shops: tuple[str | None, ...] = (None,)
    kinds: tuple[float, ...] = (0.6, 0.25, 0.1, 0.05)
    """Shares of orders with one, two, … lines."""
    most: tuple[int, ...] = field(default=(1, 3, 60))
    """Greatest quantities of a line, one of them for each order."""
    without_buyer: float = 0.08


class Drawn(NamedTuple):
    """Orders and their lines: columns as `_orders` and `_lines` make them."""

    orders: pl.DataFrame
    lines: pl.DataFrame


_PLACES: Final = pl.DataFrame(
    [
        ("12 Elm Street", "Burlington", "VT", "05401", "US", "United States", "+1"),
        ("4 Harbour Road, Flat 2", "Bristol", "England", "BS1 5TY", "GB", "United Kingdom", "+44"),
        ("Lindenweg 3", "Zürich", "ZH", "8004", "CH", "Switzerland", "+41"),
        ("Rue de l'Église 8\nBâtiment B", "Liège", None, "4000", "BE", "Belgium", "+32"),
    ],
    schema=dict.fromkeys(("street", "city", "state_code", "zip", "country", "country_name", "dial"), pl.String),
    orient="row",
)


def draw(chunk: Chunk, trade: Trade) -> Drawn:
    """Draw a chunk of orders with their lines; the first orders of all have each status in turn."""
    lines = _lines(chunk, trade)
    return Drawn(_orders(chunk, trade, lines), lines)


def _lines(chunk: Chunk, trade: Trade) -> pl.DataFrame:
    rng, size, market = chunk.rng, chunk.size, trade.market
    counts = rng.choice(np.arange(1, len(trade.kinds) + 1), size=size, p=trade.kinds)
    most = rng.choice(np.array(trade.most), size=size)
    table = goods_table(market.assortment).with_columns(cents=pl.col("price") * market.factor)
    drawn = draw_lines(rng, table, counts, most)
    height = drawn.height
    wishes = market.assortment.personalisations
    drawn = drawn.with_columns(
        pl.lit(pick(rng, wishes, height)).alias("wish"),
        pl.lit(chance(rng, 0.4, height)).alias("is_personalised"),
        pl.lit(chance(rng, 0.2, height)).alias("is_discounted"),
        pl.lit(pl.Series(rng.choice(np.array([0, 490, 900]), size=height) * market.factor)).alias("line_postage"),
    )
    return drawn.unique(["order", "sku"], keep="first", maintain_order=True).select(
        "order", "name", "sku", *Options._fields, "quantity", "cents", "line_cents", "line_postage",
        pl.int_range(pl.len()).over("order").alias("line"),
        personalisation=pl.when("is_personalised").then("wish"),
        line_discount=pl.when("is_discounted").then(pl.col("cents") // 10 * pl.col("quantity")).otherwise(0),
    ).with_columns(
        line_paid=pl.col("line_cents") - pl.col("line_discount"),
        line_tax=(pl.col("line_cents") - pl.col("line_discount")) * market.tax_percent // 100,
        line_number=(pl.lit(chunk.start) + pl.col("order")) * 10 + pl.col("line"),
    )  # fmt: skip


def _orders(chunk: Chunk, trade: Trade, lines: pl.DataFrame) -> pl.DataFrame:
    rng, size, market = chunk.rng, chunk.size, trade.market
    buyers = returning_buyers(rng, chunk)
    numbers = np.arange(chunk.start, chunk.start + size, dtype=np.int64)
    seconds = order_seconds(rng, chunk)
    drawn = pl.DataFrame(
        {
            "order": np.arange(size, dtype=np.int64),
            "number": numbers,
            "second": unambiguous(seconds, market.timezone),
            "paid_second": seconds + rng.integers(20, 3_600, size=size),
            "sent_second": seconds + rng.integers(90_000, 260_000, size=size),
            "done_second": seconds + rng.integers(400_000, 900_000, size=size),
            "cancelled_second": seconds + rng.integers(4_000, 80_000, size=size),
            "buyer": buyers,
            "shop": at(trade.shops, buyers % len(trade.shops)),
            "has_buyer": ~chance(rng, trade.without_buyer, size),
            "full_name": people.western_names(buyers),
            "email": people.emails(buyers),
            "nickname": people.nicknames(buyers),
            "receiver": people.receivers(buyers),
            "chinese_address": people.chinese_addresses(buyers),
            "chinese_phone": people.chinese_phones(buyers),
            "phone": people.western_phones(buyers),
            "buyer_note": pick(rng, (None, None, *market.assortment.buyer_notes), size),
            "seller_note": pick(rng, (None, None, None, *market.assortment.seller_notes), size),
        }
    ).with_columns(
        username=pl.col("email").str.split("@").list.first(),
        first_name=pl.col("full_name").str.extract(r"^(\S+)"),
        last_name=pl.col("full_name").str.extract(r"^\S+ (.*)$"),
    )
    place = _PLACES[buyers % _PLACES.height]
    parts = [drawn, _statuses(chunk, trade.statuses), place, _sums(lines)]
    return _with_stages(pl.concat(parts, how="horizontal"))


def _statuses(chunk: Chunk, statuses: Sequence[Status]) -> pl.DataFrame:
    weights = np.cumsum([status.weight for status in statuses])
    drawn = np.searchsorted(weights / weights[-1], chunk.rng.random(chunk.size), side="right")
    numbers = np.arange(chunk.start, chunk.start + chunk.size)
    chosen = np.where(numbers < len(statuses), numbers, drawn)
    table = pl.DataFrame(
        [(status.text, status.state, status.cancelled, status.detail) for status in statuses],
        schema={"status": pl.String, "state": pl.String, "cancelled": pl.Boolean, "status_detail": pl.String},
        orient="row",
    )
    return table[chosen]


def _sums(lines: pl.DataFrame) -> pl.DataFrame:
    """Return a row per order: the sums of its lines, in the smallest unit of the currency."""
    return (
        lines.group_by("order", maintain_order=True)
        .agg(
            subtotal=pl.col("line_cents").sum(), discount=pl.col("line_discount").sum(),
            postage=pl.col("line_postage").sum(), tax=pl.col("line_tax").sum(), pieces=pl.col("quantity").sum(),
            kinds=pl.len().cast(pl.Int64), titles=pl.col("name").str.join("，"), skus=pl.col("sku").str.join(","),
        )
        .with_columns(total=pl.col("subtotal") - pl.col("discount") + pl.col("postage"))
        .drop("order")
    )  # fmt: skip


def _with_stages(orders: pl.DataFrame) -> pl.DataFrame:
    """Empty the times that an order's state has not reached, and fill what was paid and paid back."""
    state = pl.col("state")
    is_paid = ~state.is_in(UNPAID_STATES)
    back = pl.when(state.is_in(REFUNDED_STATES)).then("total").when(state == "partly").then(pl.col("subtotal") // 4)
    return orders.with_columns(
        is_paid=is_paid,
        paid_second=pl.when(is_paid).then("paid_second"),
        sent_second=pl.when(state.is_in(SENT_STATES)).then("sent_second"),
        done_second=pl.when(state.is_in(DONE_STATES)).then("done_second"),
        cancelled_second=pl.when(state.is_in(CANCELLED_STATES)).then("cancelled_second"),
        refunded=back.otherwise(0),
    )


def unambiguous(seconds: Indices, timezone: str) -> pl.Series:
    """Move times of the hour that a zone has twice, when its summer time ends, two hours on: a local time names one."""
    times = pl.DataFrame({"second": seconds})
    local = instants(pl.col("second")).dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    early = local.dt.replace_time_zone(timezone, ambiguous="earliest")
    late = local.dt.replace_time_zone(timezone, ambiguous="latest")
    moved = pl.when(early != late).then(pl.col("second") + 7_200).otherwise("second")
    return times.select(moved.alias("second")).to_series()
