"""Whatever the database refuses, at whatever statement: one row never stops the others, and none is lost."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Any

import pytest

from etl_assets_tests.running import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from etl_assets.pipeline.step import Services

Row = dict[str, str | None]


# --- values that no index can hold ------------------------------------------------------------------------------------


def incompressible(length: int, seed: int = 1) -> str:
    letters = random.Random(seed)  # noqa: S311  # not a secret; text that does not compress
    return "".join(letters.choices(string.ascii_letters + string.digits, k=length))


def quarantine(services: Services) -> list[dict[str, Any]]:
    return query(services, "SELECT asset, raw_id, reason_code, reason, resolution FROM quarantine ORDER BY asset, raw_id")


@pytest.mark.parametrize("column", ["shop", "platform", "order_type", "order_id"])
def test_one_value_too_long_for_an_index_leaves_999_of_1000_orders(services: Services, column: str) -> None:
    value = incompressible(5000)
    rows: list[Row] = [raw_fields(str(number), customer_name=f"c{number % 50}", items="cup*2") for number in range(1000)]
    rows[617][column] = value
    land(services, rows)
    results = run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 999
    (refused,) = quarantine(services)
    assert (refused["asset"], refused["raw_id"], refused["reason_code"]) == ("orders", 618, "BAD_TEXT")
    assert column in refused["reason"]
    assert "2600" in refused["reason"]
    assert value[:8] not in refused["reason"]
    assert scalar(services, "SELECT count(*) FROM shop_configs") == 1
    assert (results["orders"].counts.input_rows, results["orders"].counts.quarantined) == (1000, 1)
    land(services, [raw_fields("later"), raw_fields("617")])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 1001
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    assert [row["resolution"] for row in quarantine(services)] == ["superseded" if column == "order_type" else None]
