"""Layouts of JD (京东): a row per line, the order's amounts repeated on each.

Evidence [P], one of its sources with a sample row; the order of the columns from the 21st on is general knowledge [G].
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
    by_line,
    headers_of,
    masked,
    number,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import CHINESE

HEADERS: Final = headers_of(
    "订单号, 商品ID, 商品名称, 订购数量, 支付方式, 下单时间, 京东价, "
    "订单金额, 结算金额, 余额支付, 应付金额, 订单状态, 订单类型, "
    "下单帐号, 客户姓名, 客户地址, 联系电话, 订单备注, 发票类型, 发票抬头, 发票内容, 商家备注, "
    "商家备注等级（等级1-5为由高到低）, 运费金额, 付款确认时间, 增值税发票, 货号, 订单完成时间, 订单来源, 订单渠道, "
    "送装服务, 服务费, 仓库id, 仓库名称"
)
NEWER_HEADERS: Final = (*HEADERS, "店铺ID", "店铺名称", "商家应收", "商家SKUID")
DELETED: Final = ("等待出库", "等待确认收货", "等待付款", "未付款", "锁定", "暂停")
"""Statuses that occur behind ``(删除)``: the order was deleted."""
STATUSES: Final = (
    Status("等待付款", "unpaid"),
    Status("等待付款确认", "unpaid"),
    Status("未付款", "unpaid"),
    Status("等待出库", "paid", weight=3),
    Status(" 等待出库", "paid"),
    Status("(锁定)等待出库", "paid"),
    Status("锁定", "paid"),
    Status("暂停订单", "paid"),
    Status("等待确认收货", "shipped", weight=3),
    Status("完成", "done", weight=12),
    Status("已完成", "done"),
    Status("已取消", "closed", cancelled=True),
    *(Status(f"(删除){text}", "closed", cancelled=True) for text in DELETED),
    Status(" （删除）等待出库", "dropped", cancelled=True),
)
_MARKET: Final = Market(CHINESE, "CNY", "Asia/Shanghai")
_TRADE: Final = Trade(name="jd", market=_MARKET, statuses=STATUSES, shops=("刻刻时光京东店",))
_ID: Final = serial_id(290_000_000_000, 7_919)
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_CELLS: Final[Cells] = {
    "订单号": _ID, "商品ID": serial_id(100_000_000_000, 1, "line_number"), "商品名称": pl.col("name"),
    "订购数量": number("quantity"), "支付方式": "在线支付", "下单时间": time("second", _MARKET, _TIME),
    "京东价": amount("cents", _MARKET), "订单金额": amount(pl.col("subtotal") + pl.col("postage"), _MARKET),
    "结算金额": amount("total", _MARKET), "余额支付": "0.00", "应付金额": amount("total", _MARKET),
    "订单状态": pl.col("status"), "订单类型": "SOP", "下单帐号": where("has_buyer", pl.col("nickname")),
    "客户姓名": pl.col("receiver"), "客户地址": pl.col("chinese_address"), "联系电话": pl.col("chinese_phone"),
    "订单备注": pl.col("buyer_note"), "发票类型": "电子发票", "商家备注": pl.col("seller_note"),
    "运费金额": amount("postage", _MARKET), "付款确认时间": time("paid_second", _MARKET, _TIME),
    "增值税发票": "否", "货号": pl.col("sku"), "订单完成时间": time("done_second", _MARKET, _TIME),
    "订单来源": "APP", "订单渠道": "京东", "服务费": "0.00",
}  # fmt: skip
_FACTS: Final = Facts(
    order_id=_ID,
    customer=where("has_buyer", pl.col("nickname")),
    amount=pl.col("total"),
    status=where("cancelled", "已取消", pl.col("status").str.strip_chars()),
    buyer_note=pl.col("buyer_note"),
    seller_note=pl.col("seller_note"),
    item={
        "name": pl.col("name"), "sku": pl.col("sku"), "quantity": pl.col("quantity"), "unit_price": pl.col("cents"),
    },
)  # fmt: skip
OLDER: Final = Layout(
    platform="jd",
    variant="old",
    evidence="PG",
    file_name="orders.csv",
    headers=HEADERS,
    cells=_CELLS,
    trade=Trade(**(vars(_TRADE) | {"shops": (None,)})),
    facts=_FACTS,
    rows=by_line,
    form=FileForm(encoding="gb18030", newline="\r\n", quoting="always"),
    errors={"BAD_AMOUNT": {"应付金额": BAD_AMOUNT}, "BAD_TIMESTAMP": {"下单时间": BAD_TIMESTAMP}},
)
LAYOUTS: Final = (
    OLDER,
    OLDER.but(
        variant="new",
        headers=NEWER_HEADERS,
        trade=_TRADE,
        cells={
            "下单帐号": where("has_buyer", masked(pl.col("nickname"))), "客户姓名": masked(pl.col("receiver")),
            "店铺ID": "1000001", "店铺名称": pl.col("shop"), "商家应收": amount("total", _MARKET),
            "商家SKUID": pl.col("sku"),
        },
        facts=Facts(
            **(vars(_FACTS) | {"shop": pl.col("shop"), "customer": pl.lit(None, dtype=pl.String)})
        ),
    ),
)  # fmt: skip
