"""Faults of quarantined rows: the columns and codes that a reason tells of."""

from __future__ import annotations

import polars as pl
import pytest

from etl_assets.frame_schemas import CONFLICTING_ORDER
from etl_assets.orders.transform import read_orders
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quarantine.faults import Fault, read_faults
from etl_assets.quarantine.reasons import SHARED_BY_SHOPS, SHOP_NOT_MADE
from etl_assets.vectorized_queries import ORDER_TYPE_SCHEMA, SHOP_SCHEMA, match_order_types
from etl_assets_tests.helpers.pipeline import PRESET, as_frame, raw_fields


def rejected(**fields: str | None) -> tuple[str, str]:
    """Code and reason that the rules give a row."""
    shop = {"shop_id": 1, "platform": "p", "shop_name": "s", "timezone": "UTC"}
    shops = pl.DataFrame([{**dict.fromkeys(SHOP_SCHEMA), **shop}], schema=SHOP_SCHEMA)
    raw = as_frame([raw_fields(**{"order_id": "1", **fields})]).with_columns(raw_id=pl.lit(1, pl.Int64))
    types = match_order_types(raw["order_type"], pl.DataFrame(schema=ORDER_TYPE_SCHEMA))
    _, bad = read_orders(raw, PRESET, shops, types)
    (row,) = bad.to_dicts()
    return row["reason_code"], row["reason"]


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"amount": "five"}, [("BAD_AMOUNT", "amount")]),
        (
            {"order_id": None, "amount": "five", "refunded_amount": "x", "ordered_at": "soon", "updated_at": "9/9"},
            [
                ("MISSING_ORDER_ID", "order_id"),
                ("BAD_AMOUNT", "amount"),
                ("BAD_AMOUNT", "refunded_amount"),
                ("BAD_TIMESTAMP", "ordered_at"),
                ("BAD_TIMESTAMP", "updated_at"),
            ],
        ),
        ({"order_id": "1.23E+17"}, [("ROUNDED_ORDER_ID", "order_id")]),
        ({"shop": " ", "platform": None}, [("MISSING_SHOP", "platform"), ("MISSING_SHOP", "shop")]),
        ({"shop": None, "ordered_at": "2024-01-05 10:00"}, [("MISSING_SHOP", "shop")]),
        ({"shop": "another"}, [("SHOP_NOT_MADE", "shop")]),
        ({"order_type": "x" * 3000}, [("TOO_LONG", "order_type")]),
        ({"defect": "BAD_TEXT", "remark": "a␀b", "amount": "x"}, [("BAD_TEXT", "remark"), ("BAD_AMOUNT", "amount")]),
        ({"defect": "BAD_TEXT"}, [("BAD_TEXT", None)]),
        ({"defect": CONFLICTING_ORDER, "platform_order_id": "7"}, [("CONFLICTING_ORDER", "platform_order_id")]),
        ({"defect": CONFLICTING_ORDER}, [("SHARED_BY_SHOPS", "shop")]),
    ],
)
def test_every_fault_of_the_rules_is_found_with_its_column(
    fields: dict[str, str | None], faults: list[tuple[str, str | None]]
) -> None:
    found = read_faults(*rejected(**fields), {**dict.fromkeys(RAW_COLUMNS), **fields})
    assert [tuple(one) for one in found] == faults


@pytest.mark.parametrize(
    ("code", "reason", "texts", "fault"),
    [
        ("BAD_ITEMS", "line 2 has no name and no sku", {"items": "[]"}, Fault("BAD_ITEMS", "items")),
        ("BAD_PROCESSES", "processes of the order: …", {"processes": "x"}, Fault("BAD_PROCESSES", "processes")),
        ("BAD_PROCESSES", "processes of line 1: …", {"items": "[]"}, Fault("BAD_PROCESSES", "items")),
        (
            "DB_REJECTED",
            "The database refused the row: SQLSTATE 22003, table orders, column latest_status.",
            {},
            Fault("DB_REJECTED", "order_status"),
        ),
        ("DB_REJECTED", "The row can't be processed: ComputeError.", {}, Fault("DB_REJECTED", None)),
        ("OF_ANOTHER_MODULE", "amount: something new", {}, Fault("OF_ANOTHER_MODULE", "amount")),
    ],
)
def test_reasons_of_lines_and_of_the_database_name_a_column(
    code: str, reason: str, texts: dict[str, str | None], fault: Fault
) -> None:
    assert read_faults(code, reason, texts) == [fault]


def test_texts_that_tell_apart_kinds_of_one_code_are_those_of_the_rules() -> None:
    assert [read_faults("X", text, {}) for text in (SHARED_BY_SHOPS, SHOP_NOT_MADE)] == [
        [Fault("SHARED_BY_SHOPS", "shop")],
        [Fault("SHOP_NOT_MADE", "shop")],
    ]
