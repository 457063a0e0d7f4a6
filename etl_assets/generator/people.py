"""Names, addresses and phones of invented buyers, by their number: the same number gives the same buyer.

All of it is fictional; phones and domains are of ranges reserved for that.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from etl_assets.generator.random_columns import Indices, at

_GIVEN: Final = (
    "Anna", "Ben", "Clara", "David", "Elif", "Fatima", "George", "Hannah", "Ivan", "Jürgen", "Karin", "Liam", "Mia",
    "Noah", "Olga", "Pedro", "Quentin", "Rosa", "Søren", "Tom", "Uma", "Vera", "Will", "Xenia", "Yusuf", "Zoë",
)  # fmt: skip
_FAMILY: Final = (
    "Keller", "Smith", "O'Brien", "García", "Novak", "Martin", "Rossi", "Jensen", "Müller", "Brown", "Dubois", "Weber",
    "Lopez", "Clark", "Meier", "Silva", "Hughes", "Larsen", "Schmid", "Young", "Fischer", "Evans", "Moreau",
)  # fmt: skip
_NICKNAMES: Final = (
    "小鱼儿", "柠檬不酸", "老街的猫", "北方有雪", "阿杰工作室", "晴天小店", "半夏微凉", "木子先生", "团子妈妈",
    "山里的风", "初三二班班长", "橙子汽水", "青岛老王", "云上书房", "麦田守望", "叮当猫", "一只羊", "河边的树",
    "tb_happy", "龙哥广告",
)  # fmt: skip
_CHINESE_FAMILY: Final = ("王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙")
_CHINESE_GIVEN: Final = (
    "伟", "芳", "娜", "敏", "静", "磊", "洋", "艳", "勇", "杰", "雨桐", "子轩", "欣怡", "浩然", "梓涵", "建国", "晓明",
)  # fmt: skip
_TOWNS: Final = (
    "浙江省 杭州市 西湖区 文三路", "广东省 深圳市 南山区 科技园路", "江苏省 苏州市 姑苏区 平江路",
    "四川省 成都市 武侯区 人民南路", "山东省 青岛市 市南区 香港中路",
    "北京 北京市 朝阳区 建国路", "上海 上海市 徐汇区 漕溪北路",
)  # fmt: skip


def western_names(buyers: Indices) -> pl.Series:
    """Return names such as ``Clara Keller``, numbered (``Clara Keller 2``) once all pairs are used; one per buyer."""
    pairs = len(_GIVEN) * len(_FAMILY)
    parts = pl.DataFrame(
        {
            "given": at(_GIVEN, buyers % len(_GIVEN)),
            "family": at(_FAMILY, buyers // len(_GIVEN) % len(_FAMILY)),
            "number": buyers // pairs,
        }
    )
    number = pl.when(pl.col("number") > 0).then(pl.format(" {}", pl.col("number") + 1)).otherwise(pl.lit(""))
    return parts.select(pl.concat_str("given", pl.lit(" "), "family", number)).to_series()


def emails(buyers: Indices) -> pl.Series:
    """Return an address under the reserved domain ``example.com``, one per buyer."""
    local = western_names(buyers).str.to_lowercase().str.replace_all(r"[^a-z0-9]+", ".")
    return local + "@example.com"


def nicknames(buyers: Indices) -> pl.Series:
    """Return marketplace names such as ``柠檬不酸`` or ``老街的猫3``; one per buyer."""
    parts = pl.DataFrame({"base": at(_NICKNAMES, buyers % len(_NICKNAMES)), "number": buyers // len(_NICKNAMES)})
    number = pl.when(pl.col("number") > 0).then(pl.col("number").cast(pl.String)).otherwise(pl.lit(""))
    return parts.select(pl.concat_str("base", number)).to_series()


def receivers(buyers: Indices) -> pl.Series:
    """Return Chinese receiver names; several buyers may share one."""
    return at(_CHINESE_FAMILY, buyers % len(_CHINESE_FAMILY)) + at(_CHINESE_GIVEN, buyers * 7 % len(_CHINESE_GIVEN))


def chinese_addresses(buyers: Indices) -> pl.Series:
    """Return delivery addresses in real towns with invented house numbers."""
    parts = pl.DataFrame({"town": at(_TOWNS, buyers % len(_TOWNS)), "number": buyers * 37 % 998 + 1})
    return parts.select(pl.format("{}{}号", "town", "number")).to_series()


def chinese_phones(buyers: Indices) -> pl.Series:
    """Return numbers of eleven digits, of a range (``100…``) that no operator gives out."""
    numbers = pl.Series(10_000_000_000 + buyers.astype(np.int64) * 7_919 % 99_999_999)
    return numbers.cast(pl.String)


def western_phones(buyers: Indices) -> pl.Series:
    """Return numbers such as ``+1 555 0100042``, which are reserved for fiction."""
    numbers = pl.Series(buyers.astype(np.int64) * 7 % 9_999).cast(pl.String).str.zfill(4)
    return "+1 555 010" + numbers
