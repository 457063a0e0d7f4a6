"""Layouts of Shopify's orders export: a row per line, the further rows of an order nearly empty.

Evidence [R]: files of shops in five countries; the headers are English in all of them.
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
    amount,
    by_line,
    first_row,
    number,
    option_values,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH

_ADDRESS_PARTS: Final = (
    "Name", "Street", "Address1", "Address2", "Company", "City", "Zip", "Province", "Country", "Phone",
)  # fmt: skip
HEADERS: Final = (
    "Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Fulfilled at", "Accepts Marketing",
    "Currency", "Subtotal", "Shipping", "Taxes", "Total", "Discount Code", "Discount Amount", "Shipping Method",
    "Created at",
    "Lineitem quantity", "Lineitem name", "Lineitem price", "Lineitem compare at price", "Lineitem sku",
    "Lineitem requires shipping", "Lineitem taxable", "Lineitem fulfillment status",
    *(f"Billing {part}" for part in _ADDRESS_PARTS), *(f"Shipping {part}" for part in _ADDRESS_PARTS),
    "Notes", "Note Attributes", "Cancelled at", "Payment Method", "Payment Reference", "Refunded Amount", "Vendor",
    "Outstanding Balance", "Employee", "Location", "Device ID", "Id", "Tags", "Risk Level", "Source",
    "Lineitem discount",
    *(f"Tax {number} {part}" for number in range(1, 6) for part in ("Name", "Value")),
    "Phone", "Receipt Number", "Duties", "Billing Province Name", "Shipping Province Name", "Payment ID",
    "Payment Terms Name", "Next Payment Due At", "Payment References",
)  # fmt: skip
HEADERS_75: Final = tuple(
    header for header in HEADERS
    if header not in {"Payment ID", "Payment Terms Name", "Next Payment Due At", "Payment References"}
)  # fmt: skip
STATUSES: Final = (
    Status("paid", "done", weight=14),
    Status("pending", "unpaid"),
    Status("authorized", "paid"),
    Status("partially_paid", "paid"),
    Status("partially_refunded", "partly"),
    Status("refunded", "returned"),
    Status("refunded", "dropped", cancelled=True),
    Status("voided", "closed", cancelled=True),
    Status("paid", "closed", cancelled=True),
    Status("expired", "unpaid"),
)
_MARKET: Final = Market(ENGLISH, "EUR", "Europe/Berlin")
_TIME: Final = "%Y-%m-%d %H:%M:%S %z"
_ID: Final = "#" + serial_id(1_001)
_BY_PHONE: Final = pl.col("number") % 11 == 3  # noqa: PLR2004
_EMAIL: Final = where("has_buyer", where(~_BY_PHONE, pl.col("email")))
_PHONE: Final = where("has_buyer", where(_BY_PHONE, pl.col("phone")))
_ADDRESS: Final[dict[str, Cell]] = {
    "Name": pl.col("full_name"), "Street": pl.col("street"), "Address1": pl.col("street"), "City": pl.col("city"),
    "Zip": "'" + pl.col("zip"), "Province": pl.col("state_code"), "Country": pl.col("country"),
}  # fmt: skip


def _cells(form: str) -> dict[str, Cell]:
    created = time("second", _MARKET, form)
    of_order: dict[str, Cell] = {
        "Financial Status": pl.col("status"), "Paid at": time("paid_second", _MARKET, form),
        "Fulfillment Status": where(pl.col("sent_second").is_not_null(), "fulfilled", "unfulfilled"),
        "Fulfilled at": time("sent_second", _MARKET, form), "Accepts Marketing": "no", "Currency": "EUR",
        "Subtotal": amount(pl.col("subtotal") - pl.col("discount"), _MARKET), "Shipping": amount("postage", _MARKET),
        "Taxes": "0.00", "Total": amount("total", _MARKET), "Discount Code": where(pl.col("discount") > 0, "WELCOME"),
        "Discount Amount": amount("discount", _MARKET), "Shipping Method": "Standard",
        "Notes": pl.col("buyer_note"), "Note Attributes": where(
            pl.col("number") % 4 == 0, "Engraving text: Anna & Tom\r\nFont: Script"
        ),
        "Cancelled at": where("cancelled", time("cancelled_second", _MARKET, form)),
        "Payment Method": "Cash on Delivery (COD)", "Refunded Amount": amount("refunded", _MARKET),
        "Vendor": "North Stitch", "Outstanding Balance": "0.00", "Id": serial_id(3_700_000_000_000),
        "Risk Level": "Low", "Source": where(pl.col("number") % 8 == 0, "5690175", "web"), "Phone": _PHONE,
        **{f"{kind} {part}": cell for kind in ("Billing", "Shipping") for part, cell in _ADDRESS.items()},
    }  # fmt: skip
    name = pl.col("name") + (" - " + option_values(" / ")).fill_null("")
    of_line: dict[str, Cell] = {
        "Name": _ID, "Email": _EMAIL, "Created at": created, "Lineitem quantity": number("quantity"),
        "Lineitem name": name, "Lineitem price": amount("cents", _MARKET), "Lineitem sku": pl.col("sku"),
        "Lineitem requires shipping": "true", "Lineitem taxable": "true", "Lineitem fulfillment status": "pending",
        "Lineitem discount": "0.00",
    }  # fmt: skip
    return {header: first_row(cell) for header, cell in of_order.items()} | of_line


SHOPIFY: Final = Layout(
    platform="shopify",
    variant="79",
    evidence="R",
    file_name="orders_export.csv",
    headers=HEADERS,
    cells=_cells(_TIME),
    trade=Trade(name="shopify", market=_MARKET, statuses=STATUSES),
    facts=Facts(
        order_id=_ID,
        customer=pl.coalesce(_EMAIL, _PHONE, "full_name"),
        amount=pl.col("total"),
        refunded=pl.col("refunded"),
        status=where("cancelled", "cancelled", pl.col("status")),
        buyer_note=pl.col("buyer_note"),
        item={
            "name": pl.col("name"),
            "variant": option_values(" / "),
            "sku": pl.col("sku"),
            "quantity": pl.col("quantity"),
            "unit_price": pl.col("cents"),
        },
    ),
    rows=by_line,
    errors={"BAD_AMOUNT": {"Total": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Created at": BAD_TIMESTAMP}},
)
LAYOUTS: Final = (
    SHOPIFY,
    SHOPIFY.but(variant="75", headers=HEADERS_75, form=FileForm(newline="\r\n")),
    SHOPIFY.but(variant="excel", cells=_cells("%d/%m/%Y %I:%M:%S %p"), form=FileForm(newline="\r\n"), evidence="P"),
)
