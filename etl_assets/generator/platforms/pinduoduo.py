"""Layouts of Pinduoduo (拼多多): a row per order, each of one kind of goods; the seller chooses the columns.

Evidence [P]: import classes and readers of real files, with the full list of headers.
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
    by_order,
    headers_of,
    number,
    option_values,
    renamed,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Drawn, Market, Status, Trade
from etl_assets.generator.platforms.products import CHINESE

HEADERS: Final = headers_of(
    "商品, 订单号, 订单状态, 商品总价(元), 邮费(元), 店铺优惠折扣(元), 平台优惠折扣(元), 多多支付立减金额(元), "
    "上门安装费(元), 送货入户费(元), 送货入户并安装费(元), 用户实付金额(元), "
    "商家实收金额(元), 商品数量(件), 是否审核中, "
    "支付时间, 承诺发货时间, 承诺送达时间, 发货时间, 确认收货时间, "
    "商品id, 商品规格, 样式ID, 商品一级类目, 商品二级类目, "
    "商品三级类目, 商品四级类目, 商家编码-规格维度, 商家编码-商品维度, 商家备注, 买家留言, 售后状态, 消费者资料, "
    "订单成交时间, 消费者资料上传时间, 团ID, 团身份, 快递单号, 快递公司, 省, 市, 区, 街道/镇, 是否抽奖或0元试用, "
    "是否门店自提, 门店名称, 支付ID, 支付方式, 订单来源"
)
"""The list of the evidence without its gap (columns of free gifts)."""
CHOSEN_HEADERS: Final = (
    "商品名称", "订单号", "订单状态", "商家实收金额(元)",
    "商品数量(件)", "商品规格", "商家编码-规格维度", "订单成交时间",
    "买家留言",
)  # fmt: skip
"""A seller's own choice of columns."""
STATUSES: Final = (
    Status("待支付", "unpaid"),  # [G]
    Status("待发货", "paid", weight=3, detail="无售后或售后取消"),
    Status("已发货，待收货", "shipped", weight=3, detail="无售后或售后取消"),
    Status("已发货，待签收", "shipped", detail="售后处理中"),
    Status("已收货", "done", weight=12, detail="无售后或售后取消"),
    Status("已签收", "done", detail="无售后或售后取消"),
    Status("未发货，退款成功", "dropped", cancelled=True, detail="退款成功"),
    Status("已发货，退款成功", "returned", detail="退款成功"),
    Status("已收货，退款成功", "returned", detail="退款成功"),
    Status("已取消", "closed", cancelled=True),
)
_MARKET: Final = Market(CHINESE, "CNY", "Asia/Shanghai")
_TRADE: Final = Trade(name="pinduoduo", market=_MARKET, statuses=STATUSES, kinds=(1.0,), most=(1, 3, 200))
_ID: Final = time("second", _MARKET, "%y%m%d") + "-" + serial_id(200_000_000_000_000, 7_919)
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_IS_EMPTY: Final = pl.col("is_paid") & (pl.col("number") % 7 == 3)  # noqa: PLR2004
"""Orders whose time of closing is empty, as in real files: that of the payment counts."""
_COUPON: Final = pl.when(pl.col("number") % 3 == 0).then(100).otherwise(0)
"""Discount that the platform pays: the seller gets it, the buyer does not pay it."""


def _by_order(drawn: Drawn) -> pl.DataFrame:
    """Return a row per order, with its only line."""
    goods = drawn.lines.select(pl.exclude("line", "order"))
    return pl.concat([by_order(drawn), goods], how="horizontal")


_CELLS: Final[Cells] = {
    "商品": pl.col("name"), "订单号": _ID, "订单状态": pl.col("status"), "商品总价(元)": amount("subtotal", _MARKET),
    "邮费(元)": amount("postage", _MARKET), "店铺优惠折扣(元)": amount("discount", _MARKET),
    "平台优惠折扣(元)": amount(_COUPON, _MARKET), "多多支付立减金额(元)": "0.00", "上门安装费(元)": "0.00",
    "送货入户费(元)": "0.00", "送货入户并安装费(元)": "0.00",
    "用户实付金额(元)": amount(pl.col("total") - _COUPON, _MARKET),
    "商家实收金额(元)": amount("total", _MARKET, thousands=","), "商品数量(件)": number("pieces"), "是否审核中": "否",
    "支付时间": time("paid_second", _MARKET, _TIME), "发货时间": time("sent_second", _MARKET, _TIME),
    "确认收货时间": time("done_second", _MARKET, _TIME),
    "商品id": serial_id(300_000_000_000, 1, "line_number") + "\t", "商品规格": option_values(","),
    "样式ID": serial_id(1_000_000_000_000, 1, "line_number"), "商品一级类目": "家居百货",
    "商家编码-规格维度": pl.col("sku"), "商家编码-商品维度": pl.col("sku").str.head(-3),
    "商家备注": pl.col("seller_note"), "买家留言": pl.col("buyer_note"), "售后状态": pl.col("status_detail"),
    "消费者资料": pl.col("personalisation"),
    "订单成交时间": where(~_IS_EMPTY, time("second", _MARKET, _TIME)),
    "快递单号": where(pl.col("sent_second").is_not_null(), "YT" + serial_id(8_800_000_000_000)),
    "快递公司": where(pl.col("sent_second").is_not_null(), "圆通快递"), "省": "浙江省", "市": "杭州市", "区": "西湖区",
    "是否抽奖或0元试用": "否", "是否门店自提": "否", "支付方式": "微信", "订单来源": "多多",
}  # fmt: skip
CSV: Final = Layout(
    platform="pinduoduo",
    variant="csv",
    evidence="P",
    file_name="orders_export.csv",
    headers=HEADERS,
    cells=_CELLS,
    trade=_TRADE,
    facts=Facts(
        order_id=_ID,
        amount=pl.col("total"),
        ordered=pl.when(_IS_EMPTY).then("paid_second").otherwise("second"),
        buyer_note=pl.col("buyer_note"),
        seller_note=pl.col("seller_note"),
        item={
            "name": pl.col("name"),
            "variant": option_values(","),
            "sku": pl.col("sku"),
            "quantity": pl.col("quantity"),
            "personalisation": pl.col("personalisation"),
        },
    ),
    rows=_by_order,
    form=FileForm(bom=True, newline="\r\n"),
    errors={
        "BAD_AMOUNT": {"商家实收金额(元)": BAD_AMOUNT, "用户实付金额(元)": BAD_AMOUNT},
        "BAD_TIMESTAMP": {"订单成交时间": BAD_TIMESTAMP},
        "MISSING_ORDER_ID": {"订单号": None},
    },
)
_GBK: Final = FileForm(encoding="gbk", newline="\r\n")
LAYOUTS: Final = (
    CSV,
    renamed(CSV, {"商品": "商品名称", "商品id": "商品ID"}, variant="csv_gbk", form=_GBK),
    CSV.but(variant="xlsx", file_name="orders_export.xlsx", form=FileForm(kind="xlsx")),
    CSV.but(variant="title", form=FileForm(bom=True, newline="\r\n", above=(("名称：班服工坊订单",),))),
    CSV.but(
        variant="chosen",
        headers=CHOSEN_HEADERS,
        cells={
            "商品名称": pl.col("name"), "订单成交时间": time("second", _MARKET, _TIME),
        },
        facts=Facts(**(vars(CSV.facts) | {
            "ordered": pl.col("second"), "seller_note": pl.lit(None, dtype=pl.String),
            "item": {name: fact for name, fact in CSV.facts.item.items() if name != "personalisation"},
        })),
        errors={"BAD_AMOUNT": {"商家实收金额(元)": BAD_AMOUNT}, "BAD_TIMESTAMP": {"订单成交时间": BAD_TIMESTAMP}},
    ),
)  # fmt: skip
