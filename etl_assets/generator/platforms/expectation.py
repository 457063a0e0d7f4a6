"""Expectation of a generated file: what each order must come out as, computed from the drawn orders.

It never looks at the file and uses nothing of the importer, so that it is an independent oracle for presets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.generator.platforms.layout import EMPTY, amount, by_line
from etl_assets.generator.random_columns import instants

if TYPE_CHECKING:
    from etl_assets.generator.platforms.layout import Facts, Layout
    from etl_assets.generator.platforms.model import Drawn, Market

ITEM_FACTS: Final = ("name", "variant", "sku", "quantity", "unit_price", "personalisation")
_UTC: Final = "%Y-%m-%dT%H:%M:%SZ"


def expected_orders(drawn: Drawn, layout: Layout, errors: pl.Series) -> pl.DataFrame:
    """Return a row per order of the file, all texts as they must be stored.

    ``order_id, shop, customer, status, state, cancelled, amount, currency, refunded_amount, ordered_at`` (UTC; naive
    times of the file read in the market's zone), ``buyer_note, seller_note, items`` (null where the file has none),
    ``pieces, kinds`` (null where the file does not say them), and ``quarantined``: the reason for which the order does
    not load, null for one that does.
    """
    facts, market = layout.facts, layout.market
    orders = drawn.orders.select(
        order_id=facts.order_id,
        shop=facts.shop,
        customer=facts.customer,
        status=facts.status,
        state=pl.col("state"),
        cancelled=facts.cancelled,
        amount=amount(facts.amount, market),
        currency=pl.lit(market.currency),
        refunded_amount=amount(facts.refunded, market),
        ordered_at=_ordered_at(facts, market),
        buyer_note=facts.buyer_note,
        seller_note=facts.seller_note,
        pieces=pl.col("pieces") if facts.counts else _NO_NUMBER,
        kinds=pl.col("kinds") if facts.counts else _NO_NUMBER,
        lines_known=facts.lines_known,
    )
    items = _items(drawn, layout, market)
    return orders.with_columns(
        items=pl.when("lines_known").then(pl.lit(items)),
        quarantined=pl.lit(errors),
    ).drop("lines_known")


def _ordered_at(facts: Facts, market: Market) -> pl.Expr:
    if facts.ordered is None:
        return EMPTY
    local = instants(facts.ordered).dt.convert_time_zone(market.timezone)
    return local.dt.truncate(facts.precision).dt.convert_time_zone("UTC").dt.to_string(_UTC)


def _items(drawn: Drawn, layout: Layout, market: Market) -> pl.Series:
    """Return the list of items of each order."""
    said = layout.facts.item
    nothing = dict.fromkeys(ITEM_FACTS, pl.lit(None, dtype=pl.String)) | {"quantity": pl.lit(None, dtype=pl.Int64)}
    price = {"unit_price": amount(said["unit_price"], market)} if "unit_price" in said else {}
    item = pl.struct((nothing | dict(said) | price)[name].alias(name) for name in ITEM_FACTS)
    rows = (layout.facts.lines or by_line)(drawn)
    lines = rows.select("order", item=item if said else pl.lit(None).cast(_NO_ITEM))
    lists = lines.group_by("order", maintain_order=True).agg("item").get_column("item")
    return lists if said else pl.Series([None] * len(lists), dtype=lists.dtype)


_NO_NUMBER: Final = pl.lit(None, dtype=pl.Int64)
_NO_ITEM: Final = pl.Struct({name: pl.Int64 if name == "quantity" else pl.String for name in ITEM_FACTS})
