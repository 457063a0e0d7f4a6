"""Layouts of eBay's orders report: a row per order, below it a row per item where there are several; a footer.

Evidence [P], several, and the US header in a README; fee columns of the US header are not known and left out. No
status, refund or fee: cancelled orders are not listed.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP
from etl_assets.generator.platforms.layout import (
    EMPTY,
    LINE,
    Cell,
    Facts,
    FileForm,
    Layout,
    Row,
    amount,
    by_line_below_summary,
    headers_of,
    month_names,
    number,
    option_values,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH, GERMAN

US_HEADERS: Final = headers_of(
    "Sales Record Number, Order Number, Buyer Username, Buyer Name, Buyer Email, Buyer Note, Buyer Address 1, "
    "Buyer Address 2, Buyer City, Buyer State, Buyer Zip, Buyer Country, Buyer Tax Identifier Name, "
    "Buyer Tax Identifier Value, Ship To Name, Ship To Phone, Ship To Address 1, Ship To Address 2, Ship To City, "
    "Ship To State, Ship To Zip, Ship To Country, Item Number, Item Title, Custom Label, Sold Via Promoted Listings, "
    "Quantity, Sold For, Shipping And Handling, Item Location, Item Zip Code, Item Country, "
    "eBay Collect And Remit Tax Rate, eBay Collect And Remit Tax Type, eBay Reference Name, eBay Reference Value, "
    "Tax Status, Seller Collected Tax, eBay Collected Tax, eBay Collected Charges, Total Price, "
    "eBay Collected Tax and Fees Included in Total, Payment Method, Sale Date, Paid On Date, Ship By Date, "
    "Minimum Estimated Delivery Date, Maximum Estimated Delivery Date, Shipped On Date, Feedback Left, "
    "Feedback Received, My Item Note, PayPal Transaction ID, Shipping Service, Tracking Number, Transaction ID, "
    "Variation Details, Global Shipping Program"
)
UK_HEADERS: Final = headers_of(
    "Sales record number, Order number, Buyer username, Buyer name, Buyer email, Buyer note, Post to name, "
    "Post to phone, Post to address 1, Post to address 2, Post to city, Post to county, Post to postcode, "
    "Post to country, Item number, Item title, Custom label, Sold via Promoted listings, Quantity, Sold for, "
    "Postage and packaging, Total price, Payment method, Sale date, Paid on date, Dispatched on date, My item note, "
    "Variation details"
)
"""Sentence case and "Post to" are of a reader of real files [P]; those after the address follow the US ones [G]."""
DE_HEADERS: Final = headers_of(
    "Verkaufsprotokollnummer; Bestellnummer; Nutzername des Käufers; Name des Käufers; Artikelnummer; Angebotstitel; "
    "Bestandseinheit; Verkauft über Anzeigen; Anzahl; Verkauft für; Verpackung und Versand; "
    "Inklusive MwSt.-Satz; Gesamtbetrag; Verkauft am; Zahlungsdatum; Verschickt am - Datum",
    ";",
)
_MONTHS: Final = {"Mar": "Mär", "May": "Mai", "Oct": "Okt", "Dec": "Dez"}
_STATUSES: Final = (Status(None, "done", weight=8), Status(None, "paid", weight=2), Status(None, "unpaid"))
_NUMBER: Final = serial_id(10_001)
_ORDER: Final = (
    (pl.col("number") % 29 + 1).cast(pl.String).str.zfill(2) + "-" + serial_id(10_000, 1) + "-"
    + (pl.col("number") * 7_919 % 100_000).cast(pl.String).str.zfill(5)
)  # fmt: skip
_IS_SUMMARY: Final = pl.col("is_summary")
_HAS_ITEM: Final = pl.col(LINE).is_not_null()
_ITEM: Final = {
    "name": pl.col("name"),
    "sku": pl.col("sku"),
    "quantity": pl.col("quantity"),
    "unit_price": pl.col("cents"),
}
_UNIT: Final = where(_HAS_ITEM, pl.col("cents"), pl.col("subtotal"))


def _money(name: str | pl.Expr, market: Market, sign: str) -> pl.Expr:
    if market.currency == "EUR":
        return amount(name, market, ",", ".") + " €"
    return pl.lit(sign) + amount(name, market, ".", ",")


def _cells(market: Market, sign: str, form: str) -> dict[str, Cell]:
    """Return the columns of the US report; the notes and sums of the order stand on its first row."""

    def summed(name: str) -> pl.Expr:
        return where(_IS_SUMMARY, _money(name, market, sign))

    return {
        "Sales Record Number": _NUMBER, "Order Number": where(pl.col("number") % 9 > 0, _ORDER),
        "Buyer Username": where("has_buyer", pl.col("username")), "Buyer Name": where(_IS_SUMMARY, pl.col("full_name")),
        "Buyer Email": where(_IS_SUMMARY, pl.col("email")), "Buyer Note": where(_IS_SUMMARY, pl.col("buyer_note")),
        "Buyer Address 1": where(_IS_SUMMARY, pl.col("street")), "Buyer City": where(_IS_SUMMARY, pl.col("city")),
        "Buyer Zip": where(_IS_SUMMARY, pl.col("zip")), "Buyer Country": where(_IS_SUMMARY, pl.col("country_name")),
        "Ship To Name": where(_IS_SUMMARY, pl.col("full_name")), "Ship To City": where(_IS_SUMMARY, pl.col("city")),
        "Ship To Zip": where(_IS_SUMMARY, pl.col("zip")),
        "Item Number": where(_HAS_ITEM, serial_id(330_000_000_000, 1, "line_number")), "Item Title": pl.col("name"),
        "Custom Label": pl.col("sku"), "Sold Via Promoted Listings": where(_HAS_ITEM, "No"),
        "Quantity": where(_HAS_ITEM, number("quantity"), number("pieces")),
        "Sold For": _money(_UNIT, market, sign), "Shipping And Handling": summed("postage"),
        "Seller Collected Tax": summed("tax"), "eBay Collected Tax": summed("tax"), "Total Price": summed("total"),
        "Payment Method": where(_IS_SUMMARY, "Managed payments"), "Sale Date": time("second", market, form),
        "Paid On Date": time("paid_second", market, form), "Shipped On Date": time("sent_second", market, form),
        "My Item Note": where(_IS_SUMMARY, pl.col("seller_note")), "Variation Details": option_values(", "),
        "Global Shipping Program": where(_IS_SUMMARY, "No"),
    }  # fmt: skip


def _footer(orders: int) -> tuple[Row, ...]:
    return (), (f"{orders}", "record(s) downloaded", "from Jan-01-24 00:00:00 to Jun-30-25 23:59:59"), (
        "Seller ID : kiln_works",
    )  # fmt: skip


def _form(headers: Row, **changes: object) -> FileForm:
    blank = ("",) * len(headers)
    return FileForm(above=(blank,), below=(blank,), footer=_footer, newline="\r\n", **changes)  # type: ignore[arg-type]


def _trade(name: str, market: Market) -> Trade:
    return Trade(name=f"ebay {name}", market=market, statuses=_STATUSES)


_USA: Final = Market(ENGLISH, "USD", "America/Los_Angeles")
_BRITAIN: Final = Market(ENGLISH, "GBP", "Europe/London")
_GERMANY: Final = Market(GERMAN, "EUR", "Europe/Berlin")
_TO_UK: Final = {
    "Ship To Name": "Post to name", "Ship To City": "Post to city", "Ship To Zip": "Post to postcode",
    "Shipping And Handling": "Postage and packaging", "Shipped On Date": "Dispatched on date",
    "Sold Via Promoted Listings": "Sold via Promoted listings",
}  # fmt: skip
_TO_DE: Final = {
    "Sales Record Number": "Verkaufsprotokollnummer", "Order Number": "Bestellnummer",
    "Buyer Username": "Nutzername des Käufers", "Buyer Name": "Name des Käufers", "Item Number": "Artikelnummer",
    "Item Title": "Angebotstitel", "Custom Label": "Bestandseinheit", "Quantity": "Anzahl", "Sold For": "Verkauft für",
    "Shipping And Handling": "Verpackung und Versand", "Total Price": "Gesamtbetrag", "Sale Date": "Verkauft am",
    "Paid On Date": "Zahlungsdatum", "Shipped On Date": "Verschickt am - Datum",
}  # fmt: skip
US: Final = Layout(
    platform="ebay",
    variant="us",
    evidence="P",
    file_name="eBay-OrdersReport-Jul-25-2026-11_01_00-0700.csv",
    headers=US_HEADERS,
    cells=_cells(_USA, "$", "%b-%d-%y"),
    trade=_trade("us", _USA),
    facts=Facts(
        order_id=where(pl.col("number") % 9 > 0, _ORDER, _NUMBER),
        customer=where("has_buyer", pl.col("username")),
        amount=pl.col("total"),
        status=where(
            pl.col("sent_second").is_not_null(),
            "shipped",
            where(pl.col("paid_second").is_not_null(), "paid", "unpaid"),
        ),
        precision="1d",
        buyer_note=pl.col("buyer_note"),
        seller_note=pl.col("seller_note"),
        item=_ITEM | {"variant": option_values(", ")},
    ),
    rows=by_line_below_summary,
    form=_form(US_HEADERS, bom=True),
    errors={"BAD_AMOUNT": {"Total Price": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Sale Date": BAD_TIMESTAMP}},
)


def _british() -> Layout:
    cells = _cells(_BRITAIN, "£", "%d-%b-%y")
    named = {_TO_UK.get(header, header.capitalize()): cell for header, cell in cells.items()}
    return US.but(
        variant="uk", evidence="PG", headers=UK_HEADERS, form=_form(UK_HEADERS), trade=_trade("uk", _BRITAIN),
        cells={header: cell for header, cell in named.items() if header in UK_HEADERS},
        errors={"BAD_AMOUNT": {"Total price": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Sale date": BAD_TIMESTAMP}},
    )  # fmt: skip


def _german() -> Layout:
    cells = _cells(_GERMANY, "", "%d-%b-%y")
    named: dict[str, Cell] = {header: cells[us] for us, header in _TO_DE.items()} | {
        "Verkauft über Anzeigen": "Nein", "Inklusive MwSt.-Satz": where(_IS_SUMMARY, "19%"),
        "Bestellnummer": _ORDER,
    }  # fmt: skip
    days = ("Verkauft am", "Zahlungsdatum", "Verschickt am - Datum")
    named |= {header: month_names(pl.lit("") + named[header], _MONTHS) for header in days}
    filled = {header: pl.coalesce(pl.lit("") + cell, pl.lit("--")) for header, cell in named.items()}
    return US.but(
        variant="de", read_by="ebay_de", headers=DE_HEADERS, cells=filled, trade=_trade("de", _GERMANY),
        form=_form(DE_HEADERS, delimiter=";", bom=True),
        facts=Facts(**(vars(US.facts) | {
            "order_id": _ORDER, "item": _ITEM, "buyer_note": EMPTY, "seller_note": EMPTY,
        })),
        errors={"BAD_AMOUNT": {"Gesamtbetrag": BAD_AMOUNT}, "BAD_TIMESTAMP": {"Verkauft am": BAD_TIMESTAMP}},
    )  # fmt: skip


LAYOUTS: Final = (US, _british(), _german())
