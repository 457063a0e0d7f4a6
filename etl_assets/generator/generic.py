"""Export of a seller's own order system: one row per order of many platforms, items as JSON or as free text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from etl_assets.generator import people
from etl_assets.generator.catalogue import (
    CHINESE_POSITIONS,
    CHINESE_PROCESSES,
    CHINESE_PRODUCTS,
    ENGLISH_POSITIONS,
    ENGLISH_PROCESSES,
    ENGLISH_PRODUCTS,
    GENERIC_CHINESE_SHOPS,
    GENERIC_ENGLISH_SHOPS,
    Product,
    Shop,
    product_table,
    shop_table,
)
from etl_assets.generator.errors import GENERIC_ERRORS, corrupt, draw_errors
from etl_assets.generator.lines import (
    TextStyle,
    draw_lines,
    free_text_items,
    free_text_processes,
    json_items,
    order_totals,
)
from etl_assets.generator.random_columns import (
    Chunk,
    chance,
    chunks,
    instants,
    local_text_by_zone,
    money,
    order_seconds,
    pick,
    returning_buyers,
    wide,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEADERS: Final = (
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency", "ordered_at",
    "updated_at", "items", "processes", "remark", "refunded_amount",
)  # fmt: skip
DUPLICATE_SHARE: Final = 0.01
"""Number of orders that stand in the export a second time, as they were later."""
REFUNDED_ONE_IN: Final = 40
_ISO: Final = "%Y-%m-%dT%H:%M:%S%:z"
_NAIVE: Final = "%Y-%m-%d %H:%M:%S"
_REMARKS: Final = (
    None, None, None, "加急 🔥", "请核对图稿", "Kundin ruft an", "repeat of last year's order",
    "包装：牛皮纸盒；贺卡×１",
)  # fmt: skip


class _Language(NamedTuple):
    products: tuple[Product, ...]
    processes: Sequence[str]
    positions: Sequence[str]
    shops: tuple[Shop, ...]
    statuses: Sequence[str]
    """Paid, in production, shipped, completed, cancelled."""
    order_types: Sequence[str | None]
    """Sample, proof, bulk in two spellings, two that no mapping names, none."""
    text_style: TextStyle


_CHINESE: Final = _Language(
    CHINESE_PRODUCTS, CHINESE_PROCESSES, CHINESE_POSITIONS, GENERIC_CHINESE_SHOPS,
    ("已付款", "生产中", "已发货", "已完成", "已取消"), ("样品", "打样", "大货", "大货 ", "返单", "团购", None),
    TextStyle(("；", "\n", " | ", "，"), ("*{}", "x{}", "×{}", " {}件", "＊{}")),
)  # fmt: skip
_ENGLISH: Final = _Language(
    ENGLISH_PRODUCTS, ENGLISH_PROCESSES, ENGLISH_POSITIONS, GENERIC_ENGLISH_SHOPS,
    ("paid", "in production", "shipped", "completed", "cancelled"),
    ("sample", "proof", "bulk", "Bulk", "reorder", "wholesale", None),
    TextStyle(("; ", "\n", " | ", ", "), ("*{}", "x{}", " x {}", " x{}", " × {}")),
)  # fmt: skip
_TYPE_WEIGHTS: Final = (20, 15, 30, 15, 5, 2, 13)
_STATUS_WEIGHTS: Final = (12, 10, 13, 60, 5)


def order_chunks(orders: int, seed: int, chunk_size: int, bad_share: float) -> Iterator[pl.DataFrame]:
    """Yield the export (text columns `HEADERS`), some orders at a time, `DUPLICATE_SHARE` of them in two versions."""
    for chunk in chunks(seed, "generic", orders, chunk_size):
        clean = _orders(chunk)
        repeated = _later(clean.filter(chance(chunk.rng, DUPLICATE_SHARE, chunk.size)))
        errors = draw_errors(chunk.rng, tuple(GENERIC_ERRORS), bad_share, chunk.size, each_kind=True)
        yield pl.concat([corrupt(_as_exported(clean), errors, GENERIC_ERRORS), _as_exported(repeated)])


def _orders(chunk: Chunk) -> pl.DataFrame:
    """Draw the first versions of the orders of a chunk, those of Chinese shops first."""
    chinese = chunk.size * 6 // 10
    parts = ((_CHINESE, chunk.start, chinese), (_ENGLISH, chunk.start + chinese, chunk.size - chinese))
    drawn = [_in_language(chunk._replace(start=start, size=size), words) for words, start, size in parts if size]
    return pl.concat(drawn)


def _in_language(chunk: Chunk, words: _Language) -> pl.DataFrame:
    rng, size = chunk.rng, chunk.size
    buyers = returning_buyers(rng, chunk, orders_per_buyer=6.0)
    numbers = np.arange(chunk.start, chunk.start + size, dtype=np.int64)
    order_type = pick(rng, words.order_types, size, _TYPE_WEIGHTS)
    is_small = order_type.is_in((*words.order_types[:2],)).fill_null(value=False).to_numpy()
    most = np.where(is_small, 2, rng.choice(np.array([10, 50, 300]), size=size)).astype(np.int64)
    lines = draw_lines(rng, product_table(words.products), rng.integers(1, 4, size=size), most)
    shops = shop_table(words.shops)[buyers % len(words.shops)]
    names = people.nicknames(buyers) if words is _CHINESE else people.western_names(buyers)
    drawn = pl.DataFrame(
        {
            "order_id": pl.Series(numbers).cast(pl.String).str.zfill(7),
            "customer_name": names,
            "order_status": pick(rng, words.statuses, size, _STATUS_WEIGHTS),
            "later_status": pick(rng, words.statuses[2:], size, (3, 8, 1)),
            "order_type": order_type,
            "ordered": order_seconds(rng, chunk),
            "edited": rng.integers(60, 10 * 86_400, size=size),
            "is_naive": chance(rng, 0.1, size),
            "amount_form": pick(rng, ("plain", "thousands", "sign"), size, (85, 10, 5)),
            "remark": pick(rng, _REMARKS, size),
        }
    )
    named = pl.concat([shops, drawn, order_totals(lines), _items(rng, lines, words, size)], how="horizontal")
    return named.with_columns(
        order_id=pl.col("platform").str.head(2).str.to_uppercase() + "-" + pl.col("order_id"),
        customer_name=_as_typed(rng, pl.col("customer_name"), size),
    )


def _items(rng: np.random.Generator, lines: pl.DataFrame, words: _Language, size: int) -> pl.DataFrame:
    """Items as JSON with their processes, or as free text; then most orders have processes of their own."""
    is_json = pl.lit(chance(rng, 0.6, size))
    as_json = json_items(rng, lines, words.processes, words.positions)
    as_text = free_text_items(rng, lines, words.text_style)
    processes = free_text_processes(rng, size, words.processes, words.positions)
    with_processes = pl.lit(chance(rng, 0.8, size))
    return pl.select(
        items=pl.when(is_json).then(pl.lit(as_json)).otherwise(pl.lit(as_text)),
        processes=pl.when(~is_json & with_processes).then(pl.lit(processes)),
    )


def _as_typed(rng: np.random.Generator, name: pl.Expr, size: int) -> pl.Expr:
    """Leave most names as they are; about a twentieth are missing, masked, full-width, padded or have an emoji."""
    how = pl.lit(pick(rng, ("as is", "missing", "masked", "wide", "blanks", "emoji"), size, (945, 20, 10, 10, 10, 5)))
    return (
        pl.when(how == "missing").then(pl.lit(None, dtype=pl.String))
        .when(how == "masked").then(name.str.head(1) + "**")
        .when(how == "wide").then(wide(name))
        .when(how == "blanks").then("  " + name + " ")
        .when(how == "emoji").then(name + "🌸")
        .otherwise(name)
    )  # fmt: skip


def _later(drawn: pl.DataFrame) -> pl.DataFrame:
    """Return the same orders edited two to four days after the version given, with another status and postage added."""
    return drawn.with_columns(
        order_status=pl.col("later_status"),
        edited=pl.col("edited") + 172_800 + pl.col("ordered") % 172_800,
        cents=pl.col("cents") + 1_000,
    )


def _as_exported(drawn: pl.DataFrame) -> pl.DataFrame:
    return drawn.with_columns(
        amount=_amount(pl.col("cents"), pl.col("amount_form"), pl.col("currency")),
        ordered_at=_time(pl.col("ordered")),
        updated_at=_time(pl.col("ordered") + pl.col("edited")),
        refunded_amount=pl.when(pl.col("edited") % REFUNDED_ONE_IN == 0).then(money(pl.col("cents") // 2)),
    ).select(HEADERS)


def _amount(cents: pl.Expr, form: pl.Expr, currency: pl.Expr) -> pl.Expr:
    plain = money(cents)
    grouped = plain.str.replace(r"(\d)(\d{3}\.)", "${1},${2}").str.replace(r"(\d)(\d{3},)", "${1},${2}")
    sign = currency.replace({"CNY": "¥", "USD": "$", "GBP": "£", "EUR": "€"})
    return pl.when(form == "thousands").then(grouped).when(form == "sign").then(sign + plain).otherwise(plain)


def _time(seconds: pl.Expr) -> pl.Expr:
    """Write the shop's local time with its offset; for some orders UTC without saying so, as naive exports do."""
    zones = [shop.timezone for shop in (*GENERIC_CHINESE_SHOPS, *GENERIC_ENGLISH_SHOPS)]
    with_offset = local_text_by_zone(seconds, pl.col("timezone"), zones, _ISO)
    naive = instants(seconds).dt.to_string(_NAIVE)
    return pl.when("is_naive").then(naive).otherwise(with_offset)
