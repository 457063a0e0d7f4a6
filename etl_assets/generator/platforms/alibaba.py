"""Layouts of 1688: workbooks with a row per line, the order's cells merged over them or on the first one only.

Evidence [P]: three programs read the same header.
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
    first_row,
    headers_of,
    number,
    option_values,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import CHINESE

HEADERS: Final = headers_of(
    "订单编号, 买家公司名, 买家会员名, 卖家公司名, 卖家会员名, "
    "货品总价(元), 运费(元), 涨价或折扣(元), 实付款(元), 订单状态, "
    "订单创建时间, 订单付款时间, 发货方, 收货人姓名, 收货地址, 邮编, 联系电话, "
    "联系手机, 货品标题, 单价(元), 数量, 单位, 货号, "
    "型号, Offer ID, SKU ID, 物料编号, 单品货号, 货品种类, 买家留言, 物流公司, 运单号, 发票：购货单位名称, "
    "发票：纳税人识别号, 发票：地址、电话, 发票：开户行及账号, 发票收取地址, 关联编号, 代理商姓名, 代理商联系方式, "
    "是否代发订单, 代发服务商id, 微商订单号, 下单批次号, 下游渠道, 下游订单号, 下单公司主体, 发起人登录名, "
    "是否发起免密支付(1:淘货源诚e赊免密支付2:批量下单免密支付)"
)
HEADERS_2018: Final = (*HEADERS[:25], *HEADERS[26:30], "物流公司运单号")
"""2018: 30 columns, the last for carrier and number [P]; that SKU ID is the one not there yet is a guess [G]."""
STATUSES: Final = (  # all texts are general knowledge [G]
    Status("等待买家付款", "unpaid"),
    Status("等待卖家发货", "paid", weight=3),
    Status("等待买家确认收货", "shipped", weight=3),
    Status("交易成功", "done", weight=12),
    Status("交易关闭", "closed", cancelled=True),
    Status("交易取消", "dropped", cancelled=True),
)
_MARKET: Final = Market(CHINESE, "CNY", "Asia/Shanghai")
_TRADE: Final = Trade(
    name="1688", market=_MARKET, statuses=STATUSES, shops=("义乌源头定制厂",), kinds=(0.4, 0.3, 0.2, 0.1), most=(5, 500)
)
_ID: Final = serial_id(2_900_000_000_000_000_000, 7_919_000_007)
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_OF_ORDER: Final[Cells] = {
    "订单编号": _ID, "买家公司名": pl.col("nickname") + "贸易有限公司",
    "买家会员名": where("has_buyer", pl.col("nickname")), "卖家公司名": "义乌源头定制厂有限公司",
    "卖家会员名": pl.col("shop"), "货品总价(元)": amount("subtotal", _MARKET), "运费(元)": amount("postage", _MARKET),
    "涨价或折扣(元)": amount(-pl.col("discount"), _MARKET), "实付款(元)": amount("total", _MARKET),
    "订单状态": pl.col("status"), "订单创建时间": time("second", _MARKET, _TIME),
    "订单付款时间": time("paid_second", _MARKET, _TIME), "收货人姓名": pl.col("receiver"),
    "收货地址": pl.col("chinese_address"), "联系手机": pl.col("chinese_phone"), "买家留言": pl.col("buyer_note"),
    "运单号": where(pl.col("sent_second").is_not_null(), "YT" + serial_id(8_800_000_000_000)),
    "是否代发订单": "否",
}  # fmt: skip
_OF_LINE: Final[Cells] = {
    "货品标题": pl.col("name"), "单价(元)": amount("cents", _MARKET), "数量": number("quantity"), "单位": "件",
    "货号": pl.col("sku").str.head(-3), "型号": option_values(";"),
    "Offer ID": serial_id(600_000_000_000, 1, "line_number"),
    "SKU ID": serial_id(5_000_000_000_000, 1, "line_number"), "单品货号": pl.col("sku"),
}  # fmt: skip
FIRST_ROW: Final = Layout(
    platform="alibaba1688",
    variant="first_row",
    evidence="P",
    file_name="订单导出.xlsx",
    headers=HEADERS,
    cells={header: first_row(cell) for header, cell in _OF_ORDER.items()} | dict(_OF_LINE),
    trade=_TRADE,
    facts=Facts(
        order_id=_ID,
        customer=where("has_buyer", pl.col("nickname"), pl.col("nickname") + "贸易有限公司"),
        amount=pl.col("total"),
        shop=pl.col("shop"),
        buyer_note=pl.col("buyer_note"),
        item={
            "name": pl.col("name"),
            "variant": option_values(";"),
            "sku": pl.col("sku"),
            "quantity": pl.col("quantity"),
            "unit_price": pl.col("cents"),
        },
    ),
    rows=by_line,
    form=FileForm(kind="xlsx"),
)
MERGED: Final = FIRST_ROW.but(variant="merged", form=FileForm(kind="xlsx", merged=frozenset(_OF_ORDER)))
LAYOUTS: Final = (
    MERGED,
    FIRST_ROW,
    FIRST_ROW.but(
        variant="2018", headers=HEADERS_2018, form=FileForm(kind="xlsx", merged=frozenset(_OF_ORDER)), evidence="PG"
    ),
    FIRST_ROW.but(  # the order's cells on every line
        variant="repeated",
        cells=_OF_ORDER,
        errors={"BAD_AMOUNT": {"实付款(元)": BAD_AMOUNT}, "BAD_TIMESTAMP": {"订单创建时间": BAD_TIMESTAMP}},
    ),
)
