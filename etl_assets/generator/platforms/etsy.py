"""Layouts of Etsy: sold orders (a row per order) and sold order items (a row per line).

Evidence [R]: ten order files and five item files of 2011 to 2025 were opened; files re-saved by Excel are common.
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
    by_line,
    by_order,
    headers_of,
    number,
    options,
    renamed,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH

ORDER_HEADERS: Final = headers_of(
    "Sale Date, Order ID, Buyer User ID, Full Name, First Name, Last Name, Number of Items, Payment Method, "
    "Date Shipped, Street 1, Street 2, Ship City, Ship State, Ship Zipcode, Ship Country, Currency, Order Value, "
    "Coupon Code, Coupon Details, Discount Amount, Shipping Discount, Shipping, Sales Tax, Order Total, Status, "
    "Card Processing Fees, Order Net, Adjusted Order Total, Adjusted Card Processing Fees, "
    "Adjusted Net Order Amount, Buyer, Order Type, Payment Type, InPerson Discount, InPerson Location, SKU"
)
ITEM_HEADERS: Final = headers_of(
    "Sale Date, Item Name, Buyer, Quantity, Price, Coupon Code, Coupon Details, Discount Amount, Shipping Discount, "
    "Order Shipping, Order Sales Tax, Item Total, Currency, Transaction ID, Listing ID, Date Paid, Date Shipped, "
    "Ship Name, Ship Address1, Ship Address2, Ship City, Ship State, Ship Zipcode, Ship Country, Order ID, "
    "Variations, Order Type, Listings Type, Payment Type, InPerson Discount, InPerson Location, VAT Paid by Buyer, SKU"
)
BRITISH: Final = {
    "Date Shipped": "Date Posted", "Ship City": "Delivery City", "Ship State": "Delivery State",
    "Ship Zipcode": "Delivery Zipcode", "Ship Country": "Delivery Country", "Shipping Discount": "Delivery Discount",
    "Shipping": "Delivery", "Sales Tax": "Sales tax", "Order Total": "Order total",
}  # fmt: skip
_US: Final = Market(ENGLISH, "USD", "America/New_York", tax_percent=8)
_UK: Final = Market(ENGLISH, "GBP", "Europe/London")
_STATUSES: Final = (Status(None, "done", weight=8), Status(None, "paid", weight=2), Status(None, "partly"))
"""No text: the column Status is empty in all real files; an order that is not shipped has no Date Shipped."""
_AMERICAN: Final = Trade(name="etsy us", market=_US, statuses=_STATUSES)
_ENGLISH: Final = Trade(name="etsy uk", market=_UK, statuses=_STATUSES)
_SHORT, _LONG, _ISO, _EXCEL = "%m/%d/%y", "%m/%d/%Y", "%Y-%m-%d", "%-m/%-d/%Y"
_SHIPPING_DISCOUNT: Final = where(pl.col("discount") > 0, "1.00", "0.00")
_ORDER_ID: Final = serial_id(2_900_000_000, 7_919)
_USERNAME: Final = pl.col("username").str.replace_all(".", "", literal=True)
_CUSTOMER: Final = where("has_buyer", _USERNAME, pl.col("full_name"))
_IS_DISPLAY_NAME: Final = pl.col("buyer") % 2 == 0
_NOT_REQUESTED: Final = pl.col("personalisation").is_null() & (pl.col("line_number") % 3 == 0)
_PERSONAL: Final = where(_NOT_REQUESTED, "Not requested on this item.", pl.col("personalisation"))


def _shipping(market: Market) -> pl.Expr:
    return amount(pl.col("postage") + pl.when(pl.col("discount") > 0).then(100).otherwise(0), market)


def _variations(label: str) -> pl.Expr:
    """Write ``Label:value,Label:value``, the personalisation as the last pair; values are not escaped."""
    personal = pl.lit(f"{label}:") + _PERSONAL
    return pl.concat_str(options(":", ","), personal, separator=",", ignore_nulls=True)


def _order_cells(market: Market, day: str) -> dict[str, pl.Expr | str]:
    return {
        "Sale Date": time("second", market, day), "Order ID": _ORDER_ID,
        "Buyer User ID": where("has_buyer", _USERNAME), "Full Name": pl.col("full_name"),
        "First Name": pl.col("first_name"), "Last Name": pl.col("last_name"), "Number of Items": number("pieces"),
        "Payment Method": where(pl.col("buyer") % 5 == 0, "PayPal", "Credit Card"),
        "Date Shipped": time("sent_second", market, day), "Street 1": pl.col("street"), "Ship City": pl.col("city"),
        "Ship State": pl.col("state_code"), "Ship Zipcode": pl.col("zip"), "Ship Country": pl.col("country_name"),
        "Currency": market.currency, "Order Value": amount("subtotal", market),
        "Coupon Code": where(pl.col("discount") > 0, "THANKYOU"),
        "Coupon Details": where(pl.col("discount") > 0, "THANKYOU - % off order, some items"),
        "Discount Amount": amount("discount", market), "Shipping Discount": _SHIPPING_DISCOUNT,
        "Shipping": _shipping(market), "Sales Tax": "0.00",
        "Order Total": amount(pl.col("total") + pl.col("tax"), market), "Card Processing Fees": "0.50",
        "Order Net": amount(pl.col("total") + pl.col("tax") - 50, market), "Adjusted Order Total": "0.00",
        "Adjusted Card Processing Fees": "0.00",
        "Adjusted Net Order Amount": where(
            pl.col("state") == "partly", amount(pl.col("total") + pl.col("tax") - pl.col("refunded"), market), "0.00"
        ),
        "Buyer": where(_IS_DISPLAY_NAME, pl.col("full_name") + " (" + _USERNAME + ")", _USERNAME),
        "Order Type": "online", "Payment Type": where(pl.col("buyer") % 5 == 0, "online_pp", "online_cc"),
        "SKU": pl.col("skus"),
    }  # fmt: skip


def _item_cells(market: Market, day: str, long_day: str, label: str) -> dict[str, pl.Expr | str]:
    buyer = where(_IS_DISPLAY_NAME, pl.col("full_name") + " (" + _USERNAME + ")", _USERNAME)
    return {
        "Sale Date": time("second", market, day), "Item Name": pl.col("name"),
        "Buyer": where("has_buyer", buyer, pl.col("full_name")), "Quantity": number("quantity"),
        "Price": amount("cents", market), "Coupon Code": where(pl.col("discount") > 0, "THANKYOU"),
        "Discount Amount": amount("discount", market), "Shipping Discount": _SHIPPING_DISCOUNT,
        "Order Shipping": _shipping(market), "Order Sales Tax": "0.00", "Item Total": amount("line_cents", market),
        "Currency": market.currency, "Transaction ID": serial_id(3_600_000_000, 7, "line_number"),
        "Listing ID": serial_id(1_100_000_000, 13, "line_number"), "Date Paid": time("paid_second", market, long_day),
        "Date Shipped": time("sent_second", market, long_day), "Ship Name": pl.col("full_name"),
        "Ship Address1": pl.col("street"), "Ship City": pl.col("city"), "Ship State": pl.col("state_code"),
        "Ship Zipcode": pl.col("zip"), "Ship Country": pl.col("country_name"), "Order ID": _ORDER_ID,
        "Variations": _variations(label), "Order Type": "online", "Listings Type": "listing",
        "Payment Type": "online_cc", "SKU": pl.col("sku"),
    }  # fmt: skip


_ORDER_FACTS: Final = Facts(
    order_id=_ORDER_ID,
    customer=_CUSTOMER,
    status=where(pl.col("sent_second").is_not_null(), "shipped", "paid"),
    amount=pl.col("total"),  # Order Value - Discount Amount + Shipping - Shipping Discount: Order Total holds a tax
    precision="1d",
)
_ITEM_FACTS: Final = Facts(
    order_id=_ORDER_ID,
    customer=_CUSTOMER,
    amount=pl.col("total"),
    precision="1d",
    item={
        "name": pl.col("name"),
        "variant": options(":", ","),
        "sku": pl.col("sku"),
        "quantity": pl.col("quantity"),
        "unit_price": pl.col("cents"),
        "personalisation": pl.col("personalisation"),
    },
)

ORDERS_US: Final = Layout(
    platform="etsy_orders", variant="us", evidence="R", file_name="EtsySoldOrders2025.csv", headers=ORDER_HEADERS,
    cells=_order_cells(_US, _SHORT), trade=_AMERICAN, facts=_ORDER_FACTS, rows=by_order,
    errors={"BAD_AMOUNT": {"Order Value": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Sale Date": BAD_TIMESTAMP}},
)  # fmt: skip
_TAX_SHOWN: Final = {"Sales Tax": amount("tax", _US)}
_EXCEL_FORM: Final = FileForm(newline="\r\n", delimiter="\t")
ITEMS_US: Final = Layout(
    platform="etsy_items", variant="us", evidence="R", file_name="EtsySoldOrderItems2025.csv", headers=ITEM_HEADERS,
    cells=_item_cells(_US, _SHORT, _LONG, "Personalization"), trade=_AMERICAN, facts=_ITEM_FACTS, rows=by_line,
)  # fmt: skip
LAYOUTS: Final = (
    ORDERS_US,
    ORDERS_US.but(  # up to 2019: no SKU, and the tax that the seller collected has a column
        variant="us_2019", headers=ORDER_HEADERS[:-1], cells=_TAX_SHOWN, file_name="EtsySoldOrders2019.csv"
    ),
    renamed(ORDERS_US, BRITISH, variant="uk", evidence="RP", cells={
        BRITISH.get(header, header): cell for header, cell in _order_cells(_UK, _SHORT).items()
    }, trade=_ENGLISH),
    ORDERS_US.but(variant="us_excel", cells=_order_cells(_US, _EXCEL), form=FileForm(newline="\r\n")),
    ORDERS_US.but(variant="us_excel_tab", cells=_order_cells(_US, _ISO), form=_EXCEL_FORM),
    ITEMS_US,
    ITEMS_US.but(  # the headers of the British variant were not seen: those of the US one, with its spelling of values
        variant="uk", cells=_item_cells(_UK, _SHORT, _LONG, "Personalisation"), trade=_ENGLISH, evidence="RG"
    ),
    ITEMS_US.but(variant="us_excel_tab", cells=_item_cells(_US, _EXCEL, _EXCEL, "Personalization"), form=_EXCEL_FORM),
)  # fmt: skip
