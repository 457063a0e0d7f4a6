"""One odd cell of each kind, cheaply: a million a minute and more. What is drawn depends on the seed alone."""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from etl_assets_tests.fuzz.known import ESCAPED_KEYS, is_open
from etl_assets_tests.helpers import strategies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

LONGEST: Final = 100_000
"""The longest text, in characters."""
LONGEST_KEY: Final = 2_000
"""The longest text, in bytes, that is sure to fit into an index of PostgreSQL, however little it compresses."""
MOST_LINES: Final = 10_050
"""A little more than an order may have."""

_SPECIAL: Final = list(
    "*:\\\"'=,;|×xX３　\t\n\r\v\f\x85 "
    "\u200b\u200d\u200e\u202e\u2066\u2069\ufeff\ufffd\ufffe\uffff\x00\x01\x1a\x1b\x1c\x7f"
    "é e\u0301\u0345張ßẞİıſKÅﬁ㎏½①٣५۰＠=+-@#$%&<>/[]{}()【】（）、，；：。"
    "\U0001f469\u200d\U0001f680\U000e0041\U0010ffff\u2028\u2029\xa0"
)
_WORDS: Final = (
    "T恤", "帽子", "Mug", "杯子", "白色", "NULL", "null", "None", "nan", "true", "0", "-1", "1e5", "=1+1",
    "=cmd|' /C calc'!A0", "@SUM(A1)", "+49 30", "-2", "'; DROP TABLE orders; --", "\\N", "\\.", "\\x00", "%s", "{}",
    "${x}", "<b>", "&amp;", "_x000D_", "עברית", "العربية", "ภาษาไทย", "हिन्दी", "Straße", "İstanbul", "ΣΊΣΥΦΟΣ", "ﷺ",
    "Å", "a\u0323\u0307", "Ｆｕｌｌ", "👩‍👩‍👧", "🏳️‍🌈",
)  # fmt: skip


@cache
def _alphabet() -> list[str]:
    """A few characters of each category of Unicode that can stand in a text."""
    found: dict[str, list[str]] = {}
    for code in (*range(0x3000), *range(0x3000, 0x20000, 7), *range(0x20000, 0x110000, 997)):
        category = unicodedata.category(chr(code))
        if category not in {"Cs", "Cn"}:
            found.setdefault(category, []).append(chr(code))
    return [char for chars in found.values() for char in chars[:: max(1, len(chars) // 60)]]


class Values:
    """Draws cells. Every text is one that a file can hold: no surrogates."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._roll = random.random
        self._pick = random.choice
        self._identities = cycle((None, "501", None, " 501", None, "501", None, None, None, "501", None, "502", None))

    def text(self, longest: int = 12) -> str:
        """Any text: from all over Unicode, or made of words."""
        roll = self._roll()
        size = int(self._roll() ** 2 * longest) + 1
        if roll < 0.35:
            return "".join(self._random.choices(_alphabet(), k=size))
        if roll < 0.6:
            return "".join(self._random.choices(_SPECIAL, k=size))
        return "".join(self._random.choices(_WORDS, k=1 + size // 6))

    def long_text(self, longest: int = LONGEST) -> str:
        """A very long text: one that compresses, or one that does not."""
        size = int(longest * self._roll()) + 1
        if self._roll() < 0.4:
            piece = self.text()
            return (piece * (size // len(piece) + 1))[:size]
        if self._roll() < 0.5:
            return self._random.randbytes(size // 2).hex()
        return "".join(self._random.choices(_alphabet(), k=size))

    def key(self, names: Sequence[str]) -> str | None:
        """One of a few names in some spelling of it, or another that only looks like it; seldom nothing."""
        roll = self._roll()
        name = self._pick(names)
        if roll < 0.7:
            return name
        if roll < 0.96:
            return self.respelled(name)
        if roll < 0.98:
            return self._pick(strategies.EMPTY)
        if roll > 0.9995:
            return self.long_text()
        return self.text()

    def respelled(self, name: str) -> str:
        """The name in a spelling that cleaning undoes, or as a twin that is another name."""
        return self._pick(_SPELLINGS)(name)

    def customer(self, names: Sequence[str]) -> str | None:
        """A customer's name, now and then none, or masked."""
        if self._roll() < 0.1:
            return self._pick(strategies.NO_CUSTOMERS)
        return self.key(names)

    def identity(self) -> str | None:
        """An id of the platform: mostly none, and rarely another than that of the same number.

        Taken in turn: a draw would change all values after it, and so the rounds that a seed stands for.
        """
        return next(self._identities)

    def remark(self) -> str | None:
        """Anything."""
        roll = self._roll()
        if roll < 0.5:
            return None
        return self.long_text() if roll > 0.9995 else self.text(60)

    def amount(self) -> str | None:
        """An amount of money, good or bad."""
        roll = self._roll()
        if roll < 0.5:
            return f"{self._roll() * 10 ** self._pick((1, 2, 4, 8, 13)):.{self._pick((0, 1, 2, 4, 5, 9))}f}"
        if roll < 0.8:
            return self._pick(_AMOUNTS)
        if roll < 0.9:
            return self.respelled(self._pick(strategies.AMOUNTS))
        if roll < 0.95:
            return f"{self._pick(_SIGNS)}{self._roll() * 1e6:,.2f}{self._pick(_SIGNS)}"
        if roll < 0.96:
            return "1234567890" * self._pick((2, 10, 1000)) + self._pick(("", ".5", "e3"))
        return self._mutated(self._pick(strategies.AMOUNTS)) if roll < 0.99 else self.text()

    def refund(self) -> str | None:
        """An amount that was given back; of most orders none."""
        return self.amount() if self._roll() < 0.3 else None

    def time(self) -> str | None:
        """A moment, good or bad."""
        roll = self._roll()
        if roll < 0.12:
            return self._pick(strategies.NO_TIMESTAMPS)
        if roll < 0.16:
            return self._pick(strategies.BAD_TIMESTAMPS)
        if roll < 0.5:
            below = self._random.randrange
            date = f"{self._pick((1969, 1970, 1986, 1999, 2024, 2026, 2038))}-{1 + below(12):02}-{1 + below(28):02}"
            return f"{date} {below(24):02}:{below(60):02}:{below(60):02}"
        text = self._pick(_DATES) + self._pick(_BETWEEN) + self._pick(_TIMES) + self._pick(_OFFSETS)
        if roll < 0.6:
            return self.respelled(text)
        return self._mutated(text) if roll < 0.62 else text

    def status(self) -> str | None:
        """A status of an order."""
        return self._pick(strategies.STATUSES) if self._roll() < 0.9 else self.text()

    def currency(self) -> str | None:
        """A currency."""
        return self._pick(strategies.CURRENCIES) if self._roll() < 0.97 else self.text()

    def items(self) -> str | None:
        """The items of an order: JSON of any shape, free text, or anything."""
        roll = self._roll()
        if roll < 0.1:
            return self._pick(strategies.EMPTY)
        if roll < 0.45:
            return json.dumps(self._lines(), ensure_ascii=self._roll() < 0.2, separators=self._pick(_MARKS))
        if roll < 0.6:
            return self.json()
        if roll < 0.95:
            return self._free_text(_ITEM_PIECES)
        return self.long_text() if roll > 0.9995 else self.text(40)

    def processes(self) -> str | None:
        """The processes of an order."""
        roll = self._roll()
        if roll < 0.6:
            return None
        if roll < 0.7:
            return json.dumps([self._process() for _ in range(self._random.randrange(4))], ensure_ascii=False)
        if roll < 0.75:
            return self.json()
        if roll < 0.97:
            return self._free_text(_PROCESS_PIECES)
        return self.long_text() if roll > 0.9995 else self.text(40)

    def quantity(self) -> Any:
        """A quantity, as JSON or as text."""
        return self._pick(_QUANTITIES)

    def price(self) -> Any:
        """A price, as JSON or as text."""
        return self._pick(_PRICES) if self._roll() < 0.6 else self.amount()

    def json(self) -> str:
        """JSON of any shape, written in any way, and sometimes not quite JSON."""
        text = self._written(self._shape())
        roll = self._roll()
        if roll < 0.1:
            return self._mutated(text)
        return text[: self._random.randrange(len(text))] if roll < 0.13 and text else text

    def _shape(self) -> Any:
        roll = self._roll()
        if roll < 0.6:
            return [self._odd_line() for _ in range(self._random.randrange(5))]
        if roll < 0.65:
            return [self._nested(self._random.randrange(1, 60))]
        if roll < 0.66:
            return self._nested(self._pick((100, 500, 2_000)))
        if roll < 0.68:
            return [{f"key {number}": number for number in range(self._random.randrange(200))} | {"name": "wide"}]
        if roll < 0.682:
            return [{"name": "a", "quantity": 1}] * self._random.randrange(MOST_LINES)
        return self._pick(_ODD_SHAPES)

    def _odd_line(self) -> Any:
        pairs = []
        for key in self._random.sample(_KEYS, k=self._random.randrange(1, 8)):
            value: Any = self._pick(_ODD_JSON) if self._roll() < 0.3 else self._usual(key)
            pairs.append((key, value))
            if self._roll() < 0.05:
                pairs.append((key, self._pick(_ODD_JSON)))
        return _Pairs(pairs)

    def _usual(self, key: str) -> Any:
        match key:
            case "quantity" | "pictures":
                return self.quantity()
            case "unit_price":
                return self.price()
            case "processes":
                return [self._process() for _ in range(self._random.randrange(3))] if self._roll() < 0.8 else "烫画x2"
            case _:
                return self.text() if self._roll() < 0.4 else self._pick(_NAMES)

    def _lines(self) -> list[dict[str, Any]]:
        return [
            {"name": self._pick(_NAMES)}
            | {
                key: self._usual(key)
                for key in ("variant", "sku", "quantity", "unit_price", "processes")
                if self._roll() < 0.6
            }
            for _ in range(self._random.randrange(5))
        ]

    def _process(self) -> dict[str, Any]:
        keys = [key for key in ("process", "position", "pictures") if self._roll() < 0.85]
        return {key: self._usual(key) for key in keys}

    def _nested(self, depth: int) -> Any:
        inner = self._written(self._pick(_ODD_JSON))
        before, after = self._pick((("[", "]"), ('{"name":', "}"), ('{"z":[', "]}")))
        return _Bare(before * depth + inner + after * depth)

    def _written(self, value: Any) -> str:
        """JSON text with blanks, escapes and numbers of any kind."""
        match value:
            case _Pairs():
                return (
                    "{"
                    + ",".join(f"{self._key(key)}{self._pick(_COLONS)}{self._written(item)}" for key, item in value)
                    + "}"
                )
            case dict():
                return "{" + ",".join(f"{self._key(key)}:{self._written(item)}" for key, item in value.items()) + "}"
            case list():
                return "[" + self._pick((",", " , ", ",\n")).join(map(self._written, value)) + "]"
            case _Bare():
                return str(value)
            case str():
                return self._string(value)
            case _:
                return json.dumps(value)

    def _key(self, text: str) -> str:
        return json.dumps(text) if is_open(ESCAPED_KEYS) and text.isascii() else self._string(text)

    def _string(self, text: str) -> str:
        if self._roll() < 0.05:
            return '"' + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in text) + '"'
        return json.dumps(text, ensure_ascii=self._roll() < 0.3)

    def _free_text(self, pieces: Sequence[str]) -> str:
        return "".join(self._random.choices(pieces, k=1 + int(self._roll() ** 2 * 14)))

    def _mutated(self, text: str) -> str:
        at = self._random.randrange(len(text) + 1)
        return text[:at] + self._pick(_SPECIAL) + text[at + self._random.randrange(2) :]


class _Pairs(list[tuple[str, Any]]):
    """An object with its keys in any order, some of them twice."""


class _Bare(str):
    """JSON text that stands as it is."""

    __slots__ = ()


_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (
    lambda name: f" {name}\t",
    lambda name: f"{name}\u3000",
    lambda name: f"{name} ",
    lambda name: f'="{name}"',
    lambda name: f"'{name}",
    lambda name: name.translate(_FULL_WIDTH),
    lambda name: unicodedata.normalize("NFD", name),
    str.upper,
    str.lower,
    str.swapcase,
    lambda name: f"\u200b{name}",
    lambda name: f"{name}\ufeff",
    lambda name: f"\x1c{name}",
    lambda name: f"{name}\x00",
    lambda name: f'"{name}"',
    lambda name: f"{name[:1]}\u0301{name[1:]}",
    lambda name: name * 2,
)
_SIGNS: Final = ("", "", "¥", "￥", "$", "US$", "€", " EUR", "元", "CNY ", "kr", "-", "+", "(", ")", "%")
_AMOUNTS: Final = (
    *strategies.AMOUNTS, *strategies.BAD_AMOUNTS, *strategies.EMPTY, "Infinity", "-inf", "sNaN", "1e400", "1E-7",
    "0e0", "1_000", "99999999999999.99994999", "99999999999999.99995", "-99999999999999.99995", "1" * 15, "9" * 39,
    "0" * 40 + "1", "-0", "+0.00", "1,000,000,000,000.0001", "1.000.000,5", "1 000,50", "1\u202f000,50", "1'000.50",
    "0,5", "0.5.", "..5", "۱۲۳", "１２３．４", "−5", "5-", "5 ¥ ¥", "¥¥5", "USD5USD", "$ - 5", "-¥ 5",
    "12.345.678,90123", "0x1F", "1/2", "½", "5\n", "5\x00", "\ufeff5", "5\u200b",
)  # fmt: skip
_DATES: Final = (
    "2016-12-31", "2024-05-13", "2024/05/13", "2024/3/1", "2024-3-10", "2024-03-10", "2024-11-03", "2024-03-31",
    "2024-10-27", "1986-05-04", "1991-09-15", "0001-01-01", "0000-01-01", "0000-00-00", "9999-12-31", "10000-01-01",
    "+12024-01-01", "-2024-01-01", "2024-02-29", "2023-02-29", "2024-02-30", "2024-13-01", "2024-00-10",
    "1969-12-31", "1970-01-01", "2038-01-19", "24-01-01", "13.05.2024", "05/13/2024", "13/05/2024", "2024年05月13日",
    "２０２４-05-13", "٢٠٢٤-05-13", "20240513", "2024-W20-1", "May 13 2024", "1715598072",
)  # fmt: skip
_BETWEEN: Final = (" ", " ", " ", " ", "T", "t", "  ", "\t", "\u3000", "", "_")
_TIMES: Final = (
    "00:00:00", "23:59:59", "23:59:60", "11:01:60", "23:59:61", "24:00:00", "24:00", "02:30:00", "01:30", "1:2:3",
    "01:59:59.999999", "12:00:00.1", "12:00:00.1234567", "23:59:59.9999999", "12:00:00.999999999999", "12:34:60.5",
    "12:00:00.", "12:00:00,5", "11", "12:60", "12", "", "", "11:01", "00:00:00.0000001", "23：59：59", "11:01 PM",
    "11:01:12 PM", "12:30:00 am", "1:02:03AM", "0:30:00 PM", "13:00:00 PM", "11:59:60 下午", "12:00:00 p. m.",
)  # fmt: skip
_OFFSETS: Final = (
    "", "", "", "", "Z", "z", "+0000", "+02:00", " +0200", "-0500", " -05:00", "+05:45", "-00:30", "+14:00", "-12:00",
    "+23:59", "+24:00", "+02:75", "+2", "+02", "−05:00", " UTC", " CST", "[Asia/Shanghai]",
)  # fmt: skip
_QUANTITIES: Final = (
    1, 2, 3, "3", "-1", 0, None, "２", 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, str(2**31 - 1), "2147483648", 10**30,
    "3.0", 3.5, "3件", "x", True, False, "", " 4 ", "+5", "1e3", "007", "99999999999999.9999", '="6"', 65536, 46341,
    "٣",
)  # fmt: skip
_PRICES: Final = (
    None, 0, 12, 9.9, 1.23456, "9.90", "¥1,000.00", "99999999999999.9999", "-99999999999999.9999",
    "99999999999999.99995", 99999999999999, 100000000000000, 1e15, "1e5", "", " ", "free", True, "0.00005",
    "1.234,50",
)  # fmt: skip
_NAMES: Final = ("T恤", "Mug", "a:b;c*3", "帽子×2", "杯子", "", " ", "*", "Ｍｕｇ", "Mug - Blue", "null")
_KEYS: Final = (
    "name", "variant", "sku", "quantity", "unit_price", "processes", "extra", "1", "", "Name", "process", "position",
    "pictures", 'a"b', "é",
)  # fmt: skip
_MARKS: Final = ((",", ":"), (", ", ": "), (" ,", " :"))
_COLONS: Final = (":", " : ", ":\t")
_ODD_NUMBERS: Final = (
    "1e5", "1E400", "-1e-400", "0.1e1", "-0", "1.0", "100000000000000000000000000000.5", "0.00000000000000000001",
    "NaN", "Infinity", "01", "1.", ".5", "+1", "tru", "'a'", '"\\x41"', '"\\u12"', '"\\ud800"', '"\\ud83d\\ude00"',
    '"\t"', "",
)  # fmt: skip
"""And what else is not quite JSON."""
_ODD_JSON: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, "", "a\x00b", "\x00", "\x1f", "é",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), [], {}, [[]], [1], {"a": 1}, "null", "[]",
    "{}", '"', "\\", "\\u0000", 2**31, 2**63, 10**20, 1.5, -0.0,
    *map(_Bare, _ODD_NUMBERS),
)  # fmt: skip
_ODD_SHAPES: Final[tuple[Any, ...]] = (
    [], {}, [[]], [{}], [None], [1, 2], "text", 5, None, True, [{"name": "a"}, None],
    [{"name": "a"}, [{"name": "b"}]], {"name": "a"}, {"items": [{"name": "a"}]}, [{"name": ["a"]}],
    [{"name": "a", "z": {"k": 1}}], [{"name": "a", "processes": {}}], [{"name": "a", "processes": [None]}],
    [{"name": "a", "processes": [[]]}], [{"name": "a", "processes": 5}],
    [{"name": "a", "processes": [{"process": "b", "pictures": -1}]}],
    [{"name": "a", "processes": '[{"process":"b"}]'}],
    [{"name": "a", "quantity": 2**31 - 1}, {"name": "b", "quantity": 1}],
    [{"name": "a", "quantity": 2**31 - 1, "processes": [{"process": "b", "pictures": 2**31 - 1}]}],
)  # fmt: skip
_ITEM_PIECES: Final = (
    *strategies.ITEM_TEXTS, "T恤", "Mug", "杯子", "*3", "x3", "X 2", "×3", " x ", "3件", "2 pcs", "*-1", "2x ",
    "2 x Mug", "(", ")", "[", "]", "【", "】", "（白色）", "(White / L)", ";", "；", ",", "，", "、", "|", "\n",
    "\r\n", " ", "　", "颜色分类:白色", "尺码：L", ":", "@", "@9.90", "¥12.5", "US$1,250.50", "€5", "元", "10*15",
    "iPhone15", " - ", "+", "-", "=", "99999999999", "2147483647", "*2147483648", "\u200b", "\x00", "×", "*", "件",
    "é", "👕",
)  # fmt: skip
_PROCESS_PIECES: Final = (
    *strategies.PROCESS_TEXTS, "刺绣", "烫画", "print", ":", "@", "左胸", "(", ")", "（胸口）", "【", "】", "[", "]",
    "*2", "x2", "×3", "2张", " 2 处", "*-1", "+", ";", ",", "、", "|", "\n", " ", "2147483648", "张", "3次", "\x00",
)  # fmt: skip
