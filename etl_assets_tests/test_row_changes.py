"""Every raw row is counted once: versions the database refuses, rows that load late, rows rejected twice."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid5

import polars as pl
import pytest

from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.quarantine.rows import quarantine_rows
from etl_assets.values.identifiers import CUSTOMER_NAMESPACE
from etl_assets_tests.helpers.pipeline import (
    comparable,
    land,
    query,
    raw_fields,
    run_all,
    run_all_whatever_fails,
    scalar,
    with_batch_size,
)

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

pytestmark = pytest.mark.slow

Row = dict[str, str | None]


def version(amount: str, updated_at: str | None = None, order_id: str = "1", **fields: str | None) -> Row:
    return raw_fields(order_id, amount=amount, updated_at=updated_at, customer_name="Ann", **fields)


def refuse(services: Services, condition: str) -> None:
    query(services, f"ALTER TABLE orders ADD CONSTRAINT only_good CHECK ({condition})")


def amounts(services: Services) -> dict[str, int]:
    rows = query(services, "SELECT order_id, amount FROM orders ORDER BY order_id")
    return {row["order_id"]: int(row["amount"]) for row in rows}


def open_rows(services: Services) -> list[int]:
    rows = query(services, "SELECT raw_id FROM quarantine WHERE resolved_at IS NULL ORDER BY raw_id")
    return [row["raw_id"] for row in rows]


# --- versions that the database refuses -------------------------------------------------------------------------------


def test_the_newest_version_that_the_database_takes_wins(services: Services) -> None:
    refuse(services, "amount < 100")
    days = [f"2024-02-0{day}" for day in range(1, 6)]
    sent = zip(["1", "2", "300", "400", "500"], days, strict=True)
    land(services, [*(version(*one) for one in sent), version("9", order_id="2"), version("900", order_id="3")])
    counts = run_all(services)["orders"].counts
    assert amounts(services) == {"1": 2, "2": 9}
    assert (counts.inserted, counts.superseded, counts.quarantined, counts.input_rows) == (2, 1, 4, 7)
    assert open_rows(services) == [3, 4, 5, 7]


def test_an_older_version_that_is_taken_in_place_of_a_refused_one_is_compared_with_the_stored_one(
    services: Services,
) -> None:
    land(services, [version("3", "2024-02-03", order_id=name) for name in ("1", "2", "3")])
    run_all(services)
    refuse(services, "amount < 100")
    older = [
        version("4", "2024-02-04", order_id="1"),
        version("3", "2024-02-03", order_id="2"),
        version("2", "2024-02-02", order_id="3"),
    ]
    land(services, [*older, *(version("500", "2024-02-05", order_id=name) for name in ("1", "2", "3"))])
    counts = run_all(services)["orders"].counts
    assert amounts(services) == {"1": 4, "2": 3, "3": 3}
    assert (counts.updated, counts.superseded, counts.quarantined, counts.input_rows) == (1, 1, 3, 6)
    assert counts.unchanged + counts.updated == 2


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_which_version_wins_beside_refused_ones_does_not_depend_on_batches(services: Services, batch_size: int) -> None:
    refuse(services, "amount < 100")
    draw = random.Random(5)  # noqa: S311  # not a secret
    rows = [
        version(str(draw.choice((number, 100 + number))), f"2024-02-{draw.randint(1, 9):02}", str(draw.randint(1, 6)))
        for number in range(1, 41)
    ]
    good: dict[str, tuple[str, int]] = {}
    for number, row in enumerate(rows, start=1):
        if int(row["amount"] or 0) < 100:
            order_id = row["order_id"] or ""
            good[order_id] = max(good.get(order_id, ("", 0)), (row["updated_at"] or "", number))
    land(services, rows)
    counts = run_all(with_batch_size(services, batch_size))["orders"].counts
    assert amounts(services) == {order_id: number for order_id, (_, number) in sorted(good.items())}
    assert counts.input_rows == len(rows)


# --- rows that load late ----------------------------------------------------------------------------------------------


def load_all_but_the_bad_row(services: Services, rows: list[Row]) -> None:
    """Load each row in a batch of its own; those of bad rows fail and stay pending."""
    query(
        services,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = '42501'; END $$",
    )
    query(services, "CREATE TRIGGER fail BEFORE INSERT ON quarantine FOR EACH ROW EXECUTE FUNCTION fail()")
    for row in rows:
        land(services, [row])
    assert run_all_whatever_fails(with_batch_size(services, 1)) == ["orders"]
    query(services, "DROP TRIGGER fail ON quarantine")


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(version("5", "2024-02-05"), id="later and newer"),
        pytest.param(version("1", "2024-02-01"), id="later and the same"),
        pytest.param(version("7", "2024-01-01"), id="later and older"),
    ],
)
def test_a_bad_row_that_loads_after_a_later_good_one_is_superseded(services: Services, later: Row) -> None:
    """Whatever the good row came to: it was read, and it is later."""
    load_all_but_the_bad_row(services, [version("1", "2024-02-01"), version("not a number"), later])
    run_all(services)
    assert query(services, "SELECT raw_id, resolution FROM quarantine") == [{"raw_id": 2, "resolution": "superseded"}]


# --- rows rejected twice ----------------------------------------------------------------------------------------------


def test_a_row_that_is_rejected_twice_for_one_reason_is_in_quarantine_once(services: Services) -> None:
    land(services, [version("1"), version("2")])
    reasons = ["BAD_ITEMS", "BAD_ITEMS", "DB_REJECTED", "BAD_ITEMS"]
    columns = {"raw_id": [1, 1, 1, 2], "shop_id": [1] * 4, "order_id": ["1"] * 4, "reason_code": reasons}
    rejected = pl.DataFrame({**columns, "reason": ["first", "second", "third", "fourth"]}, schema=REJECTED_SCHEMA)
    for _ in range(2):
        with services.database.transaction() as connection:
            assert quarantine_rows(connection, "order_items", rejected) == 4
    entries = query(services, "SELECT raw_id, reason_code, reason FROM quarantine ORDER BY raw_id, reason_code")
    assert [tuple(entry.values()) for entry in entries] == [
        (1, "BAD_ITEMS", "first"), (1, "DB_REJECTED", "third"), (2, "BAD_ITEMS", "fourth"),
    ]  # fmt: skip
    assert scalar(services, "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL") == 3


@pytest.mark.parametrize(
    ("bad", "asset"), [({"items": "*3"}, "order_items"), ({"items": "T恤", "processes": "::"}, "process_items")]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_later_good_row_that_lost_does_not_resolve_the_bad_lines_of_the_version_that_counts(
    services: Services, bad: Row, asset: str, *, at_once: bool
) -> None:
    counts = raw_fields("1", updated_at="2024-02-01", **bad)
    lost = raw_fields("1", updated_at="2024-01-01", items="T恤*2")
    for rows in ([counts, lost],) if at_once else ([counts], [lost]):
        land(services, rows)
        run_all(services)
    found = query(services, "SELECT asset, resolution FROM quarantine")
    assert found == [{"asset": asset, "resolution": None}]
    land(services, [raw_fields("1", updated_at="2024-03-01", items="T恤*2")])
    run_all(services)
    assert query(services, "SELECT asset, resolution FROM quarantine") == [{"asset": asset, "resolution": "superseded"}]


@pytest.mark.parametrize("batch_size", [1, 1000])
@pytest.mark.parametrize("runs_between", [True, False])
def test_which_of_several_equal_versions_an_order_names_is_history_and_nothing_else(
    services: Services, batch_size: int, *, runs_between: bool
) -> None:
    equal = raw_fields("1", customer_name="Ann", amount="5", items="T恤*2", updated_at="2024-01-01")
    later = {**equal, "amount": "5.00", "updated_at": "2024-01-01 00:00:00"}  # written differently, saying the same
    with_batch_size(services, batch_size)
    for row in (equal, later, equal):
        land(services, [row])
        if runs_between:
            run_all(services)
    run_all(services)
    assert scalar(services, "SELECT raw_id FROM orders") in {1, 2, 3}
    assert comparable(services)["orders"] == {
        ("p", "s", "1"): {
            "order_id": "1",
            "platform_order_id": None,
            "customer_nickname": "Ann",
            "customer_global_id": uuid5(CUSTOMER_NAMESPACE, "p:s:Ann"),
            "latest_status": None,
            "is_cancelled": False,
            "order_type": None,
            "system_order_type": "BULK",
            "amount": Decimal(5),
            "refunded_amount": None,
            "currency": None,
            "ordered_at": None,
            "source_updated_at": datetime(2023, 12, 31, 16, tzinfo=UTC),
        }
    }
    assert scalar(services, "SELECT count(*) FROM quarantine") == 0
