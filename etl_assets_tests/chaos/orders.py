"""The orders that faults are tried on: small imports that meet again and again, the same for the same seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import polars as pl

from etl_assets.presets.model import RAW_COLUMNS
from etl_assets_tests.helpers.pipeline import raw_fields

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, str | None]


def make_imports(sizes: list[int], *, orders: int, seed: int) -> list[list[Row]]:
    """New versions, cancelled orders, ones of other customers, bad ones, in imports of so many rows each."""
    chosen = random.Random(seed)  # noqa: S311  # the same orders every time
    return [
        [
            raw_fields(
                str(chosen.randrange(orders)),
                shop=chosen.choice(("A", "B", "C")),
                customer_name=chosen.choice(("Ann", "Ben", "Cem", "Dee", "Eve", "张**", None)),
                order_status=chosen.choice(("paid", "paid", "paid", "cancelled")),
                order_type=chosen.choice(("sample", "bulk", None)),
                amount=chosen.choice(("10", "20.5", "1,000", "oops")),
                currency="CNY",
                ordered_at=f"2024-01-{chosen.randrange(1, 29):02} 10:00:00",
                updated_at=f"2024-02-{1 + number // 2:02} 0{chosen.randrange(10)}:00:00" if number % 5 else None,
                items=chosen.choice(("T恤*3;帽子", "杯子*2", None, "*3")),
                processes=chosen.choice((None, "刺绣:左胸:2", "[3]")),
            )
            for _ in range(size)
        ]
        for number, size in enumerate(sizes)
    ]


def write_import(path: Path, rows: list[Row]) -> Path:
    """Write the rows as a file for the preset of the tests."""
    pl.DataFrame(rows).select(RAW_COLUMNS).cast(pl.String).write_csv(path)
    return path
