"""Layouts of Lazada: workbooks with a row per piece, camelCase English headers in all countries.

Evidence [P]: an audit of 24 real files.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP
from etl_assets.generator.platforms.layout import (
    Cells,
    Facts,
    FileForm,
    Layout,
    amount,
    by_unit,
    headers_of,
    options,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import REFUNDED_STATES, Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH

HEADERS: Final = headers_of(
    "orderItemId, orderType, Guarantee, deliveryType, lazadaId, sellerSku, lazadaSku, wareHouse, createTime, "
    "updateTime, rtsSla, ttsSla, orderNumber, invoiceRequired, invoiceNumber, deliveredDate, customerName, "
    "customerEmail, nationalRegistrationNumber, shippingName, shippingAddress, shippingAddress2, shippingAddress3, "
    "shippingAddress4, shippingAddress5, shippingPhone, shippingPhone2, shippingCity, shippingPostCode, "
    "shippingCountry, shippingRegion, billingName, billingAddr, billingAddr2, billingAddr3, billingAddr4, "
    "billingAddr5, billingPhone, billingPhone2, billingCity, billingPostCode, billingCountry, taxCode, branchNumber, "
    "taxInvoiceRequested, payMethod, paidPrice, unitPrice, sellerDiscountTotal, shippingFee, walletCredit, itemName, "
    "variation, cdShippingProvider, shippingProvider, shipmentTypeName, shippingProviderType, cdTrackingCode, "
    "trackingCode, trackingUrl, shippingProviderFM, trackingCodeFM, trackingUrlFM, promisedShippingTime, premium, "
    "status, buyerFailedDeliveryReturnInitiator, buyerFailedDeliveryReason, buyerFailedDeliveryDetail, "
    "buyerFailedDeliveryUserName, bundleId, semiManaged, flexibleDeliveryTime, bundleDiscount, refundAmount, "
    "sellerNote, platformDiscountTotal"
)
STATUSES: Final = (  # all texts but canceled are general knowledge [G]
    Status("unpaid", "unpaid"),
    Status("pending", "paid"),
    Status("packed", "paid"),
    Status("ready_to_ship", "paid"),
    Status("shipped", "shipped", weight=2),
    Status("delivered", "done", weight=4),
    Status("confirmed", "done", weight=8),
    Status("canceled", "closed", cancelled=True),
    Status("canceled", "dropped", cancelled=True),
    Status("returned", "returned"),
    Status("failed", "returned"),
    Status("lost", "returned"),
)
_MARKET: Final = Market(ENGLISH, "MYR", "Asia/Kuala_Lumpur", factor=4)
_TRADE: Final = Trade(name="lazada", market=_MARKET, statuses=STATUSES, most=(1, 2, 5))
_ID: Final = serial_id(480_000_000_000_000, 7_919_007)
_TIME: Final = "%d %b %Y %H:%M"
_UNIT_DISCOUNT: Final = pl.col("line_discount") // pl.col("quantity")
_FEE: Final = pl.when(pl.col("unit") == 0).then("line_postage").otherwise(0)
_BACK: Final = pl.col("state").is_in(REFUNDED_STATES)
_CELLS: Final[Cells] = {
    "orderItemId": serial_id(480_000_000_000_000, 1, "unit_number"), "orderType": "Normal", "deliveryType": "Dropship",
    "lazadaId": serial_id(30_000_000_000), "sellerSku": pl.col("sku"), "lazadaSku": pl.col("sku") + "_MY-1",
    "wareHouse": "dropshipping", "createTime": time("second", _MARKET, _TIME),
    "updateTime": pl.coalesce(
        time(f"{stage}_second", _MARKET, _TIME) for stage in ("cancelled", "done", "sent", "paid")
    ).fill_null(time("second", _MARKET, _TIME)),
    "orderNumber": _ID, "invoiceRequired": "No", "deliveredDate": time("done_second", _MARKET, _TIME),
    "customerName": pl.col("full_name"), "customerEmail": where("has_buyer", pl.col("email")),
    "shippingName": pl.col("full_name"), "shippingAddress": pl.col("street"), "shippingCity": pl.col("city"),
    "shippingPostCode": pl.col("zip"), "shippingCountry": "Malaysia", "taxInvoiceRequested": "No",
    "payMethod": "MIXEDCARD", "paidPrice": amount(pl.col("cents") - _UNIT_DISCOUNT, _MARKET),
    "unitPrice": amount("cents", _MARKET), "sellerDiscountTotal": amount(-_UNIT_DISCOUNT, _MARKET),
    "shippingFee": amount(_FEE, _MARKET), "walletCredit": "0.00", "itemName": pl.col("name"),
    "variation": options(":", ", "), "shippingProvider": "LEX MY", "status": pl.col("status"), "bundleDiscount": "0.00",
    "refundAmount": where(_BACK, amount(pl.col("cents") - _UNIT_DISCOUNT + _FEE, _MARKET)),
    "sellerNote": pl.col("seller_note"), "platformDiscountTotal": "0.00",
}  # fmt: skip
NEWER: Final = Layout(
    platform="lazada",
    variant="2026",
    evidence="P",
    file_name="all_orders.xlsx",
    headers=HEADERS,
    cells=_CELLS,
    trade=_TRADE,
    facts=Facts(
        order_id=_ID,
        customer=where("has_buyer", pl.col("email"), pl.col("full_name")),
        amount=pl.col("total"),
        refunded=pl.when(_BACK).then("total"),
        precision="1m",
        seller_note=pl.col("seller_note"),
        lines=by_unit,
        item={  # each piece is a line of its own
            "name": pl.col("name"),
            "variant": options(":", ", "),
            "sku": pl.col("sku"),
            "quantity": pl.lit(1, dtype=pl.Int64),
            "unit_price": pl.col("cents"),
        },
    ),
    rows=by_unit,
    form=FileForm(kind="xlsx", sheet="sheet1"),
    errors={"BAD_AMOUNT": {"paidPrice": BAD_AMOUNT}, "BAD_TIMESTAMP": {"createTime": BAD_TIMESTAMP}},
)
LAYOUTS: Final = (NEWER, NEWER.but(variant="2025", headers=HEADERS[:-1]))
