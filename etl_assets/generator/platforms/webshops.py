"""Layouts of BigCommerce and Magento 2 (Adobe Commerce): a row per order.

Evidence [P] of one reader of each, for Magento documentation too [D]. The notation of BigCommerce's product details is
general knowledge [G], so that no items are expected of them; its time of day stands in a column of its own.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP
from etl_assets.generator.platforms.layout import (
    Facts,
    FileForm,
    Layout,
    amount,
    by_order,
    headers_of,
    number,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH

_ADDRESS: Final = (
    "Name", "First Name", "Last Name", "Company", "Street 1", "Street 2", "Suburb", "State", "State Abbreviation",
    "Zip", "Country", "Suffix", "Phone", "Email",
)  # fmt: skip
"""Parts of the two addresses; that of Name is of a reader [P], the others are general knowledge [G]."""
BIGCOMMERCE_HEADERS: Final = (
    *headers_of(
        "Order ID, Order Status, Order Date, Order Time, Subtotal (inc tax), Subtotal (ex tax), Tax Total, "
        "Shipping Cost (inc tax), Shipping Cost (ex tax), Handling Cost (inc tax), Handling Cost (ex tax), "
        "Coupon Details, Order Total (inc tax), Order Total (ex tax), Refund Amount, Customer ID, Customer Name, "
        "Customer Email, Customer Phone, Ship Method, Payment Method, Total Quantity, Total Shipped, Date Shipped, "
        "Order Currency Code, Exchange Rate, Order Notes, Customer Message"
    ),
    *(f"Billing {part}" for part in _ADDRESS), "Merchant-defined Order Status",
    *(f"Shipping {part}" for part in _ADDRESS),
    *headers_of(
        "Product Details, # Unique Products in Order, Combined Product Weight, Todays Date, "
        "Peachtree Accounts Receivable Account, Channel ID, Channel Name, Order Source, Transaction ID"
    ),
)  # fmt: skip
BIGCOMMERCE_STATUSES: Final = (  # [G]
    Status("Pending", "unpaid"),
    Status("Awaiting Payment", "unpaid"),
    Status("Awaiting Fulfillment", "paid", weight=2),
    Status("Awaiting Shipment", "paid"),
    Status("Shipped", "shipped", weight=3),
    Status("Completed", "done", weight=10),
    Status("Cancelled", "closed", cancelled=True),
    Status("Declined", "closed", cancelled=True),
    Status("Refunded", "returned"),
    Status("Partially Refunded", "partly"),
    Status("Disputed", "done"),
    Status("Manual Verification Required", "paid"),
)
MAGENTO_HEADERS: Final = headers_of(
    "ID, Purchase Point, Purchase Date, Bill-to Name, Ship-to Name, Grand Total (Base), Grand Total (Purchased), "
    "Status, Billing Address, Shipping Address, Shipping Information, Customer Email, Customer Group, Subtotal, "
    "Shipping and Handling, Customer Name, Payment Method, Total Refunded"
)
MAGENTO_STATUSES: Final = (  # [G]
    Status("Pending", "unpaid"),
    Status("Payment Review", "unpaid"),
    Status("Suspected Fraud", "unpaid"),
    Status("On Hold", "paid"),
    Status("Processing", "paid", weight=3),
    Status("Complete", "done", weight=10),
    Status("Closed", "returned"),
    Status("Canceled", "closed", cancelled=True, weight=2),
)
_USA: Final = Market(ENGLISH, "USD", "America/New_York")
_UK: Final = Market(ENGLISH, "GBP", "Europe/London")
_SMALL_ID: Final = serial_id(101)
_GOODS: Final = "Product ID: 77, Product Qty: " + number("pieces") + ", Product Name: " + pl.col("titles")
BIGCOMMERCE: Final = Layout(
    platform="bigcommerce",
    variant="default",
    evidence="PG",
    file_name="orders-2026-05-13.csv",
    headers=BIGCOMMERCE_HEADERS,
    cells={
        "Order ID": _SMALL_ID, "Order Status": pl.col("status"), "Order Date": time("second", _USA, "%m/%d/%Y"),
        "Order Time": time("second", _USA, "%I:%M:%S %p"),
        "Subtotal (inc tax)": amount("subtotal", _USA), "Subtotal (ex tax)": amount("subtotal", _USA),
        "Tax Total": "0.00", "Shipping Cost (inc tax)": amount("postage", _USA),
        "Shipping Cost (ex tax)": amount("postage", _USA), "Order Total (inc tax)": amount("total", _USA),
        "Order Total (ex tax)": amount("total", _USA), "Refund Amount": amount("refunded", _USA),
        "Customer ID": where("has_buyer", serial_id(1, 1, "buyer"), "0"), "Customer Name": pl.col("full_name"),
        "Customer Email": pl.col("email"), "Customer Phone": pl.col("phone"), "Ship Method": "Flat rate",
        "Payment Method": "Credit Card", "Total Quantity": number("pieces"), "Total Shipped": number("pieces"),
        "Date Shipped": time("sent_second", _USA, "%m/%d/%Y"), "Order Currency Code": "USD", "Exchange Rate": "1.00",
        "Order Notes": pl.col("seller_note"), "Customer Message": pl.col("buyer_note"),
        "Billing Name": pl.col("full_name"), "Billing Street 1": pl.col("street"), "Billing Zip": pl.col("zip"),
        "Shipping Name": pl.col("full_name"), "Shipping Street 1": pl.col("street"), "Shipping Zip": pl.col("zip"),
        "Product Details": _GOODS, "# Unique Products in Order": number("kinds"), "Channel ID": "1",
        "Channel Name": "Kiln Works", "Order Source": "www",
    },
    trade=Trade(name="bigcommerce", market=_USA, statuses=BIGCOMMERCE_STATUSES),
    facts=Facts(
        order_id=_SMALL_ID, customer=pl.col("email"), amount=pl.col("total"), refunded=pl.col("refunded"),
        precision="1d", buyer_note=pl.col("buyer_note"), seller_note=pl.col("seller_note"),
    ),
    rows=by_order,
    errors={
        "BAD_AMOUNT": {"Order Total (inc tax)": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Order Date": BAD_TIMESTAMP},
        "MISSING_ORDER_ID": {"Order ID": None},
    },
)  # fmt: skip
_SIGNS: Final = ("Order Total (inc tax)", "Order Total (ex tax)", "Subtotal (inc tax)", "Refund Amount")
_PLACE: Final = pl.concat_str("street", "city", "zip", separator=",")
MAGENTO: Final = Layout(
    platform="magento",
    variant="grid",
    evidence="PDG",
    file_name="export.csv",
    headers=MAGENTO_HEADERS,
    cells={
        "ID": serial_id(1).str.zfill(9), "Purchase Point": "Main Website\n    Main Website Store\n        Default",
        "Purchase Date": time("second", _UK, "%b %-d, %Y, %-I:%M:%S %p"), "Bill-to Name": pl.col("full_name"),
        "Ship-to Name": pl.col("full_name"), "Grand Total (Base)": amount("total", _UK),
        "Grand Total (Purchased)": amount("total", _UK), "Status": pl.col("status"), "Billing Address": _PLACE,
        "Shipping Address": _PLACE, "Shipping Information": "Flat Rate - Fixed",
        "Customer Email": where("has_buyer", pl.col("email")), "Customer Group": "General",
        "Subtotal": amount("subtotal", _UK), "Shipping and Handling": amount("postage", _UK),
        "Customer Name": pl.col("full_name"), "Payment Method": "checkmo",
        "Total Refunded": where(pl.col("refunded") > 0, amount("refunded", _UK)),
    },
    trade=Trade(name="magento", market=_UK, statuses=MAGENTO_STATUSES),
    facts=Facts(
        order_id=serial_id(1).str.zfill(9), customer=where("has_buyer", pl.col("email"), pl.col("full_name")),
        amount=pl.col("total"), refunded=pl.when(pl.col("refunded") > 0).then("refunded"), counts=False,
    ),
    rows=by_order,
    form=FileForm(quoting="always"),
    errors={
        "BAD_AMOUNT": {"Grand Total (Purchased)": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Purchase Date": BAD_TIMESTAMP},
        "MISSING_ORDER_ID": {"ID": None},
    },
)  # fmt: skip
LAYOUTS: Final = (
    BIGCOMMERCE,
    BIGCOMMERCE.but(
        variant="signs",
        cells={header: "$" + pl.lit("") + BIGCOMMERCE.cells[header] for header in _SIGNS},
    ),
    MAGENTO,
    MAGENTO.but(variant="iso", cells={"Purchase Date": time("second", _UK, "%Y-%m-%d %H:%M:%S")}),
)
