"""Mappings of order types that can't be stored, as a table of cases: refused before the database is asked."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from etl_assets.database.database import Database
from etl_assets.orders.order_types import SYSTEM_ORDER_TYPES, OrderTypeError, set_order_types
from etl_assets.settings import Settings

NOWHERE = Database(Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing")))
"""No server listens there: whoever asks it fails otherwise."""


def test_system_order_types_are_those_of_the_contract() -> None:
    assert SYSTEM_ORDER_TYPES == ("SAMPLE", "PROOF", "BULK")


@pytest.mark.parametrize(
    ("raw", "system", "message"),
    [
        pytest.param("", "BULK", "empty", id="an empty type"),
        pytest.param(" \u3000", "BULK", "empty", id="a blank type"),
        pytest.param("a\0", "BULK", "can't store", id="NUL"),
        pytest.param("x" * 2601, "BULK", "longer than 2600 bytes", id="longer than an index can hold"),
        pytest.param("花" * 867, "BULK", "longer than 2600 bytes", id="bytes count"),
        pytest.param("gift", "GIFT", "SAMPLE, PROOF, BULK", id="no system type"),
        pytest.param("gift", "", "SAMPLE, PROOF, BULK", id="an empty system type"),
    ],
)
def test_set_order_types_refuses_what_can_not_be_stored(raw: str, system: str, message: str) -> None:
    with pytest.raises(OrderTypeError, match=message):
        set_order_types(NOWHERE, {"good": "SAMPLE", raw: system})
