"""Order report (订单报表) of Taobao and Tmall: one row per order, in Chinese, long numbers protected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from etl_assets.generator import people
from etl_assets.generator.catalogue import CHINESE_PRODUCTS, TAOBAO_SHOPS, product_table
from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP, Places, corrupt, draw_errors
from etl_assets.generator.lines import draw_lines, joined, order_totals
from etl_assets.generator.random_columns import (
    Chunk,
    Indices,
    at,
    chance,
    chunks,
    local_text,
    money,
    order_seconds,
    pick,
    returning_buyers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS: Final = (
    "订单编号", "买家会员名", "买家支付宝账号", "买家应付货款", "买家应付邮费", "买家支付积分", "总金额", "返点积分",
    "买家实际支付金额", "买家实际支付积分", "订单状态", "买家留言", "收货人姓名", "收货地址", "运送方式", "联系电话",
    "联系手机", "订单创建时间", "订单付款时间", "宝贝标题", "宝贝种类", "物流单号", "物流公司", "订单备注",
    "宝贝总数量", "店铺Id", "店铺名称", "订单关闭原因",
    "卖家服务费", "买家服务费", "发票抬头", "是否手机订单", "分阶段订单信息", "定金排名", "修改后的sku",
    "修改后的收货地址", "异常信息",
)  # fmt: skip
ERRORS: Final[Places] = {
    "amount": {"总金额": BAD_AMOUNT, "买家实际支付金额": BAD_AMOUNT},
    "timestamp": {"订单创建时间": BAD_TIMESTAMP},
    "order_id": {"订单编号": None},
}
UNPAID: Final = "等待买家付款"
PAID: Final = "买家已付款，等待卖家发货"
SHIPPED: Final = "卖家已发货，等待买家确认"
DONE: Final = "交易成功"
CLOSED: Final = "交易关闭"
_ZONE: Final = "Asia/Shanghai"
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_MESSAGES: Final = (
    None, None, None, "帽子左侧绣 LOGO，图已发客服", "请刻字：平安喜乐", "先打样，确认后再做大货", "要发票，抬头见备注",
    "赠送礼物，请勿放价格单", "两件刻“爸爸”“妈妈”，字体用楷体", "周五前一定要收到！！",
)  # fmt: skip
_REMARKS: Final = (None, None, "加急", "已确认图稿 V2", "老客户，打九折", "绣线用 1902#", "分两箱发")


def order_chunks(orders: int, seed: int, chunk_size: int, bad_share: float) -> Iterator[pl.DataFrame]:
    """Yield the report, some orders at a time: the columns `HEADERS`, text, null for an empty cell."""
    for chunk in chunks(seed, "taobao", orders, chunk_size):
        frame = _orders(chunk)
        yield corrupt(frame, draw_errors(chunk.rng, tuple(ERRORS), bad_share, frame.height, each_kind=True), ERRORS)


def _orders(chunk: Chunk) -> pl.DataFrame:
    rng, size = chunk.rng, chunk.size
    buyers = returning_buyers(rng, chunk)
    drawn = _drawn(chunk, buyers).with_columns(order_totals(lines := _lines(chunk)))
    paid = ~pl.col("status").is_in((UNPAID, CLOSED))
    total = money(pl.col("cents") + pl.col("postage"))
    closed = pl.when(pl.col("status") == CLOSED)
    values = {
        "订单编号": _protected(pl.col("number"), pl.col("protection")),
        "买家会员名": pl.when("masked").then(pl.col("nickname").str.head(1) + "**").otherwise("nickname"),
        "买家支付宝账号": pl.col("phone").str.head(3) + "****" + pl.col("phone").str.tail(4),
        "买家应付货款": money(pl.col("cents")),
        "买家应付邮费": money(pl.col("postage")),
        "总金额": total,
        "买家实际支付金额": pl.when(paid).then(total).otherwise(pl.lit("0.00")),
        "订单状态": pl.col("status"),
        "联系手机": "'" + pl.col("phone"),
        "订单创建时间": local_text(pl.col("second"), _ZONE, _TIME),
        "订单付款时间": pl.when(paid).then(local_text(pl.col("paid_second"), _ZONE, _TIME)).otherwise("unpaid"),
        "宝贝标题": pl.lit(joined(lines, pl.col("name"), pl.lit("，"))),
        "宝贝种类": pl.col("kinds").cast(pl.String),
        "宝贝总数量": pl.col("pieces").cast(pl.String),
        "物流单号": pl.when(pl.col("status").is_in((SHIPPED, DONE))).then("No:YT" + pl.col("number").str.tail(13)),
        "物流公司": pl.when(pl.col("status").is_in((SHIPPED, DONE))).then(pl.lit("圆通速递")),
        "订单关闭原因": closed.then(pl.lit("买家未付款")).otherwise(pl.lit("订单未关闭")),
        "买家留言": pl.lit(pick(rng, _MESSAGES, size)),
        "收货人姓名": pl.lit(people.receivers(buyers)),
        "收货地址": pl.lit(people.chinese_addresses(buyers)),
        "订单备注": pl.lit(pick(rng, _REMARKS, size)),
        "店铺名称": pl.lit(at([shop.name for shop in TAOBAO_SHOPS], buyers % len(TAOBAO_SHOPS))),
        "是否手机订单": pl.lit(pick(rng, ("手机订单", None), size, (8, 2))),
    }
    constants = {"买家支付积分": "0", "返点积分": "0", "买家实际支付积分": "0", "运送方式": "快递", "店铺Id": "0"}
    constants |= {"卖家服务费": "0.00元", "买家服务费": "0.00元"}
    values |= {header: pl.lit(text) for header, text in constants.items()}
    return drawn.select(values.get(header, pl.lit(None, dtype=pl.String)).alias(header) for header in HEADERS)


def _drawn(chunk: Chunk, buyers: Indices) -> pl.DataFrame:
    rng, size = chunk.rng, chunk.size
    numbers = np.arange(chunk.start, chunk.start + size, dtype=np.int64)
    seconds = order_seconds(rng, chunk)
    return pl.DataFrame(
        {
            "number": pl.Series(3_456_000_000_000_000_000 + numbers * 7_919_000_007).cast(pl.String),
            "protection": pick(rng, ("formula", "tab", "apostrophe"), size, (80, 12, 8)),
            "nickname": people.nicknames(buyers),
            "masked": chance(rng, 0.06, size),
            "phone": people.chinese_phones(buyers),
            "second": seconds,
            "paid_second": seconds + rng.integers(20, 3_600, size=size),
            "postage": rng.choice(np.array([0, 800, 1_200]), size=size),
            "status": pick(rng, (UNPAID, PAID, SHIPPED, DONE, CLOSED), size, (4, 12, 18, 60, 6)),
            "unpaid": pick(rng, (None, "0000-00-00", "0000-00-00 00:00:00"), size),
        }
    )


def _lines(chunk: Chunk) -> pl.DataFrame:
    rng, size = chunk.rng, chunk.size
    counts = rng.choice(np.array([1, 2, 3]), size=size, p=(0.7, 0.2, 0.1))
    most = rng.choice(np.array([1, 3, 60]), size=size, p=(0.4, 0.4, 0.2))
    return draw_lines(rng, product_table(CHINESE_PRODUCTS), counts, most)


def _protected(number: pl.Expr, how: pl.Expr) -> pl.Expr:
    """Write a long number so that a spreadsheet does not round it, as export tools do."""
    return (
        pl.when(how == "formula").then(pl.format('="{}"', number))
        .when(how == "tab").then(number + "\t")
        .otherwise("'" + number)
    )  # fmt: skip
