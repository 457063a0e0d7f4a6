"""The SQL fragments of ranges: the examples of their documentation are what they make, and the server takes them."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

import pytest

from etl_assets.ledger import range_sql
from etl_assets.ledger.queue import RawIdRange
from etl_assets.ledger.range_sql import (
    CustomerBucket,
    anonymous_orders,
    changed_customers,
    changed_orders,
    imported_rows,
    moved_orders,
    raw_ids_query,
    raw_rows,
)
from etl_assets_tests.helpers.pipeline import query

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

RANGE: Final = [RawIdRange(7, 10, 19)]


def documented_examples() -> list[tuple[str, str]]:
    """The examples of the module docstring: each an f-string, and the query that it makes."""
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?m)(?:^    .+\n?)+", range_sql.__doc__ or "")]
    return list(zip(blocks[::2], blocks[1::2], strict=True))


@pytest.mark.parametrize(("code", "made"), documented_examples(), ids=["ranges", "a bucket"])
def test_the_functions_make_the_documented_queries(services: Services, code: str, made: str) -> None:
    result = eval(code, {**vars(range_sql), "ranges": RANGE})  # noqa: S307  # our own docstring
    assert result.split() == made.split()
    assert query(services, result) == []


def test_there_is_an_example_with_each_kind_of_fragment() -> None:
    written = " ".join(code for code, _ in documented_examples())
    assert all(name in written for name in ("changed_orders", "raw_rows", "limit_clause", "CustomerBucket"))


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT w.batch_id, t.import_id, r.raw_id FROM {imported_rows(RANGE)}",  # noqa: S608  # integers only, also below
        f"SELECT w.low, m.customer_global_id FROM {moved_orders(RANGE)}",  # noqa: S608
        f"SELECT o.order_no, r.items FROM {changed_orders(RANGE)} {raw_rows()}",  # noqa: S608
        raw_ids_query("orders", RANGE),
        raw_ids_query("leads", RANGE),
        changed_customers(RANGE),
        changed_customers(RANGE, CustomerBucket(0, 3)),
        *anonymous_orders("o.order_no, l.lead_id", RANGE, CustomerBucket(), "LEFT JOIN lead_orders l USING (shop_id)"),
    ],
)
def test_the_aliases_of_a_fragment_can_be_used_in_a_query(services: Services, statement: str) -> None:
    assert query(services, statement) == []
