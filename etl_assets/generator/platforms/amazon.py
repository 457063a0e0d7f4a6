"""Layouts of Amazon: All Orders and Orders reports, tab-delimited, a row per order item, keys in English everywhere.

Evidence [P] and one sample [R]. ``item-price`` is the total of the line [G]; it is empty for orders that are pending or
cancelled.
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
    headers_of,
    number,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH, GERMAN, JAPANESE

HEADERS_29: Final = headers_of(
    "amazon-order-id, merchant-order-id, purchase-date, last-updated-date, order-status, fulfillment-channel, "
    "sales-channel, order-channel, url, ship-service-level, product-name, sku, asin, item-status, quantity, currency, "
    "item-price, item-tax, shipping-price, shipping-tax, gift-wrap-price, gift-wrap-tax, item-promotion-discount, "
    "ship-promotion-discount, ship-city, ship-state, ship-postal-code, ship-country, promotion-ids"
)
_BUSINESS: Final = headers_of("is-business-order, purchase-order-number, price-designation")
HEADERS_32: Final = (*HEADERS_29, *_BUSINESS)
_PLACE: Final = ("address-1", "address-2", "address-3", "city", "state", "country", "postal-code")
HEADERS_60: Final = (
    *HEADERS_29[:13], "number-of-items", "item-status", "tax-collection-model", "tax-collection-responsible-party",
    *HEADERS_29[14:24], "address-type", *HEADERS_29[24:], "payment-method-details", "cpf", "item-extensions-data",
    *_BUSINESS, "customized-url", "customized-page", "is-replacement-order", "is-exchange-order", "original-order-id",
    "is-transparency", *(f"default-ship-from-{part}" for part in _PLACE),
    *(f"actual-ship-from-{part}" for part in _PLACE), "signature-confirmation-recommended",
)  # fmt: skip
"""More than 60 columns; the parts of the two addresses are general knowledge [G]."""
INDIAN_HEADERS: Final = (
    *HEADERS_32, *headers_of(
        "fulfilled-by, buyer-company-name, buyer-cst-number, buyer-vat-number, is-heavy-or-bulky, "
        "vat-exclusive-item-price, vat-exclusive-shipping-price, vat-exclusive-giftwrap-price, is-iba, "
        "store-chain-store-id, serial-numbers, amazon-programs"
    ),
)  # fmt: skip
ORDER_HEADERS: Final = headers_of(
    "order-id, order-item-id, purchase-date, payments-date, buyer-email, buyer-name, buyer-phone-number, sku, "
    "product-name, quantity-purchased, currency, item-price, item-tax, shipping-price, shipping-tax, "
    "ship-service-level, recipient-name, ship-address-1, ship-address-2, ship-address-3, ship-city, ship-state, "
    "ship-postal-code, ship-country, ship-phone-number, delivery-start-date, delivery-end-date, delivery-time-zone, "
    "delivery-Instructions, sales-channel, is-business-order, purchase-order-number, price-designation, is-sold-by-ab"
)
NEWER_ORDER_HEADERS: Final = (
    *ORDER_HEADERS[:4], *headers_of("reporting-date, promise-date, days-past-promise"), *ORDER_HEADERS[4:10],
    *headers_of("quantity-shipped, quantity-to-ship"), *ORDER_HEADERS[10:], *headers_of(
        "gift-wrap-type, gift-message-text, customized-url, customized-page, is-prime, "
        "is-buyer-requested-cancellation, buyer-requested-cancel-reason, ioss-number"
    ),
)  # fmt: skip
"""The further names are of a reader [P], their places general knowledge [G]."""
STATUSES: Final = (
    Status("Pending", "unpaid"),
    Status("Unshipped", "paid", weight=2),
    Status("Shipping", "shipped"),  # [G]
    Status("Shipped", "done", weight=14),
    Status("Shipped - Returned to Seller", "returned"),  # [G]
    Status("Cancelled", "closed", cancelled=True, weight=2),
)
INDIAN_STATUSES: Final = (
    *STATUSES,
    Status("Shipped - Delivered to Buyer", "done", weight=9),
    Status("Pending - Waiting for Pick Up", "paid"),  # [G]
)
UNSHIPPED: Final = (Status(None, "paid", weight=12), Status(None, "dropped", cancelled=True))
_ISO, _ISO_SHORT = "%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M:%S%z"
_ID: Final = (
    pl.lit("1") + (pl.col("number") % 97 + 10).cast(pl.String) + "-"
    + (pl.col("number") * 7_919 % 10_000_000).cast(pl.String).str.zfill(7) + "-"
    + (pl.col("number") + 1_000_000).cast(pl.String)
)  # fmt: skip
_HAS_PRICE: Final = ~pl.col("state").is_in(("unpaid", "closed"))
_DISCOUNT: Final = pl.col("line_discount")
_GIFT: Final = pl.when((pl.col("number") % 6 == 0) & (pl.col("line") == 0)).then(399).otherwise(0)
_TOTAL: Final = pl.col("total") + pl.when(pl.col("number") % 6 == 0).then(399).otherwise(0)


def _price(name: str | pl.Expr, market: Market) -> pl.Expr:
    return where(_HAS_PRICE, amount(name, market))


def _all_orders(market: Market) -> dict[str, Cell]:
    return {
        "amazon-order-id": _ID, "purchase-date": time("second", market, _ISO),
        "last-updated-date": time("second", market, _ISO), "order-status": pl.col("status"),
        "fulfillment-channel": where(pl.col("buyer") % 3 == 0, "Amazon", "Merchant"), "sales-channel": "Amazon.com",
        "ship-service-level": "Standard", "product-name": pl.col("name").str.replace_all("\n", " "),
        "sku": pl.col("sku"), "asin": "B0" + serial_id(10_000_000, 7, "line_number").str.tail(8),
        "item-status": where("cancelled", "Cancelled", where(_HAS_PRICE, "Shipped", "Unshipped")),
        "quantity": number("quantity"), "currency": where(_HAS_PRICE, market.currency),
        "item-price": _price("line_cents", market), "item-tax": _price(pl.lit(0), market),
        "shipping-price": _price("line_postage", market), "shipping-tax": _price(pl.lit(0), market),
        "gift-wrap-price": where(_GIFT > 0, _price(_GIFT, market)),
        "item-promotion-discount": where(_DISCOUNT > 0, _price(_DISCOUNT, market)),
        "ship-city": pl.col("city"), "ship-state": pl.col("state_code"), "ship-postal-code": pl.col("zip"),
        "ship-country": pl.col("country"), "is-business-order": "false", "number-of-items": number("kinds"),
        "tax-collection-model": "MarketplaceFacilitator", "tax-collection-responsible-party": "Amazon Services, Inc.",
        "customized-url": where(
            pl.col("personalisation").is_not_null(),
            "https://zme-caps.example.com/t/" + serial_id(1_000_000, 1, "line_number"),
        ),
        "is-replacement-order": "false", "is-exchange-order": "false", "is-transparency": "false",
    }  # fmt: skip


def _orders(market: Market) -> dict[str, Cell]:
    shared = _all_orders(market)
    same = ("purchase-date", "product-name", "sku", "item-price", "item-tax", "shipping-price", "shipping-tax",
            "ship-service-level", "ship-city", "ship-state", "ship-postal-code", "ship-country", "sales-channel",
            "customized-url", "is-business-order")  # fmt: skip
    return {header: shared[header] for header in same} | {
        "purchase-date": time("second", market, _ISO_SHORT), "order-id": _ID,
        "order-item-id": serial_id(60_000_000_000_000, 7, "line_number"),
        "payments-date": time("paid_second", market, _ISO_SHORT),
        "buyer-email": where("has_buyer", pl.lit("x") + serial_id(700, 1, "buyer") + "@marketplace.example.com"),
        "buyer-name": pl.col("full_name"), "buyer-phone-number": pl.col("phone"), "currency": market.currency,
        "quantity-purchased": number("quantity"), "recipient-name": pl.col("full_name"),
        "ship-address-1": pl.col("street").str.replace_all("\n", " "), "is-sold-by-ab": "false",
        "quantity-shipped": "0", "quantity-to-ship": number("quantity"),
        "gift-message-text": pl.col("buyer_note").str.replace_all("\n", " "),
        "is-buyer-requested-cancellation": where("cancelled", "true", "false"),
    }  # fmt: skip


def _trade(name: str, market: Market, statuses: tuple[Status, ...] = STATUSES) -> Trade:
    return Trade(name=f"amazon {name}", market=market, statuses=statuses)


_LINE: Final = {
    "name": pl.col("name").str.replace_all("\n", " "), "sku": pl.col("sku"), "quantity": pl.col("quantity"),
}  # fmt: skip
_USA: Final = Market(ENGLISH, "USD", "UTC")
_EUROPE: Final = Market(GERMAN, "EUR", "UTC")
_INDIA: Final = Market(ENGLISH, "INR", "UTC", factor=60)
_JAPAN: Final = Market(JAPANESE, "JPY", "UTC", decimals=0)
US: Final = Layout(
    platform="amazon_all_orders",
    variant="us_32",
    evidence="P",
    file_name="all_orders.txt",
    headers=HEADERS_32,
    cells=among(HEADERS_32, _all_orders(_USA)),
    trade=_trade("us", _USA),
    facts=Facts(order_id=_ID, amount=pl.when(_HAS_PRICE).then(_TOTAL), item=_LINE),
    rows=by_line,
    form=FileForm(delimiter="\t", newline="\r\n", quoting="necessary"),
    errors={"BAD_AMOUNT": {"item-price": BAD_AMOUNT}, "BAD_TIMESTAMP": {"purchase-date": BAD_TIMESTAMP}},
)
_WHOLE_JPY: Final = US.but(
    variant="jp", trade=_trade("jp", _JAPAN),
    cells=among(HEADERS_32, _all_orders(_JAPAN)) | {"ship-city": "渋谷区", "ship-state": "東京都"},
    form=FileForm(delimiter="\t", newline="\r\n", encoding="cp932"), evidence="PG",
)  # fmt: skip
ORDERS: Final = US.but(
    platform="amazon_orders", variant="us", evidence="R", file_name="orders.txt", headers=ORDER_HEADERS,
    cells=among(ORDER_HEADERS, _orders(_USA)),
    trade=_trade("us unshipped", _USA, UNSHIPPED[:1]),
    facts=Facts(
        order_id=_ID, amount=pl.col("subtotal") + pl.col("postage"), item=_LINE,
        status=where("cancelled", "Cancellation requested", "Unshipped"),
        customer=where(
            "has_buyer", pl.lit("x") + serial_id(700, 1, "buyer") + "@marketplace.example.com", pl.col("full_name")
        ),
    ),
)  # fmt: skip
"""Has no column of promotions."""
LAYOUTS: Final = (
    US,
    US.but(variant="us_29", headers=HEADERS_29),
    US.but(variant="us_60", headers=HEADERS_60, evidence="PG", cells=among(HEADERS_60, _all_orders(_USA))),
    US.but(
        variant="eu", trade=_trade("eu", _EUROPE), form=FileForm(delimiter="\t", newline="\r\n", encoding="cp1252"),
        cells=among(HEADERS_32, _all_orders(_EUROPE)), evidence="PG",
    ),
    US.but(
        variant="in", headers=INDIAN_HEADERS, trade=_trade("in", _INDIA, INDIAN_STATUSES), evidence="RP",
        cells=among(INDIAN_HEADERS, _all_orders(_INDIA)),
    ),
    _WHOLE_JPY,
    ORDERS,
    ORDERS.but(
        variant="us_newer", evidence="PG", headers=NEWER_ORDER_HEADERS,
        trade=_trade("us unshipped newer", _USA, UNSHIPPED),
        cells=among(NEWER_ORDER_HEADERS, _orders(_USA)),
        facts=Facts(**(vars(ORDERS.facts) | {"buyer_note": pl.col("buyer_note").str.replace_all("\n", " ")})),
    ),
    ORDERS.but(
        variant="eu", evidence="RG", trade=_trade("eu unshipped", _EUROPE, UNSHIPPED[:1]),
        cells=among(ORDER_HEADERS, _orders(_EUROPE)),
        form=FileForm(delimiter="\t", newline="\r\n", encoding="cp1252"),
    ),
)  # fmt: skip
