"""Hypothesis strategies for raw orders: realistic, hostile, and with so few names that they collide.

`raw_field_lists` makes the rows of a whole history, `split_into_imports` cuts such a list into imports and
`number_rows` gives them the identities that the store would. Examples shrink towards good rows.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from etl_assets.presets.model import RAW_COLUMNS, Preset
from etl_assets.values.numbers import NumberFormat
from etl_assets_tests.helpers.oracle import RawRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

RawFields = dict[str, str | None]
"""Text columns of a raw row, and `defect`."""


@dataclass(frozen=True)
class Cast:
    """Few names that the rows of one history share, so that rows collide."""

    platforms: tuple[str, ...]
    shops: tuple[str, ...]
    order_ids: tuple[str, ...]
    customers: tuple[str, ...]


CANCELLED_STATUSES: Final = ("交易关闭", "Cancelled", "ＶＯＩＤ")
ORDER_TYPE_MAPPINGS: Final = {
    "样品": "SAMPLE",
    "sample": "SAMPLE",
    "打样": "PROOF",
    "proof:first": "PROOF",
    "大货": "BULK",
    "straße": "SAMPLE",
}
"""Content of `order_type_mappings` in the tests: lower-cased raw type → system type."""

# The same name in several spellings, and different names that look or join alike.
PLATFORMS: Final = ("taobao", "shopify", " taobao ", "ｔａｏｂａｏ", "Taobao", "t:b")
SHOPS: Final = ("花间定制", "A", "A:b", "Ａ：ｂ", " 花间定制\t", "A\\", "A\\:b", 'It\'s "our" 👕 shop, 店', "a")
ORDER_IDS: Final = (
    "1001", "1002", "1003", '="1001"', "'1001", "１００１", "1001\t", "#1001", "10", "９", "A:1\\", "订单①", "É",
    "E\u0301", "0", "😀", "\uffed1", "1.23E+17", "12E5",
)  # fmt: skip
IDENTITIES: Final = ("501", "501", "502", " 501", "５０２", "")
CUSTOMERS: Final = (
    "张三", "Alice", "李四", "Ａｌｉｃｅ", " 张三\u3000", "alice", "b:c", "c", "\\", "a\\:b", 'O\'Brien "Bob"', "Zoë",
    "Zoe\u0308", "🧵👩‍👩‍👧", '="张三"', "13800000000", "'13800000000", "NULL", "a\tb", "line\nbreak", "\u200b",
    "Kim@x.com", "kim@X.com", "ＫＩＭ＠x.com", "Kim @x.com", "Kim@home", "ÉVA@x.com",
)  # fmt: skip
NO_CUSTOMERS: Final = (None, "", "张**", "*", "a＊b", " \u3000 ", '=""')
EMPTY: Final = (None, "", "   ", "\u3000", '=""', "\n\t", '="  "')
LONG: Final = ("長" * 867, "L" * 2601, "L" * 2600, "Ｌ" * 870)
"""Keys that are too long for an index, or, raw or cleaned, just short enough."""
STATUSES: Final = (
    "交易成功", "paid", "交易关闭", " 交易关闭 ", "CANCELLED", "ｃａｎｃｅｌｌｅｄ", "void", "cancelled?", None, "",
)  # fmt: skip
ORDER_TYPES: Final = (
    "大货", "样品", " 样品 ", "SAMPLE", "Ｓａｍｐｌｅ", "打样", "Proof:First", "STRASSE", "Straße", "未知", "sample ",
    None, "",
)  # fmt: skip
CURRENCIES: Final = (
    "CNY", "cny", " USD", "EUR", "ＣＮＹ", None, "", "¥", "￥", "€", "$", "us$", "kr.", "RMB", "人民币",
    "bitcoin", "zł",
)  # fmt: skip
AMOUNTS: Final = (
    "12.50", "0", "1,234.50", "¥99", "￥１２３．４５", "100 元", "-5.5", "+5", "US$1,000", "usd 7", "CNY 8.88", "$-3",
    "-$3", ".5", "5.", "0.00005", "0.00015", "0.00025", "1.99995", "1.99985", "-0.00004", "1234567.89", "1.234,50",
    "99,9", "99,95", "1.234", "1,234", "12,345,678", '="12.50"', "'12.50", "\t12.50 ", "000012.5",
    "99999999999999.9999", "-99999999999999.9999", "0.111111111111111111111111111111111111111111111111", "€ 5 €",
)  # fmt: skip
BAD_AMOUNTS: Final = (
    "abc", "1,2", "1,23,456", "1.2.3", "--5", "- 5", "1e5", "1.2E+17", "100000000000000", "99999999999999.99995",
    "12 34", "NaN", "inf", "¥", "-", ".", "5%", "(5.00)", "٣", "1٬000", "5;DROP", "0x10", "$$5", "１２a", ",5",
    "１１１１１１１１１１１１１１１１１１１１１１１１", "5\x1c", "½",
)  # fmt: skip

_DAY: Final = datetime(2024, 5, 13, 11, 1, 12)  # noqa: DTZ001 - naive on purpose, as are all below
MOMENTS: Final = (
    _DAY,
    _DAY + timedelta(seconds=1),
    _DAY - timedelta(days=1),
    _DAY + timedelta(hours=8),
    _DAY + timedelta(microseconds=120_000),
    datetime(2024, 3, 10, 2, 30),  # noqa: DTZ001 - skipped in New York
    datetime(2024, 3, 10, 3, 30),  # noqa: DTZ001 - the same moment there
    datetime(2024, 11, 3, 1, 30),  # noqa: DTZ001 - twice in New York
    datetime(2024, 3, 31, 1, 0),  # noqa: DTZ001 - skipped in London
    datetime(2024, 10, 27, 1, 59, 59, 999_999),  # noqa: DTZ001 - twice in London
    datetime(1986, 5, 4, 2, 30),  # noqa: DTZ001 - skipped in Shanghai
    datetime(1991, 9, 15, 1, 30),  # noqa: DTZ001 - twice in Shanghai
    datetime(1970, 1, 1),  # noqa: DTZ001
    datetime(2024, 2, 29, 23, 59, 59),  # noqa: DTZ001
    datetime(9999, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001 - beyond the year 9999 west of Greenwich
    datetime(1, 1, 1),  # noqa: DTZ001 - before the year 1 east of it
)
"""Wall clock times. None lies in a summer after 2099: time zone libraries differ on daylight saving time then."""
TIMESTAMP_SPELLINGS: Final = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M", '="%Y-%m-%d %H:%M:%S"', " %Y-%m-%d %H:%M:%S\t", "%Y-%m-%d %H：%M：%S",
)  # fmt: skip
PRESETS_SPELLINGS: Final = ("%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%Y年%m月%d日 %H:%M")
"""Read only where the preset has this format."""
OFFSETS: Final = ("", "Z", "+0200", " +0200", "+02:00", " -0500", "-05:00", "+05:45", "+0000", "-00:00", "+14:00")
NO_TIMESTAMPS: Final = (*EMPTY, "0000-00-00", "0000-00-00 00:00:00")
BAD_TIMESTAMPS: Final = (
    "yesterday", "2023-02-29 10:00:00", "2024-13-01", "2024-05-13 25:00:00", "2024-05-13 10:61", "20240513",
    "1715598072", "45425.459", "2024-05-13 11:01:12 CST", "2024-05-13 11", "0000-01-01 00:00:00",
    "10000-01-01 00:00:00", "-2024-05-13", "2024-05-13 11:01:12+25:00", "2024-05/13 10:00",
    "2024-05-13 11:01:12 tomorrow", "２０２４", "2024-05-13 11:01:12+02:75", "2024-05-13T", "2024-04-31",
    "٢٠٢٤-05-13",
)  # fmt: skip

ITEM_TEXTS: Final = (
    "印花T恤 白色 XL*3", "T恤x3;帽子×2", "马克杯 3件", "钥匙扣（颜色分类:白色;尺码:L）*2", "Ｔ恤＊３，帽子×１",
    "单品", "Mug - Red / L x 2",
)  # fmt: skip
BAD_ITEM_TEXTS: Final = (
    "[", "{}", "[1, 2]", '[{"quantity": 1}]', '[{"name": "a", "quantity": "many"}]', "*3", ";;;", "[null]",
    '{"name": "a"}', '"a"',
)  # fmt: skip
PROCESS_TEXTS: Final = (
    "刺绣:左胸:2", "烫画", '[{"process": "embroidery", "position": "chest", "pictures": 2}]',
    "印花:后背:1;刺绣:左胸:3", "[]",
)  # fmt: skip
BAD_PROCESS_TEXTS: Final = (
    "[", '[{"pictures": 2}]', '[{"process": "a", "pictures": "x"}]', "[3]", "::", "{}", ";;",
)  # fmt: skip


def _rarely(
    rare: SearchStrategy[str | None], usual: SearchStrategy[str | None], *, one_in: int
) -> SearchStrategy[str | None]:
    """Mix rare values into usual ones; shrinks to the usual."""
    # A roll in the middle: the ends of a range are drawn more often than their share.
    return st.integers(0, one_in - 1).flatmap(lambda roll: rare if roll == one_in // 2 else usual)


def any_text(*, max_size: int = 12) -> SearchStrategy[str]:
    """Draw text that can be stored (no NUL, no surrogates), from all of Unicode, often with special characters."""
    special = st.sampled_from("*:\\\"'=,;×xX３　\t\n\u200b\ufeff*é張 ")
    anything = st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\x00")
    return st.text(special | anything, max_size=max_size)


def respelled(names: Sequence[str]) -> SearchStrategy[str]:
    """Draw one of the names, sometimes in a spelling that cleaning undoes (for almost any name)."""
    full_width = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    spellings: list[Callable[[str], str]] = [
        lambda name: name,
        lambda name: name,
        lambda name: f" {name}\t",
        lambda name: f'="{name}"',
        lambda name: f"\u3000{name.translate(full_width)}",
    ]
    return st.builds(lambda spell, name: spell(name), st.sampled_from(spellings), st.sampled_from(names))


def amounts() -> SearchStrategy[str | None]:
    """Draw amounts in many spellings; some are valid in certain number formats only."""
    plain = st.decimals(-99999, 99999, places=2).map(str)
    grouped = st.decimals(-9_999_999, 9_999_999, places=3).map(lambda amount: f"{amount:,}")
    good = st.one_of(st.integers(-9, 9999).map(str), st.sampled_from(AMOUNTS), plain, grouped, st.sampled_from(EMPTY))
    return _rarely(st.sampled_from(BAD_AMOUNTS) | any_text(max_size=6), good, one_in=16)


@st.composite
def _spelled_moments(draw: DrawFn) -> str:
    moment = draw(st.sampled_from(MOMENTS))
    spelling = draw(_rarely(st.sampled_from(PRESETS_SPELLINGS), st.sampled_from(TIMESTAMP_SPELLINGS), one_in=9)) or ""
    # Not by strftime: it pads years differently from system to system.
    for directive, value in (("%Y", f"{moment.year:04}"), ("%f", f"{moment.microsecond:06}"), *_two_digits(moment)):
        spelling = spelling.replace(directive, value)
    has_time_at_end = ":" in spelling and spelling[-1].isdigit()
    return spelling + (draw(st.sampled_from(OFFSETS)) if has_time_at_end else "")


def _two_digits(moment: datetime) -> list[tuple[str, str]]:
    parts = {"%m": moment.month, "%d": moment.day, "%H": moment.hour, "%M": moment.minute, "%S": moment.second}
    return [(directive, f"{value:02}") for directive, value in parts.items()]


def timestamps() -> SearchStrategy[str | None]:
    """Draw timestamps in many spellings, around daylight saving changes and at the ends of the calendar; garbage."""
    good = _spelled_moments()
    fixed = st.just("2024-05-13 11:01:12")
    usual = st.one_of(st.sampled_from(NO_TIMESTAMPS), fixed, good, good)
    return _rarely(st.sampled_from(BAD_TIMESTAMPS) | any_text(max_size=10), usual, one_in=25)


def items() -> SearchStrategy[str | None]:
    """Write an order's items as JSON or free text, mostly good."""
    process = st.fixed_dictionaries(
        {"process": st.sampled_from(["刺绣", "print"])},
        optional={"position": st.sampled_from(["左胸", "back", None]), "pictures": st.sampled_from([1, "2", 0, None])},
    )
    item = st.fixed_dictionaries(
        {"name": st.sampled_from(["T恤", "Mug", "a:b;c*3", "帽子×2"])},
        optional={
            "variant": st.sampled_from(["白色 / L", "颜色分类:白色;尺码:L", None]),
            "sku": st.sampled_from(["SKU-1", '="0012"', None]),
            "quantity": st.sampled_from([1, 2, "3", "-1", 0, None, "２"]),
            "unit_price": st.sampled_from(["9.90", 12, "¥1,000.00", None]),
            "processes": st.lists(process, max_size=2),
            "personalisation": st.sampled_from(["Ａnna ① & 'Bob'", " two\nlines; *3 ", '"', 7, "", None]),
        },
    )
    as_json = st.lists(item, max_size=3).map(lambda lines: json.dumps(lines, ensure_ascii=False))
    good = st.one_of(st.sampled_from(EMPTY), as_json, st.sampled_from(ITEM_TEXTS))
    return _rarely(st.sampled_from(BAD_ITEM_TEXTS) | any_text(), good, one_in=8)


def processes() -> SearchStrategy[str | None]:
    """Write the processes of a whole order, mostly none."""
    good = st.sampled_from(EMPTY) | st.sampled_from(PROCESS_TEXTS)
    return _rarely(st.sampled_from(BAD_PROCESS_TEXTS) | any_text(), good, one_in=10)


@st.composite
def raw_fields(draw: DrawFn, cast: Cast) -> RawFields:
    """Make the text columns of one raw row, and its `defect`: `BAD_TEXT` where the source held a NUL, else None."""
    empty = st.sampled_from((*EMPTY, *LONG))
    columns: dict[str, SearchStrategy[str | None]] = {
        "platform": _rarely(empty, respelled(cast.platforms), one_in=60),
        "shop": _rarely(empty, respelled(cast.shops), one_in=60),
        "order_id": _rarely(empty, respelled(cast.order_ids), one_in=40),
        "customer_name": _rarely(st.sampled_from(NO_CUSTOMERS), respelled(cast.customers), one_in=8),
        "order_status": _rarely(any_text(), st.sampled_from(STATUSES), one_in=15),
        "order_type": _rarely(st.sampled_from(LONG), st.sampled_from(ORDER_TYPES), one_in=40),
        "amount": amounts(),
        "currency": st.sampled_from(CURRENCIES[:2]) | st.sampled_from(CURRENCIES),
        "ordered_at": timestamps(),
        "updated_at": timestamps(),
        "items": items(),
        "processes": processes(),
        "remark": _rarely(any_text(), st.none(), one_in=5),
        "platform_order_id": _rarely(st.sampled_from(IDENTITIES), st.none(), one_in=4),
        "refunded_amount": _rarely(amounts(), st.none(), one_in=4),
    }
    fields: RawFields = {column: draw(columns[column]) for column in RAW_COLUMNS}
    fields["defect"] = None
    torn = draw(_rarely(st.sampled_from(("remark", "customer_name", "order_id", "items")), st.none(), one_in=30))
    if torn:
        fields |= {torn: f"{fields[torn] or ''}\ufffd", "defect": "BAD_TEXT"}
    return fields


@st.composite
def casts(draw: DrawFn) -> Cast:
    """Choose the few names of one history."""

    def some(names: Sequence[str], at_most: int) -> tuple[str, ...]:
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=at_most, unique=True))
        return (chosen[0], chosen[0], *chosen)  # a favourite, so that orders and customers meet again

    customers = some(CUSTOMERS, 2) + tuple(draw(st.lists(any_text(), max_size=1)))
    return Cast(some(PLATFORMS, 2), some(SHOPS, 2), some(ORDER_IDS, 8), customers)


@st.composite
def raw_field_lists(draw: DrawFn, *, max_size: int = 25) -> list[RawFields]:
    """Make the rows of a whole history, in the order of their raw_id. Many are versions of the same few orders."""
    cast = draw(casts())
    min_size = draw(st.sampled_from((0, 1, max_size // 4, max_size // 2)))
    return draw(st.lists(raw_fields(cast), min_size=min_size, max_size=max_size))


@st.composite
def split_into_imports(draw: DrawFn, rows: Sequence[RawFields]) -> list[list[RawFields]]:
    """Cut the rows into consecutive imports, of which some may be empty; joined again they are the same list."""
    cuts = draw(st.lists(st.integers(0, len(rows)), max_size=5).map(sorted))
    return [list(rows[start:end]) for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def number_rows(
    imports: Sequence[Sequence[RawFields]], *, first_raw_id: int = 1, holds: Sequence[str] = ()
) -> list[RawRow]:
    """Give the rows of the imports the identities they get in a store that lands these imports one after another.

    `holds` says of each import which part of its orders it brings (without, all bring orders).
    """
    rows: list[RawRow] = []
    for number, rows_of_import in enumerate(imports):
        import_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"import-{number}"))
        for row_no, fields in enumerate(rows_of_import, start=1):
            part = holds[number] if holds else None
            raw_id = first_raw_id + len(rows)
            rows.append(RawRow(raw_id=raw_id, import_id=import_id, row_no=row_no, holds=part, **fields))
    return rows


def presets() -> SearchStrategy[Preset]:
    """Draw export formats that differ in time zone, timestamp formats and notation of numbers."""
    continental = NumberFormat(decimal=",", thousands=".")
    symbols = {"￥": "JPY", "Kr": "DKK"}
    return st.sampled_from(
        [
            _preset("chinese", timezone="Asia/Shanghai", timestamp_formats=("%Y年%m月%d日 %H:%M",)),
            _preset("american", timezone="America/New_York", timestamp_formats=("%m/%d/%Y %H:%M:%S", "%d.%m.%Y %H:%M")),
            _preset(
                "british",
                timezone="Europe/London",
                numbers=NumberFormat(thousands=""),
                symbols=symbols,
            ),
            _preset("continental", timezone="UTC", timestamp_formats=("%d.%m.%Y %H:%M",), numbers=continental),
        ]
    )


def _preset(
    name: str,
    *,
    timezone: str,
    timestamp_formats: tuple[str, ...] = (),
    numbers: NumberFormat | None = None,
    symbols: Mapping[str, str] | None = None,
) -> Preset:
    columns = {column: column for column in RAW_COLUMNS}
    return Preset.model_validate(
        {
            "name": name,
            "columns": columns,
            "timezone": timezone,
            "timestamp_formats": timestamp_formats,
            "numbers": numbers or NumberFormat(),
            "currency_symbols": symbols or {},
            "cancelled_statuses": CANCELLED_STATUSES,
        }
    )
