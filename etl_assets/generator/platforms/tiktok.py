"""Layouts of TikTok Shop: a row per line, English headers in every country, values in the seller's language.

Evidence [P]: ten readers agree on the row that explains the columns, four on the headers. Columns are matched by name,
as their order varies.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP
from etl_assets.generator.platforms.layout import (
    EMPTY,
    Cells,
    Facts,
    FileForm,
    Layout,
    Row,
    among,
    amount,
    by_line,
    headers_of,
    number,
    option_values,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH, INDONESIAN, THAI

_FIRST: Final = (
    "Order ID, Order Status, Order Substatus, Cancelation/Return Type, Normal or Pre-order, SKU ID, Seller SKU, "
    "Product Name, Variation, Quantity, Sku Quantity of return, SKU Unit Original Price, "
    "SKU Subtotal Before Discount, SKU Platform Discount, SKU Seller Discount, SKU Subtotal After Discount, "
    "Shipping Fee After Discount, Original Shipping Fee, Shipping Fee Seller Discount, "
    "Shipping Fee Platform Discount"
)
_FEES: Final = (
    "Distance Shipping Fee, Distance Fee, Buyer Service Fee, Handling Fee, Shipping Insurance, Item Insurance: ID"
)
_LAST: Final = (
    "Order Amount, Order Refund Amount, Created Time, Paid Time, RTS Time, Shipped Time, Delivered Time, "
    "Cancelled Time, Cancel By, Cancel Reason, Fulfillment Type, Warehouse Name, Tracking ID, Delivery Option, "
    "Shipping Provider Name, Buyer Message, Buyer Username, Recipient, Phone #, Zipcode, Country, {state}, {city}, "
    "Districts, Villages, Detail Address, Additional address information, Payment Method, Weight(kg), "
    "Product Category, Package ID, {channel}Seller Note, Checked Status, Checked Marked by"
)
HEADERS: Final = headers_of(
    f"{_FIRST}, Payment platform discount, Taxes, Small Order Fee, "
    + _LAST.format(state="State", city="City", channel="")
)
INDONESIAN_HEADERS: Final = (
    *headers_of(f"{_FIRST}, Payment platform discount, {_FEES}"),
    *headers_of(_LAST.format(state="Province", city="Regency and City", channel="Purchase Channel, ")),
    *headers_of("Tokopedia Invoice Number, Order Channel, Creator Handle"),
)
_EXPLAINED: Final = {
    "Order ID": "Platform unique order ID.",
    "Order Status": "Current order status.",
    "Quantity": "SKU sold quantity.",
}
"""Known texts of the row under the headers; those of the other columns are general knowledge [G]."""
ENGLISH_STATUSES: Final = (  # partly general knowledge [G]
    Status("Unpaid", "unpaid"),
    Status("To ship", "paid", weight=2, detail="Awaiting Shipment"),
    Status("To ship", "paid", detail="Awaiting Collection"),
    Status("Shipped", "shipped", weight=2, detail="In Transit"),
    Status("Shipped", "shipped", detail="Delivered"),
    Status("Completed", "done", weight=12, detail="Completed"),
    Status("Completed", "returned", detail="Completed"),
    Status("Canceled", "closed", cancelled=True, detail="Canceled"),
    Status("Canceled", "dropped", cancelled=True, detail="Canceled"),
)
INDONESIAN_STATUSES: Final = (
    Status("Belum dibayar", "unpaid"),
    Status("Perlu dikirim", "paid", weight=2, detail="Menunggu pengiriman"),
    Status("Perlu dikirim", "paid", detail="Menunggu pengambilan"),
    Status("Dikirim", "shipped", weight=3, detail="Dalam perjalanan"),
    Status("Selesai", "done", weight=12, detail="Selesai"),
    Status("Selesai", "returned", detail="Selesai"),
    Status("Dibatalkan", "closed", cancelled=True, detail="Dibatalkan"),
    Status("Dibatalkan", "dropped", cancelled=True, detail="Dibatalkan"),
)
THAI_STATUSES: Final = (*ENGLISH_STATUSES[:6], Status("ยกเลิกแล้ว", "closed", cancelled=True))  # the last is [G]
_DAY_FIRST, _MONTH_FIRST = "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"
_ID: Final = serial_id(576_000_000_000_000_000, 7_919_000_007)
_TAB: Final = "\t"
_BACK: Final = pl.col("state") == "returned"


def _explanation(headers: Row) -> Row:
    return tuple(_EXPLAINED.get(header, f"{header}.") for header in headers)


def _layout(  # noqa: PLR0913  # what differs by country
    variant: str, headers: Row, market: Market, statuses: tuple[Status, ...], form: str, file: FileForm, *,
    evidence: str = "P", thousands: str = "", sign: str = "", shows_buyer: bool = True,
) -> Layout:  # fmt: skip
    def money(name: str | pl.Expr) -> pl.Expr:
        return pl.lit(sign) + amount(name, market, thousands=thousands)

    def at(name: str) -> pl.Expr:
        return time(name, market, form).fill_null("") + _TAB

    buyer = where("has_buyer", pl.col("username")) if shows_buyer else EMPTY
    cells: Cells = {
        "Order ID": _ID + _TAB, "Order Status": pl.col("status"), "Order Substatus": pl.col("status_detail"),
        "Cancelation/Return Type": where("cancelled", "Cancel", where(_BACK, "Return/Refund")),
        "Normal or Pre-order": "Normal", "SKU ID": serial_id(1_729_000_000_000_000_000, 7, "line_number") + _TAB,
        "Seller SKU": pl.col("sku"), "Product Name": pl.col("name"), "Variation": option_values(", "),
        "Quantity": number("quantity"), "Sku Quantity of return": where(_BACK, number("quantity"), "0"),
        "SKU Unit Original Price": money("cents"), "SKU Subtotal Before Discount": money("line_cents"),
        "SKU Platform Discount": money(pl.lit(0)), "SKU Seller Discount": money("line_discount"),
        "SKU Subtotal After Discount": money("line_paid"), "Shipping Fee After Discount": money("postage"),
        "Original Shipping Fee": money("postage"), "Shipping Fee Seller Discount": money(pl.lit(0)),
        "Shipping Fee Platform Discount": money(pl.lit(0)), "Payment platform discount": money(pl.lit(0)),
        "Taxes": money(pl.lit(0)), "Order Amount": money("total"), "Order Refund Amount": money("refunded"),
        "Created Time": at("second"), "Paid Time": at("paid_second"), "RTS Time": at("sent_second"),
        "Shipped Time": at("sent_second"), "Delivered Time": at("done_second"),
        "Cancelled Time": at("cancelled_second"),
        "Cancel By": where("cancelled", "User"), "Cancel Reason": where("cancelled", "No longer needed"),
        "Fulfillment Type": "Fulfillment by seller", "Buyer Message": pl.col("buyer_note"), "Buyer Username": buyer,
        "Recipient": pl.col("first_name").str.head(1) + "***", "Phone #": "(+1)0812****01",
        "Zipcode": pl.col("zip") + _TAB, "Country": pl.col("country_name"), "Payment Method": "Wallet",
        "Weight(kg)": "0.3", "Package ID": serial_id(1_150_000_000_000_000_000, 7) + _TAB,
        "Purchase Channel": where(pl.col("number") % 4 == 0, "Tokopedia", "TikTok Shop"),
        "Seller Note": pl.col("seller_note"), "Checked Status": "Unchecked",
    }  # fmt: skip
    return Layout(
        platform="tiktok",
        variant=variant,
        read_by="tiktok_id" if market.currency == "IDR" else None,
        evidence=evidence,
        file_name="All order-2026-05-13-11_01." + file.kind,
        headers=headers,
        cells=among(headers, cells),
        trade=Trade(name=f"tiktok {variant[:2]}", market=market, statuses=statuses),
        facts=Facts(
            order_id=_ID, customer=buyer, amount=pl.col("total"), refunded=pl.col("refunded"),
            status=where("cancelled", "Canceled", pl.col("status")),
            buyer_note=pl.col("buyer_note"), seller_note=pl.col("seller_note"),
            item={
                "name": pl.col("name"), "variant": option_values(", "), "sku": pl.col("sku"),
                "quantity": pl.col("quantity"), "unit_price": pl.col("cents"),
            },
        ),
        rows=by_line,
        form=file,
        errors={"BAD_AMOUNT": {"Order Amount": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Created Time": BAD_TIMESTAMP}},
    )  # fmt: skip


_RUPIAH: Final = Market(INDONESIAN, "IDR", "Asia/Jakarta", factor=50, decimals=0)
_BAHT: Final = Market(THAI, "THB", "Asia/Bangkok")
_PESO: Final = Market(ENGLISH, "PHP", "Asia/Manila", factor=40)
_DOLLAR: Final = Market(ENGLISH, "USD", "America/New_York")


def _csv(headers: Row) -> FileForm:
    return FileForm(bom=True, newline="\r\n", below=(_explanation(headers),))


def _xlsx(headers: Row) -> FileForm:
    return FileForm(kind="xlsx", sheet="OrderSKUList", below=(_explanation(headers),))


LAYOUTS: Final = (
    _layout("id", INDONESIAN_HEADERS, _RUPIAH, INDONESIAN_STATUSES, _DAY_FIRST, _csv(INDONESIAN_HEADERS)),
    _layout(
        "id_xlsx", INDONESIAN_HEADERS, _RUPIAH, INDONESIAN_STATUSES, _DAY_FIRST, _xlsx(INDONESIAN_HEADERS),
        thousands=".", sign="IDR ", evidence="PG",
    ),
    _layout("th", HEADERS, _BAHT, THAI_STATUSES, _DAY_FIRST, _csv(HEADERS), evidence="PG"),
    _layout("ph", HEADERS, _PESO, ENGLISH_STATUSES, _MONTH_FIRST, _csv(HEADERS)),
    _layout(
        "us", HEADERS, _DOLLAR, ENGLISH_STATUSES, _MONTH_FIRST, _csv(HEADERS), evidence="PG", shows_buyer=False
    ),
)  # fmt: skip
