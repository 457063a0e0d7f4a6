"""What is imported in one round: a few files of odd rows in one layout, with good rows among them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from etl_assets_tests.fuzz.files import FRAME, MOST_ROWS, WRITERS
from etl_assets_tests.fuzz.layouts import GOOD, LAYOUTS, Cast, Layout, Row
from etl_assets_tests.fuzz.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD_NAME: Final = "nachbar "
"""What the names of the customers of good orders begin with."""
DAMAGES: Final = (
    "cut",
    "flip",
    "insert",
    "drop",
    "repeat",
    "bytes",
    "ragged",
    "quote",
    "empty",
    "header_only",
    "same_header",
)
SECRET: Final = "GEHEIM4711"  # noqa: S105  # as a customer's name is one
"""Stands in files that are damaged: no message may show it."""


@dataclass
class Import:
    """One file."""

    kind: str
    seed: int
    """Decides how it is written."""
    rows: list[Row]
    damage: str | None = None


@dataclass
class Round:
    """What is done in one round."""

    layout_name: str
    imports: list[Import] = field(default_factory=list)
    batch_size: int = 10_000
    runs_between: bool = False

    @property
    def layout(self) -> Layout:
        """How its rows are mapped."""
        return LAYOUTS[self.layout_name]

    @property
    def cells(self) -> int:
        """How many values it has."""
        return sum(text is not None for one in self.imports for row in one.rows for text in row.values())

    def save(self, path: Path) -> None:
        """Write it down, to be run again."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=True, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Round:
        """Read what `save` has written."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "imports": [Import(**one) for one in content["imports"]]})


def draw_round(seed: int, number: int, rows: int) -> Round:
    """The round of this number: the same for ever, as long as nothing that draws is changed."""
    random = Random(f"{seed}:{number}")
    values = Values(random)
    layout_name = list(LAYOUTS)[number % len(LAYOUTS)]
    layout = LAYOUTS[layout_name]
    cast = Cast.drawn(random, values, rows)
    drawn = Round(
        layout_name,
        batch_size=random.choice((max(rows // 7, 1), 100_000, 100_000)),
        runs_between=random.random() < 0.4,
    )
    kinds = list(WRITERS)
    for at in range(random.choice((1, 2, 2, 3))):
        kind = kinds[(number + number // len(LAYOUTS) + at) % len(kinds)]  # each with each layout in turn
        share = min(rows // (2 if at else 1), MOST_ROWS.get(kind, rows))
        drawn.imports.append(Import(kind, random.randrange(2**32), layout.rows(random, values, cast, share)))
    for row in good_rows(layout):
        rows_of_import = random.choice(drawn.imports).rows
        rows_of_import.insert(random.randrange(len(rows_of_import) + 1), row)
    for _ in range(random.choice((0, 1, 3))):
        kind = random.choice([kind for kind in kinds if kind != FRAME])
        secret: Row = dict.fromkeys(layout.headers, SECRET)
        odd = [*layout.rows(random, values, cast, random.randrange(30)), secret]
        drawn.imports.insert(
            random.randrange(len(drawn.imports) + 1), Import(kind, random.randrange(2**32), odd, random.choice(DAMAGES))
        )
    return drawn


def good_rows(layout: Layout) -> list[Row]:
    """Good rows, always the same, one order each."""
    return [
        {header: _GOOD[kind](number) for header, kind in layout.kinds.items() if header not in _BLANK}
        for number in range(40)
    ]


_BLANK: Final = ("Cancelled at", "Storniert")
_GOOD: Final[dict[str, Callable[[int], str | None]]] = {
    "platform": lambda _: "good",
    "shop": lambda _: "Nachbarn",
    "order_id": lambda number: f"{GOOD}{number}",
    "customer_name": lambda number: f"{GOOD_NAME}{number % 9}",
    "order_status": lambda _: "paid",
    "order_type": lambda number: ("样品", "大货")[number % 2],
    "amount": lambda number: str(10 + number),
    "currency": lambda _: "EUR",
    "ordered_at": lambda number: f"2024-05-{1 + number % 28:02} 10:00:00",
    "updated_at": lambda _: "2024-06-01 00:00:00",  # as typed columns of times hold it
    "items": lambda number: f"T恤*{1 + number}",
    "processes": lambda _: "刺绣:左胸*2",
    "remark": lambda _: "x",
    "platform_order_id": lambda _: None,
    "name": lambda _: "Mug",
    "variant": lambda _: "blue",
    "sku": lambda number: f"S{number}",
    "quantity": lambda number: str(1 + number),
    "unit_price": lambda _: "3",
    "refunded_amount": lambda number: str(number) if number % 3 == 0 else None,
    "personalisation": lambda number: f"Name {number}" if number % 2 else None,
}


def damaged(content: bytes, damage: str, random: Random) -> bytes:
    """A file's content, damaged."""
    at = random.randrange(len(content) + 1)
    before, after = content[:at], content[at:]
    lines = content.split(b"\n")
    line = random.randrange(len(lines))
    if damage in {"ragged", "quote"}:
        lines[line] = (
            b'"' + lines[line] if damage == "quote" else lines[line] + random.choice((b",", b",,,,", b";x", b"\tx"))
        )
        return b"\n".join(lines)
    return {
        "cut": before,
        "flip": before + random.randbytes(1) + after[1:],
        "insert": before + random.choice(_TOKENS) + after,
        "drop": before + after[random.randrange(1, 40) :],
        "repeat": content + after,
        "bytes": before + random.randbytes(random.randrange(1, 60)) + after,
        "empty": b"",
        "header_only": lines[0],
        "same_header": b"\n".join([lines[0] + random.choice((b",", b";")) + lines[0], *lines[1:]]),
    }[damage]


_TOKENS: Final = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"\n", b"\r", b",", b"\x80", b"{", b"\xef\xbb\xbf", b"\\ud800",
)  # fmt: skip
