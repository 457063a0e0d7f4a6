"""Layouts of Douyin (抖店): a row per sub-order, that is per line.

Evidence [P]: readers of real files; the header of 2026 has 75 columns, of which those that the evidence names are here.
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
    option_values,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import CHINESE

HEADERS: Final = headers_of(
    "主订单编号, 子订单编号, 支付方式, 选购商品, 货号, 商品ID, "
    "商家编码, 商品数量, 商品金额, 订单提交时间, 支付完成时间, "
    "订单完成时间, 承诺发货时间, 预约发货时间, 买家留言, 旗帜颜色, 商家备注, "
    "APP渠道, 订单状态, 取消原因, 售后状态, 订单类型, "
    "发货时间, 车型, 是否是以旧换新, 换新额外补贴, 换新额外补贴发放状态, "
    "订单应付金额, 运费, 优惠总金额, 平台优惠, 商家优惠, "
    "达人优惠, 商家改价, 支付优惠, 手续费, 红包抵扣, 降价类优惠, 平台实际承担优惠金额, 商家实际承担优惠金额, "
    "达人实际承担优惠金额, 收件人, 收件人手机号, 省, 市, 区, "
    "街道, 详细地址, 是否修改过地址, 快递信息, 序列号, 达人ID, "
    "达人昵称, 流量来源, 仓库ID, 仓库名称, 是否安心购, 广告渠道, 流量类型, 流量体裁, 流量渠道"
)
OLDER_HEADERS: Final = tuple(
    header
    for one in HEADERS
    for header in {"货号": (), "商品金额": ("商品单价",), "选购商品": ("选购商品", "商品规格")}.get(one, (one,))
)
"""Older: 商品规格 and 商品单价 in place of 货号 and 商品金额; their places are general knowledge [G]."""
NOT_CANCELLED: Final = "-"
STATUSES: Final = (
    Status("待支付", "unpaid", detail=NOT_CANCELLED),  # [G], like all but 已关闭
    Status("待发货", "paid", weight=3, detail=NOT_CANCELLED),
    Status("已发货", "shipped", weight=3),
    Status("已完成", "done", weight=12, detail=NOT_CANCELLED),
    Status("已关闭", "closed", cancelled=True, detail="超时未支付"),
    Status("已关闭", "dropped", cancelled=True, detail="多拍、拍错、不想要"),
    Status("待发货", "dropped", cancelled=True, detail="信息填写错误"),  # a reason decides over the status
)
_MARKET: Final = Market(CHINESE, "CNY", "Asia/Shanghai")
_TRADE: Final = Trade(name="douyin", market=_MARKET, statuses=STATUSES)
_ID: Final = serial_id(6_900_000_000_000_000_000, 7_919_000_007)
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_DUE: Final = pl.col("line_paid") + pl.col("line_postage")
_BACK: Final = pl.col("state").is_in(("dropped", "returned"))
_CELLS: Final[Cells] = {
    "主订单编号": _ID + "\t", "子订单编号": serial_id(6_900_000_000_000_000_100, 7_919, "line_number") + "\t",
    "支付方式": "微信", "选购商品": pl.col("name") + " ", "货号": pl.col("sku").str.head(-3),
    "商品ID": serial_id(3_500_000_000_000_000_000, 1, "line_number") + "\t", "商家编码": pl.col("sku"),
    "商品数量": number("quantity"), "商品金额": amount("line_cents", _MARKET, thousands=","),
    "订单提交时间": time("second", _MARKET, _TIME), "支付完成时间": time("paid_second", _MARKET, _TIME) + "\t",
    "订单完成时间": time("done_second", _MARKET, _TIME), "买家留言": pl.col("buyer_note"),
    "商家备注": pl.col("seller_note"), "APP渠道": "抖音", "订单状态": pl.col("status"),
    "取消原因": pl.col("status_detail"), "售后状态": where(_BACK, "退款成功", "-"), "订单类型": "普通订单",
    "发货时间": time("sent_second", _MARKET, _TIME), "是否是以旧换新": "否",
    "订单应付金额": amount(_DUE, _MARKET, thousands=","), "运费": amount("line_postage", _MARKET),
    "优惠总金额": amount("line_discount", _MARKET), "商家优惠": amount("line_discount", _MARKET), "手续费": "0.00",
    "收件人": masked(pl.col("receiver")), "收件人手机号": "1**********", "省": "浙江省", "市": "杭州市",
    "区": "西湖区", "是否修改过地址": "否", "是否安心购": "是", "流量体裁": "数据将于第二天更新",
}  # fmt: skip
_ITEM: Final = {"name": pl.col("name"), "sku": pl.col("sku"), "quantity": pl.col("quantity")}
_FACTS: Final = Facts(
    order_id=_ID,
    amount=pl.col("total"),
    status=where("cancelled", "已关闭", pl.col("status")),
    buyer_note=pl.col("buyer_note"),
    seller_note=pl.col("seller_note"),
    item=_ITEM,
)
NEWER: Final = Layout(
    platform="douyin",
    variant="2026",
    evidence="P",
    file_name="1778000000_order.csv",
    headers=HEADERS,
    cells=_CELLS,
    trade=_TRADE,
    facts=_FACTS,
    rows=by_line,
    form=FileForm(bom=True),
    errors={"BAD_AMOUNT": {"订单应付金额": BAD_AMOUNT}, "BAD_TIMESTAMP": {"订单提交时间": BAD_TIMESTAMP}},
)
LAYOUTS: Final = (
    NEWER,
    NEWER.but(
        variant="older",
        headers=OLDER_HEADERS,
        cells={"商品规格": option_values(";"), "商品单价": amount("cents", _MARKET, thousands=",")},
        facts=Facts(
            **(vars(_FACTS) | {"item": _ITEM | {"variant": option_values(";"), "unit_price": pl.col("cents")}})
        ),
    ),
    NEWER.but(variant="xlsx", file_name="1778000000_order.xlsx", form=FileForm(kind="xlsx")),
)
