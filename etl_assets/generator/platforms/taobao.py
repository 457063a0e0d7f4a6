"""Layouts of Taobao and Tmall: order reports (订单报表, a row per order) and item reports (宝贝报表, a row per line).

Evidence [P], many; no untouched real file was found. Where the order of columns is not known, it is that of the lists.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP, Places
from etl_assets.generator.platforms.layout import (
    Facts,
    FileForm,
    Layout,
    amount,
    by_line,
    by_order,
    headers_of,
    masked,
    number,
    options,
    protected,
    serial_id,
    time,
    where,
)
from etl_assets.generator.platforms.model import Market, Status, Trade
from etl_assets.generator.platforms.products import CHINESE

CLASSIC_HEADERS: Final = (
    "订单编号", "买家会员名", "买家支付宝账号", "买家应付货款", "买家应付邮费", "买家支付积分", "总金额", "返点积分",
    "买家实际支付金额", "买家实际支付积分", "订单状态", "买家留言", "收货人姓名", "收货地址 ", "运送方式", "联系电话 ",
    "联系手机", "订单创建时间", "订单付款时间 ", "宝贝标题 ", "宝贝种类 ", "物流单号 ", "物流公司", "订单备注",
    "宝贝总数量", "店铺Id", "店铺名称", "订单关闭原因", "卖家服务费", "买家服务费", "发票抬头", "是否手机订单",
    "分阶段订单信息", "特权订金订单id", "定金排名", "修改后的sku", "修改后的收货地址", "异常信息", "天猫卡券抵扣",
    "集分宝抵扣", "是否是O2O交易",
)  # fmt: skip
"""Some end in a blank, as in the real files."""
NEW_HEADERS: Final = (
    "订单编号", "买家应付货款", "买家应付邮费", "总金额",
    "买家实付金额", "订单状态", "买家留言", "收货人姓名", "收货地址",
    "联系电话", "联系手机", "订单创建时间", "订单付款时间",
    "商品标题", "物流单号", "物流公司", "店铺名称", "订单关闭原因",
    "卖家服务费", "退款金额", "打款商家金额", "发货时间", "确认收货时间", "商家备注",
)  # fmt: skip
"""2023 and later; the names are of readers of real files [P], their order is general knowledge [G]."""
CLASSIC_ITEM_HEADERS: Final = headers_of(
    "订单编号 标题 价格 购买数量 外部系统编号 商品属性 套餐信息 备注 订单状态 商家编码", " "
)
NEW_ITEM_HEADERS: Final = headers_of(
    "子订单编号 主订单编号 商品标题 商品价格 购买数量 外部系统编号 商品属性 套餐信息 备注 订单状态 商家编码 支付单号 "
    "买家应付货款 买家实付金额 退款状态 退款金额 订单创建时间 订单付款时间 skuId 店铺名称 买家留言 卖家备注 发货时间 "
    "确认收货时间 物流单号 物流公司",
    " ",
)
PARCEL_HEADERS: Final = ("订单编号", "物流单号", "物流公司", "发货时间")
"""Sheet 发货报表; only that it exists is known [P], its columns are general knowledge [G]."""
SHOPS: Final = ("山茶手作定制店", "一针一线刺绣旗舰店", "刻刻时光礼品店")
STATUSES: Final = (
    Status("等待买家付款", "unpaid"),
    Status("买家已付款,等待卖家发货", "paid", weight=2),
    Status("买家已付款，等待卖家发货", "paid"),
    Status("卖家已发货，等待买家确认", "shipped", weight=3),
    Status("交易成功", "done", weight=14),
    Status("交易成功", "partly"),
    Status("交易关闭", "closed", cancelled=True),
    Status("交易关闭", "dropped", cancelled=True),
    Status("交易关闭", "returned", cancelled=True),
)
_MARKET: Final = Market(CHINESE, "CNY", "Asia/Shanghai")
_TRADE: Final = Trade(name="taobao", market=_MARKET, statuses=STATUSES, shops=SHOPS, most=(1, 3, 60))
_ID: Final = serial_id(3_456_000_000_000_000_000, 7_919_000_007)
_SUB_ID: Final = serial_id(3_456_000_000_000_000_100, 7_919, "line_number")
_SECOND, _MINUTE = "%Y-%m-%d %H:%M:%S", "%Y/%-m/%-d %H:%M"
_PAID: Final = pl.when("is_paid").then("total").otherwise(0)
_NAMED: Final = pl.col("has_buyer") & (pl.col("buyer") % 16 > 0)
_UNPAID_TIME: Final = pl.when(pl.col("number") % 3 == 0).then(pl.lit("0000-00-00 00:00:00"))
_REASON: Final = (
    pl.when(pl.col("state") == "closed").then(pl.lit("买家未付款"))
    .when(pl.col("state").is_in(("dropped", "returned"))).then(pl.lit("退款")).otherwise(pl.lit("订单未关闭"))
)  # fmt: skip
_PARCEL: Final = "YT" + (pl.col("number") + 8_800_000_000_000).cast(pl.String)


def _order_cells(form: str) -> dict[str, pl.Expr | str]:
    """Return the columns of both versions, under the names of the newer one."""
    return {
        "订单编号": protected(_ID), "买家应付货款": amount(pl.col("subtotal") - pl.col("discount"), _MARKET),
        "买家应付邮费": amount("postage", _MARKET), "总金额": amount("total", _MARKET),
        "买家实付金额": amount(_PAID, _MARKET), "订单状态": pl.col("status"), "买家留言": pl.col("buyer_note"),
        "收货人姓名": masked(pl.col("receiver")), "收货地址": pl.col("chinese_address"),
        "联系手机": "'" + pl.col("chinese_phone"), "订单创建时间": time("second", _MARKET, form),
        "订单付款时间": pl.coalesce(time("paid_second", _MARKET, form), _UNPAID_TIME), "商品标题": pl.col("titles"),
        "物流单号": where(pl.col("sent_second").is_not_null(), "No:" + _PARCEL),
        "物流公司": where(pl.col("sent_second").is_not_null(), "圆通速递"), "店铺名称": pl.col("shop"),
        "订单关闭原因": _REASON, "卖家服务费": "0.00元", "退款金额": amount("refunded", _MARKET),
        "打款商家金额": amount(_PAID - pl.col("refunded"), _MARKET) + "元",
        "发货时间": time("sent_second", _MARKET, form), "确认收货时间": time("done_second", _MARKET, form),
        "商家备注": pl.col("seller_note"),
    }  # fmt: skip


_CLASSIC_NAMES: Final = {
    "买家实付金额": "买家实际支付金额", "商品标题": "宝贝标题 ", "收货地址": "收货地址 ",
    "订单付款时间": "订单付款时间 ",
    "物流单号": "物流单号 ", "商家备注": "订单备注", "退款金额": None, "打款商家金额": None, "发货时间": None,
    "确认收货时间": None,
}  # fmt: skip


def _classic_cells(form: str) -> dict[str, pl.Expr | str]:
    names = {header: _CLASSIC_NAMES.get(header, header) for header in _order_cells(form)}
    cells = {name: _order_cells(form)[header] for header, name in names.items() if name is not None}
    phone = pl.col("chinese_phone")
    return cells | {
        "买家会员名": where(_NAMED, pl.col("nickname"), where("has_buyer", masked(pl.col("nickname")))),
        "买家支付宝账号": phone.str.head(3) + "****" + phone.str.tail(4), "买家支付积分": "0", "返点积分": "0",
        "买家实际支付积分": "0", "运送方式": "快递", "宝贝种类 ": number("kinds"), "宝贝总数量": number("pieces"),
        "店铺Id": "0", "买家服务费": "0.00元", "是否手机订单": where(pl.col("buyer") % 5 > 0, "手机订单"),
    }  # fmt: skip


def _item_cells(form: str) -> dict[str, pl.Expr | str]:
    is_back = pl.col("state").is_in(("dropped", "returned"))
    paid = pl.col("line_paid") + pl.col("line_postage")
    return {
        "子订单编号": protected(_SUB_ID), "主订单编号": protected(_ID), "商品标题": pl.col("name"),
        "商品价格": amount("cents", _MARKET), "购买数量": number("quantity"), "外部系统编号": pl.col("sku"),
        "商品属性": options(":", ";"), "备注": pl.col("seller_note"),
        "订单状态": where(is_back, "退款成功", pl.col("status")), "商家编码": pl.col("sku"),
        "支付单号": protected(serial_id(2_024_000_000_000_000_000, 11)),
        "买家应付货款": amount("line_paid", _MARKET),
        "买家实付金额": amount(pl.when("is_paid").then(paid).otherwise(0), _MARKET),
        "退款状态": where(is_back, "退款成功", "没有申请退款"),
        "退款金额": amount(pl.when(is_back).then(paid).otherwise(0), _MARKET),
        "订单创建时间": time("second", _MARKET, form), "订单付款时间": time("paid_second", _MARKET, form),
        "skuId": protected(serial_id(5_000_000_000_000, 3, "line_number")), "店铺名称": pl.col("shop"),
        "买家留言": pl.col("buyer_note"), "卖家备注": pl.col("seller_note"),
        "发货时间": time("sent_second", _MARKET, form), "确认收货时间": time("done_second", _MARKET, form),
        "物流单号": where(pl.col("sent_second").is_not_null(), _PARCEL),
        "物流公司": where(pl.col("sent_second").is_not_null(), "圆通速递"),
    }  # fmt: skip


_ERRORS: Final[Places] = {
    "BAD_TIMESTAMP": {"订单创建时间": BAD_TIMESTAMP},
    "MISSING_ORDER_ID": {"订单编号": None},
    "ROUNDED_ORDER_ID": {"订单编号": "3.46E+18"},
}
_LINE_FACTS: Final = {
    "name": pl.col("name"),
    "variant": options(":", ";"),
    "sku": pl.col("sku"),
    "quantity": pl.col("quantity"),
    "unit_price": pl.col("cents"),
}
_ORDER_FACTS: Final = Facts(
    order_id=_ID,
    customer=where(_NAMED, pl.col("nickname")),
    amount=_PAID,
    shop=pl.col("shop"),
    buyer_note=pl.col("buyer_note"),
    seller_note=pl.col("seller_note"),
    item={"name": pl.col("name"), "quantity": pl.col("quantity")},
    lines_known=pl.col("kinds") == 1,
)
_GBK: Final = FileForm(encoding="gbk", newline="\r\n")
CLASSIC: Final = Layout(
    platform="taobao", variant="old", evidence="P", file_name="ExportOrderList202605131101.csv",
    headers=CLASSIC_HEADERS, cells=_classic_cells(_SECOND), trade=_TRADE, facts=_ORDER_FACTS, rows=by_order, form=_GBK,
    errors={**_ERRORS, "BAD_AMOUNT": {"总金额": BAD_AMOUNT, "买家实际支付金额": BAD_AMOUNT}},
)  # fmt: skip
_NEW_FACTS: Final = Facts(
    order_id=_ID, amount=_PAID, refunded=pl.col("refunded"), shop=pl.col("shop"), buyer_note=pl.col("buyer_note"),
    seller_note=pl.col("seller_note"), counts=False, lines_known=pl.lit(False),
)  # fmt: skip
NEW: Final = Layout(
    platform="taobao", variant="new", evidence="PG", file_name="ExportOrderList202605131101.xlsx", headers=NEW_HEADERS,
    cells=_order_cells(_SECOND) | {"订单编号": _ID, "联系手机": pl.col("chinese_phone")}, trade=_TRADE,
    facts=_NEW_FACTS,
    rows=by_order, form=FileForm(kind="xlsx", sheet="export"),
    errors={**_ERRORS, "BAD_AMOUNT": {"总金额": BAD_AMOUNT, "买家实付金额": BAD_AMOUNT}},
)  # fmt: skip
CLASSIC_ITEMS: Final = Layout(
    platform="taobao_items", variant="old", evidence="P", file_name="ExportOrderDetailList202605131101.csv",
    headers=CLASSIC_ITEM_HEADERS,
    cells={
        "订单编号": protected(_ID), "标题": pl.col("name"), "价格": amount("cents", _MARKET),
        "购买数量": number("quantity"), "外部系统编号": pl.col("sku"), "商品属性": options(":", ";"),
        "备注": pl.col("seller_note"), "订单状态": pl.col("status"), "商家编码": pl.col("sku"),
    },
    trade=_TRADE,
    facts=Facts(
        order_id=_ID, amount=pl.lit(None, dtype=pl.Int64), ordered=None, seller_note=pl.col("seller_note"),
        item=_LINE_FACTS,
    ),
    rows=by_line, form=_GBK,
)  # fmt: skip
"""No buyer, amount or time: they are those of the order report."""
NEW_ITEMS: Final = Layout(
    platform="taobao_items", variant="new", evidence="P", file_name="ExportItemlList202605131101.xlsx",
    headers=NEW_ITEM_HEADERS, cells=_item_cells(_SECOND) | {"子订单编号": _SUB_ID, "主订单编号": _ID}, trade=_TRADE,
    facts=Facts(
        order_id=_ID, amount=_PAID, shop=pl.col("shop"), buyer_note=pl.col("buyer_note"),
        seller_note=pl.col("seller_note"), item=_LINE_FACTS,
        refunded=pl.when(pl.col("state").is_in(("dropped", "returned"))).then("total").otherwise(0),
        status=where(pl.col("state").is_in(("dropped", "returned")), "退款成功", pl.col("status")),
    ),
    rows=by_line, form=FileForm(kind="xlsx", sheet="export"),
)  # fmt: skip
_PARCELS: Final = NEW.but(
    variant="parcels", headers=PARCEL_HEADERS, form=FileForm(kind="xlsx", sheet="发货报表"), errors={}
)
LAYOUTS: Final = (
    CLASSIC,
    NEW,
    NEW.but(
        variant="new_csv", file_name="ExportOrderList202605131101.csv", form=_GBK, cells=_order_cells(_MINUTE),
        facts=Facts(**(vars(_NEW_FACTS) | {"precision": "1m"})),
    ),
    NEW.but(
        variant="workbook", file_name="订单报表.xlsx", form=FileForm(kind="xlsx", sheet="订单报表"),
        facts=Facts(**(vars(_NEW_FACTS) | {"item": _LINE_FACTS, "lines_known": pl.lit(True), "counts": True})),
        more_sheets=(NEW_ITEMS.but(form=FileForm(kind="xlsx", sheet="销售明细")), _PARCELS),
    ),
    CLASSIC_ITEMS,
    NEW_ITEMS,
    NEW_ITEMS.but(
        variant="new_csv", file_name="ExportItemlList202605131101.csv", form=_GBK, cells=_item_cells(_SECOND)
    ),
)  # fmt: skip
