"""Layouts of WooCommerce: the orders of Analytics, and the plugin Advanced Order Export (algolplus).

Evidence [S]: the source of both writers; documentation for the second row of a refunded order [D].
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP
from etl_assets.generator.platforms.layout import (
    Cell,
    Facts,
    FileForm,
    Layout,
    among,
    amount,
    by_line,
    by_order,
    headers_of,
    number,
    option_values,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Drawn, Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH, PLAIN_ENGLISH

OLD_HEADERS: Final = headers_of(
    "Date, Order #, N. Revenue (formatted), Status, Customer, Customer type, Product(s), Items sold, Coupon(s), "
    "N. Revenue"
)
NEW_HEADERS: Final = (*OLD_HEADERS[:-1], "Net Sales", "Attribution")
_ADDRESS: Final = (
    "First Name", "Last Name", "Company", "Address 1&2", "City", "State Code", "Postcode", "Country Code",
)  # fmt: skip
ADVANCED_HEADERS: Final = (
    "Order Number", "Order Status", "Order Date", "Customer Note",
    *(f"{part} (Billing)" for part in (*_ADDRESS, "Email", "Phone")),
    *(f"{part} (Shipping)" for part in _ADDRESS if part != "Company"),
    *headers_of(
        "Payment Method Title, Cart Discount Amount, Order Subtotal Amount, Shipping Method Title, "
        "Order Shipping Amount, Order Refund Amount, Order Total Amount, Order Total Tax Amount, SKU, Item #, "
        "Item Name, Quantity (- Refund), Item Cost, Coupon Code, Discount Amount, Discount Amount Tax"
    ),
)  # fmt: skip
OPTIONAL_HEADERS: Final = (
    "Order ID", *ADVANCED_HEADERS, *headers_of(
        "Currency, Paid Date, Completed Date, Modification Date, Quantity, Product Variation, Order Line Total, "
        "Order Item Metadata"
    ),
)  # fmt: skip
"""With fields that a user may add; where they stand is the user's choice."""
STATUSES: Final = (
    Status("pending", "unpaid"),
    Status("checkout-draft", "unpaid"),
    Status("on-hold", "unpaid"),
    Status("processing", "paid", weight=3),
    Status("completed", "done", weight=12),
    Status("refunded", "returned"),
    Status("cancelled", "closed", cancelled=True),
    Status("failed", "closed", cancelled=True),
)
LABELS: Final = tuple(
    status._replace(
        text={"checkout-draft": "Draft", "on-hold": "On hold"}.get(str(status.text), str(status.text).capitalize())
    )
    for status in STATUSES
)
_MARKET: Final = Market(ENGLISH, "EUR", "Europe/Berlin")
_PLAIN: Final = Market(PLAIN_ENGLISH, "EUR", "Europe/Berlin")
_ID: Final = serial_id(4_001)
_NET: Final = pl.col("subtotal") - pl.col("discount")
_IS_REFUND: Final = pl.col("is_refund_row")


def _with_refunds(drawn: Drawn) -> pl.DataFrame:
    """Return a row per order, and for each refunded order a second one, negative and dated at the refund."""
    goods = drawn.lines.group_by("order", maintain_order=True).agg(
        goods=pl.concat_str(number("quantity"), pl.lit("× "), "name").str.join(", ")
    )
    orders = by_order(drawn).join(goods, on="order", how="left", maintain_order="left")
    refunds = orders.filter(pl.col("state") == "returned").with_columns(
        second=pl.col("done_second"), goods=pl.lit(None, dtype=pl.String)
    )
    both = pl.concat(
        [orders.with_columns(is_refund_row=pl.lit(False)), refunds.with_columns(is_refund_row=pl.lit(True))]
    )
    return both.sort("order", "is_refund_row", maintain_order=True)


_SHOWN_NET: Final = pl.when(_IS_REFUND).then(-_NET).otherwise(_NET)
_ANALYTICS: Final[dict[str, Cell]] = {
    "Date": time("second", _PLAIN, "%Y-%m-%d %H:%M:%S"), "Order #": _ID,
    "N. Revenue (formatted)": amount(_SHOWN_NET, _PLAIN, ".", ",") + " €", "Status": pl.col("status"),
    "Customer": where("has_buyer", pl.col("full_name")),
    "Customer type": where(pl.col("buyer") % 2 == 0, "returning", "new"), "Product(s)": pl.col("goods"),
    "Items sold": (pl.when(_IS_REFUND).then(-pl.col("pieces")).otherwise("pieces")).cast(pl.String),
    "Coupon(s)": where(pl.col("discount") > 0, "welcome10"),
    "N. Revenue": amount(_SHOWN_NET, _PLAIN), "Net Sales": amount(_SHOWN_NET, _PLAIN), "Attribution": "Direct",
}  # fmt: skip
ANALYTICS: Final = Layout(
    platform="woocommerce_analytics",
    variant="old",
    evidence="SD",
    file_name="orders.csv",
    headers=OLD_HEADERS,
    cells=among(OLD_HEADERS, _ANALYTICS),
    trade=Trade(name="woocommerce analytics", market=_PLAIN, statuses=STATUSES),
    facts=Facts(
        order_id=_ID,
        customer=where("has_buyer", pl.col("full_name")),
        amount=_NET,  # without tax and shipping
        refunded=pl.when(pl.col("state") == "returned").then(_NET),
        item={"name": pl.col("name"), "quantity": pl.col("quantity")},
    ),
    rows=_with_refunds,
    form=FileForm(quoting="necessary"),
    errors={"BAD_AMOUNT": {"N. Revenue": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Date": BAD_TIMESTAMP}},
)
_MINUTE: Final = "%Y-%m-%d %H:%M"
_IS_BACK: Final = pl.col("state") == "returned"
_PERSON: Final[dict[str, Cell]] = {
    "First Name": pl.col("first_name"), "Last Name": pl.col("last_name"), "Address 1&2": pl.col("street"),
    "City": pl.col("city"), "State Code": pl.col("state_code"), "Postcode": pl.col("zip"),
    "Country Code": pl.col("country"),
}  # fmt: skip
_ADVANCED: Final[dict[str, Cell]] = {
    "Order Number": _ID, "Order ID": serial_id(90_001), "Order Status": pl.col("status"),
    "Order Date": time("second", _MARKET, _MINUTE), "Customer Note": pl.col("buyer_note"),
    **{f"{part} ({kind})": cell for kind in ("Billing", "Shipping") for part, cell in _PERSON.items()},
    "Email (Billing)": where("has_buyer", pl.col("email")), "Phone (Billing)": pl.col("phone"),
    "Payment Method Title": "Vorkasse", "Cart Discount Amount": amount("discount", _MARKET),
    "Order Subtotal Amount": amount("subtotal", _MARKET), "Shipping Method Title": "DHL",
    "Order Shipping Amount": amount("postage", _MARKET), "Order Refund Amount": amount("refunded", _MARKET),
    "Order Total Amount": amount("total", _MARKET), "Order Total Tax Amount": "0", "SKU": pl.col("sku"),
    "Item #": (pl.col("line") + 1).cast(pl.String), "Item Name": pl.col("name"),
    "Quantity (- Refund)": where(_IS_BACK, "0", number("quantity")), "Item Cost": amount("cents", _MARKET),
    "Currency": _MARKET.currency, "Paid Date": time("paid_second", _MARKET, _MINUTE),
    "Completed Date": time("done_second", _MARKET, _MINUTE),
    "Modification Date": time("second", _MARKET, _MINUTE), "Quantity": number("quantity"),
    "Product Variation": option_values(" | "), "Order Line Total": amount("line_paid", _MARKET),
    "Order Item Metadata": pl.col("personalisation"),
}  # fmt: skip
_LINE: Final = {"name": pl.col("name"), "sku": pl.col("sku"), "unit_price": pl.col("cents")}
ADVANCED: Final = Layout(
    platform="woocommerce_advanced",
    variant="default",
    evidence="S",
    file_name="orders-2026-05-13-11-01-13.csv",
    headers=ADVANCED_HEADERS,
    cells=among(ADVANCED_HEADERS, _ADVANCED),
    trade=Trade(name="woocommerce", market=_MARKET, statuses=LABELS),
    facts=Facts(
        order_id=_ID,
        customer=where("has_buyer", pl.col("email"), pl.col("phone")),
        amount=pl.col("total"),
        refunded=pl.col("refunded"),
        precision="1m",
        buyer_note=pl.col("buyer_note"),
        item=_LINE | {"quantity": pl.when(_IS_BACK).then(0).otherwise("quantity")},
    ),
    rows=by_line,
    errors={"BAD_AMOUNT": {"Order Total Amount": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Order Date": BAD_TIMESTAMP}},
)
LAYOUTS: Final = (
    ANALYTICS,
    ANALYTICS.but(
        variant="new",
        headers=NEW_HEADERS,
        cells=among(NEW_HEADERS, _ANALYTICS),
        errors={"BAD_AMOUNT": {"Net Sales": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Date": BAD_TIMESTAMP}},
    ),
    ADVANCED,
    ADVANCED.but(variant="xlsx", file_name="orders-2026-05-13.xlsx", form=FileForm(kind="xlsx")),
    ADVANCED.but(
        variant="optional",
        headers=OPTIONAL_HEADERS,
        cells=_ADVANCED,
        facts=Facts(
            **(
                vars(ADVANCED.facts)
                | {
                    "item": {
                        **ADVANCED.facts.item,
                        "variant": option_values(" | "),
                        "personalisation": pl.col("personalisation"),
                    }
                }
            )
        ),
    ),
)
