"""Layouts of Shopee: workbooks with a row per line, headers in the seller's language, amounts as text of the country.

Evidence [P]: four languages of headers; the order of the columns, and a few of them as marked, are general knowledge.
Vietnamese files were not seen: one header is known, too few for a layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP
from etl_assets.generator.platforms.layout import (
    Facts,
    FileForm,
    Layout,
    amount,
    by_line,
    number,
    option_values,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import ENGLISH, INDONESIAN, PORTUGUESE, THAI

ENGLISH_STATUSES: Final = (
    Status("Unpaid", "unpaid"),
    Status("To ship", "paid", weight=3),
    Status("Shipping", "shipped", weight=3),
    Status("Completed", "done", weight=12),
    Status("Completed", "returned", detail="Request Approved"),  # the return status is [G] in English
    Status("Cancelled", "closed", cancelled=True),
    Status("Cancelled", "dropped", cancelled=True),
)
INDONESIAN_STATUSES: Final = (
    Status("Belum Bayar", "unpaid"),
    Status("Perlu Dikirim", "paid", weight=3),
    Status("Sedang Dikirim", "shipped", weight=2),
    Status("Telah Dikirim", "shipped"),
    Status("Pesanan Diterima", "done", weight=2),
    Status("Selesai", "done", weight=10),
    Status("Selesai", "returned", detail="Permintaan Disetujui"),
    Status("Telah Dikirim", "returned", detail="Sedang Diproses"),
    Status("Telah Dikirim", "returned", detail="Menunggu Persetujuan"),
    Status("Batal", "closed", cancelled=True),
    Status("Batal", "dropped", cancelled=True),
)
PORTUGUESE_STATUSES: Final = (
    Status("Não pago", "unpaid"),
    Status("A Enviar", "paid", weight=3),
    Status("Enviado", "shipped", weight=3),
    Status("Concluído", "done", weight=12),
    Status("Devolução/Reembolso", "returned"),
    Status("Cancelado", "closed", cancelled=True),
)
THAI_STATUSES: Final = (  # [G]
    Status("ที่ต้องชำระ", "unpaid"),
    Status("ที่ต้องจัดส่ง", "paid", weight=3),
    Status("สำเร็จแล้ว", "done", weight=12),
    Status("ยกเลิกแล้ว", "closed", cancelled=True),
)


@dataclass(frozen=True)
class _Language:
    """Headers of one language, by what the column holds; the others are filled with constants or left empty."""

    headers: dict[str, str]
    others: dict[str, str]


_EN: Final = _Language(
    {
        "id": "Order ID", "status": "Order Status", "cancel": "Cancel reason", "return": "Return / Refund Status",
        "created": "Order Creation Date", "paid": "Order Paid Time", "parent": "Parent SKU Reference No.",
        "name": "Product Name", "sku": "SKU Reference No.", "variant": "Variation Name",
        "original": "Original Price", "price": "Deal Price", "quantity": "Quantity", "returned": "Returned quantity",
        "subtotal": "Product Subtotal", "discount": "Total Discount(PHP)",
        "from_seller": "Price Discount(from Seller)(PHP)", "total": "Grand Total", "user": "Username (Buyer)",
        "remark": "Remark from buyer", "note": "Note",
        "buyer_paid": "Products' Price Paid by Buyer (PHP)",
    },
    {
        "Tracking Number*": "", "Shipping Option": "Standard Local", "Estimated Ship Out Date": "", "Ship Time": "",
        "Shopee Rebate(PHP)": "0.00", "Seller Voucher(PHP)": "0.00", "Service Fee": "12.00",
        "Estimated Shipping Fee": "40.00",
    },
)  # fmt: skip
_ID: Final = _Language(
    {
        "id": "No. Pesanan", "status": "Status Pesanan", "return": "Status Pembatalan/ Pengembalian",
        "created": "Waktu Pesanan Dibuat", "parent": "SKU Induk", "name": "Nama Produk",
        "sku": "Nomor Referensi SKU", "variant": "Nama Variasi", "original": "Harga Awal",
        "price": "Harga Setelah Diskon", "quantity": "Jumlah", "total": "Total Pembayaran",
        "remark": "Catatan dari Pembeli", "user": "Username (Pembeli)",
    },
    {"No. Resi": "", "Ongkos Kirim Dibayar oleh Pembeli": "10.000"},  # these two and Harga Awal are [G]
)  # fmt: skip
_PT: Final = _Language(
    {
        "id": "ID do pedido", "status": "Status do pedido", "created": "Data de criação do pedido",
        "parent": "Nº de referência do SKU principal", "name": "Nome do Produto", "sku": "Número de referência SKU",
        "variant": "Nome da variação", "price": "Preço acordado", "quantity": "Quantidade", "total": "Valor Total",
        "user": "Nome de usuário (comprador)", "remark": "Observação do comprador",  # the last is [G]
    },
    {"Taxa de comissão": "2,00"},  # [G]
)  # fmt: skip
_TH: Final = _Language(
    {  # [P] are name, quantity and price; the others are [G]
        "id": "หมายเลขคำสั่งซื้อ", "status": "สถานะการสั่งซื้อ", "user": "ชื่อผู้ใช้ (ผู้ซื้อ)", "created": "วันที่ทำการสั่งซื้อ",
        "name": "ชื่อสินค้า", "variant": "ชื่อตัวเลือก", "price": "ราคาขาย", "quantity": "จำนวน", "total": "จำนวนเงินทั้งหมด",
    },
    {},
)  # fmt: skip
_ORDER_ID: Final = pl.concat_str(
    time("second", Market(ENGLISH, "", "UTC"), "%y%m%d"), (pl.col("number") + 36**6).cast(pl.String), pl.lit("KX")
)


def _layout(  # noqa: PLR0913  # what differs by country
    variant: str, language: _Language, market: Market, statuses: tuple[Status, ...], decimal: str, thousands: str, *,
    evidence: str = "PG", draft: bool = False, day: str = "%Y-%m-%d %H:%M", returned: str = "",
) -> Layout:  # fmt: skip
    def money(name: str | pl.Expr) -> pl.Expr:
        return amount(name, market, decimal, thousands)

    filled = {
        "id": _ORDER_ID, "status": pl.col("status"), "cancel": where("cancelled", "Buyer requested"),
        "return": pl.col("status_detail"), "created": time("second", market, day),
        "paid": time("paid_second", market, day), "parent": pl.col("sku").str.head(-3), "name": pl.col("name"),
        "sku": pl.col("sku"), "variant": option_values(","), "original": money("cents"), "price": money("cents"),
        "quantity": number("quantity"), "returned": where(pl.col("state") == "returned", number("quantity"), "0"),
        "subtotal": money("line_cents"), "discount": money("line_discount"), "from_seller": money("line_discount"),
        "total": money("total"), "user": where("has_buyer", pl.col("username")), "remark": pl.col("buyer_note"),
        "note": pl.col("seller_note"), "buyer_paid": money(pl.col("subtotal") - pl.col("discount")),
    }  # fmt: skip
    names = language.headers
    cells = {header: filled[what] for what, header in names.items()} | {
        k: pl.lit(v) for k, v in language.others.items()
    }
    item = {what: filled[what] for what in ("name", "variant", "sku") if what in names}
    return Layout(
        platform="shopee",
        variant=variant,
        read_by="shopee" if variant == "en" else f"shopee_{variant[:2]}",
        evidence=evidence,
        draft=draft,
        file_name="Order.all.20260501_20260531.xlsx",
        headers=(*names.values(), *language.others),
        cells=cells,
        trade=Trade(name=f"shopee {variant}", market=market, statuses=statuses),
        facts=Facts(
            order_id=_ORDER_ID,
            customer=where("has_buyer", pl.col("username")),
            amount=pl.col("total"),
            status=where(pl.col("status_detail").is_not_null(), returned, pl.col("status")),
            precision="1m",
            buyer_note=pl.col("buyer_note") if "remark" in names else pl.lit(None, dtype=pl.String),
            seller_note=pl.col("seller_note") if "note" in names else pl.lit(None, dtype=pl.String),
            item=item | {"quantity": pl.col("quantity"), "unit_price": pl.col("cents")},
        ),
        rows=by_line,
        form=FileForm(kind="xlsx", sheet="orders"),
        errors={"BAD_AMOUNT": {names["total"]: BAD_AMOUNT}, "BAD_TIMESTAMP": {names["created"]: BAD_TIMESTAMP}},
    )


_PESO: Final = Market(ENGLISH, "PHP", "Asia/Manila", factor=40)
_RUPIAH: Final = Market(INDONESIAN, "IDR", "Asia/Jakarta", factor=50, decimals=0)
_REAL: Final = Market(PORTUGUESE, "BRL", "America/Sao_Paulo")
_BAHT: Final = Market(THAI, "THB", "Asia/Bangkok")
LAYOUTS: Final = (
    _layout("en", _EN, _PESO, ENGLISH_STATUSES, ".", "", returned="Return/Refund"),
    _layout("id", _ID, _RUPIAH, INDONESIAN_STATUSES, ".", ".", returned="Pengembalian"),
    _layout("pt", _PT, _REAL, PORTUGUESE_STATUSES, ",", "."),
    _layout("pt_slashes", _PT, _REAL, PORTUGUESE_STATUSES, ",", ".", day="%d/%m/%Y %H:%M"),
    _layout("th", _TH, _BAHT, THAI_STATUSES, ".", ",", evidence="G", draft=True),
)
