"""The rules of leads as tables of cases: which lead an order joins or leaves, and what a lead's figures are."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import uuid5

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.lead_figures import FIGURES
from etl_assets.leads.transform import (
    LEAD_ORDER_SCHEMA,
    attach_orders,
    empty_figures,
    lead_figures,
    withdrawn_leads,
)
from etl_assets.values.identifiers import LEAD_NAMESPACE
from etl_assets_tests.helpers.literal_frames import Row, frame_of, january

if TYPE_CHECKING:
    from datetime import datetime

ORDERS: Final = {**LEAD_ORDER_SCHEMA, "lead_id": pl.String()}
LEADS: Final = {
    "lead_id": pl.String(),
    "customer_global_id": pl.String(),
    "lead_no": pl.Int32(),
    "current_stage": pl.String(),
}
JOINED: Final = {"order_id": pl.String(), "lead_id": pl.String(), "strategy": pl.String()}
LEFT: Final = {"shop_id": pl.Int32(), "order_id": pl.String(), "reason": pl.String()}
NEW: Final = {"lead_id": pl.String(), "customer_global_id": pl.String(), "lead_no": pl.Int32()}
REOPENED: Final = {"lead_id": pl.String(), "shop_id": pl.Int32(), "order_id": pl.String()}
LEAD_FIGURES: Final = {"lead_id": pl.String(), **FIGURES}


def order(order_id: str, customer: str | None = "ann", **values: object) -> Row:
    usual = {
        "shop_id": 7, "raw_id": 1, "is_cancelled": False, "ordered_at": january(1), "system_order_type": "BULK",
        "amount": Decimal(10), "currency": "CNY",
    }  # fmt: skip
    return {"order_id": order_id, "customer_global_id": customer, **usual, **values}


def orders(*rows: Row) -> pl.DataFrame:
    return frame_of(ORDERS, rows)


def leads(*stages: str, customer: str = "ann") -> pl.DataFrame:
    """Leads that a customer has had, by their stages: "ann's lead 0", "ann's lead 1", …"""
    rows = [(f"{customer}'s lead {number}", customer, number, stage) for number, stage in enumerate(stages)]
    return frame_of(LEADS, rows)


def made(customer: str, number: int) -> str:
    """The id of a lead that the pipeline makes: UUIDv5 of the customer and how many leads the customer had before."""
    return str(uuid5(LEAD_NAMESPACE, f"{customer}:{number}"))


# --- attach_orders: which lead an order joins -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "joins", "strategy", "is_reopened"),
    [
        pytest.param([], made("ann", 0), "new", False, id="none: makes the first"),
        pytest.param(["OPEN"], "ann's lead 0", "reuse", False, id="OPEN: joins it"),
        pytest.param(["COLD"], "ann's lead 0", "reuse", True, id="COLD: joins and reopens it"),
        pytest.param(["WON"], made("ann", 1), "new", False, id="WON: makes the second"),
        pytest.param(["LOST"], made("ann", 1), "new", False, id="LOST: makes the second"),
        pytest.param(
            ["waiting for artwork"], made("ann", 1), "new", False, id="a stage of people's own: makes another"
        ),
        pytest.param(["open"], made("ann", 1), "new", False, id="a stage that only looks like OPEN: makes another"),
        pytest.param(["WON", "OPEN"], "ann's lead 1", "reuse", False, id="WON and OPEN: joins the OPEN one"),
        pytest.param(["LOST", "COLD"], "ann's lead 1", "reuse", True, id="LOST and COLD: reopens the COLD one"),
        pytest.param(
            ["OPEN", "WON"], "ann's lead 0", "reuse", False, id="an OPEN one before a WON one: joins the OPEN"
        ),
        pytest.param(["WON", "LOST", "WON"], made("ann", 3), "new", False, id="three that are over: makes the fourth"),
    ],
)
def test_attach_orders_goes_by_the_stages_of_the_customers_leads(
    stages: list[str], joins: str, strategy: str, *, is_reopened: bool
) -> None:
    plan = attach_orders(orders(order("1")), leads(*stages))
    assert_frame_equal(plan.attached.select(*JOINED), frame_of(JOINED, [("1", joins, strategy)]))
    is_made = strategy == "new"
    assert_frame_equal(plan.new_leads, frame_of(NEW, [(joins, "ann", len(stages))] if is_made else []))
    assert_frame_equal(plan.reopened, frame_of(REOPENED, [(joins, 7, "1")] if is_reopened else []))


@pytest.mark.parametrize("ordered_at", [january(1), january(31), None], ids=["before", "long after", "without a time"])
@pytest.mark.parametrize("order_type", ["SAMPLE", "PROOF", "BULK"])
@pytest.mark.parametrize(
    ("stage", "joins", "strategy", "is_reopened"),
    [
        pytest.param("OPEN", "ann's lead 0", "reuse", False, id="OPEN"),
        pytest.param("COLD", "ann's lead 0", "reuse", True, id="COLD"),
        pytest.param("WON", made("ann", 1), "new", False, id="WON"),
        pytest.param("LOST", made("ann", 1), "new", False, id="LOST"),
    ],
)
def test_attach_orders_asks_for_neither_the_type_of_an_order_nor_the_time_since_the_last_one(
    stage: str, joins: str, strategy: str, *, is_reopened: bool, order_type: str, ordered_at: datetime | None
) -> None:
    attached = order("1", lead_id="ann's lead 0", ordered_at=january(2))
    comes = order("2", system_order_type=order_type, ordered_at=ordered_at)
    plan = attach_orders(orders(attached, comes), leads(stage))
    assert_frame_equal(plan.attached.select(*JOINED), frame_of(JOINED, [("2", joins, strategy)]))
    assert plan.kept["order_id"].to_list() == ["1"]
    assert (plan.reopened.height == 1) is is_reopened


def test_attach_orders_makes_one_lead_of_all_new_orders_of_a_customer() -> None:
    plan = attach_orders(orders(order("1"), order("2"), order("3")), leads("WON"))
    expected = [("1", made("ann", 1), "new"), ("2", made("ann", 1), "reuse"), ("3", made("ann", 1), "reuse")]
    assert_frame_equal(plan.attached.select(*JOINED), frame_of(JOINED, expected))
    assert_frame_equal(plan.new_leads, frame_of(NEW, [(made("ann", 1), "ann", 1)]))


def test_attach_orders_takes_orders_by_time_and_number_and_those_without_a_time_last() -> None:
    given = [
        order("A", ordered_at=None),
        order("9", ordered_at=january(2)),
        order("10", ordered_at=january(2)),
        order("Z", ordered_at=january(1, 23)),
    ]
    sequence = [("Z", "new"), ("10", "reuse"), ("9", "reuse"), ("A", "reuse")]
    expected = frame_of(JOINED, [(name, made("ann", 0), strategy) for name, strategy in sequence])
    assert_frame_equal(attach_orders(orders(*given), leads()).attached.select(*JOINED), expected)
    assert_frame_equal(attach_orders(orders(*reversed(given)), leads()).attached.select(*JOINED), expected)


def test_attach_orders_treats_each_customer_by_their_own_leads() -> None:
    of_both = pl.concat([leads("OPEN", customer="bob"), leads("LOST", customer="cat")])
    given = orders(order("1", "ann"), order("2", "bob"), order("3", "cat"))
    plan = attach_orders(given, of_both)
    expected = [("1", made("ann", 0), "new"), ("2", "bob's lead 0", "reuse"), ("3", made("cat", 1), "new")]
    assert_frame_equal(plan.attached.select(*JOINED), frame_of(JOINED, expected))
    new = frame_of(NEW, [(made("ann", 0), "ann", 0), (made("cat", 1), "cat", 1)])
    assert_frame_equal(plan.new_leads, new, check_row_order=False)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"is_cancelled": True}, id="cancelled"),
        pytest.param({"customer_global_id": None}, id="names nobody"),
        pytest.param({"is_cancelled": True, "customer_global_id": None}, id="both"),
    ],
)
@pytest.mark.parametrize("stages", [[], ["OPEN"], ["COLD"]], ids=["no lead", "OPEN", "COLD"])
def test_attach_orders_passes_over_orders_that_belong_to_no_lead(values: Row, stages: list[str]) -> None:
    plan = attach_orders(orders(order("1", **values)), leads(*stages))
    for nothing in (plan.attached, plan.detached, plan.kept, plan.new_leads, plan.reopened):
        assert nothing.is_empty()


def test_attach_orders_reopens_a_cold_lead_once_by_the_first_order_that_joins_it() -> None:
    plan = attach_orders(orders(order("1", ordered_at=january(3)), order("2", ordered_at=january(2))), leads("COLD"))
    assert_frame_equal(plan.reopened, frame_of(REOPENED, [("ann's lead 0", 7, "2")]))
    assert plan.attached["strategy"].to_list() == ["reuse", "reuse"]


def test_attach_orders_numbers_a_new_lead_after_all_that_the_customer_had_also_where_one_was_deleted() -> None:
    remaining = frame_of(LEADS, [("ann's lead 1", "ann", 1, "WON")])
    plan = attach_orders(orders(order("1")), remaining)
    assert_frame_equal(plan.new_leads, frame_of(NEW, [(made("ann", 2), "ann", 2)]))


def test_attach_orders_hands_the_whole_order_on() -> None:
    given = orders(order("1", amount=Decimal("2.5"), currency="EUR", system_order_type="PROOF", raw_id=12))
    plan = attach_orders(given, leads("OPEN"))
    assert_frame_equal(plan.attached.drop("lead_id", "strategy"), given.drop("lead_id"))


def test_attach_orders_of_nothing_is_nothing() -> None:
    plan = attach_orders(orders(), leads())
    assert plan.attached.schema == {**ORDERS, "strategy": pl.String()}
    assert plan.kept.schema == ORDERS
    assert (plan.detached.schema, plan.new_leads.schema, plan.reopened.schema) == (LEFT, NEW, REOPENED)


# --- attach_orders: which orders stay, and which leave their lead -----------------------------------------------------


@pytest.mark.parametrize("stage", ["OPEN", "COLD", "WON", "LOST", "waiting for artwork"])
def test_attach_orders_leaves_an_attached_order_where_it_is_whatever_the_stage(stage: str) -> None:
    given = orders(order("1", lead_id="ann's lead 0"))
    plan = attach_orders(given, leads(stage))
    assert_frame_equal(plan.kept, given)
    for nothing in (plan.attached, plan.detached, plan.new_leads, plan.reopened):
        assert nothing.is_empty()


IN_LEAD: Final = {"lead_id": "ann's lead 0"}


@pytest.mark.parametrize(
    ("changed", "known", "reason", "joins"),
    [
        pytest.param(
            order("1", is_cancelled=True, **IN_LEAD), leads("OPEN"), "cancelled", None,
            id="cancelled: attached to none",
        ),
        pytest.param(
            order("1", is_cancelled=True, **IN_LEAD), leads("WON"), "cancelled", None,
            id="cancelled: leaves also a lead that is over",
        ),
        pytest.param(
            order("1", None, **IN_LEAD), leads("OPEN"), "no_customer", None,
            id="names nobody any more: attached to none",
        ),
        pytest.param(
            order("1", "bob", **IN_LEAD), leads("OPEN"), "moved", (made("bob", 0), "new"),
            id="another customer without a lead: makes one",
        ),
        pytest.param(
            order("1", "bob", **IN_LEAD), pl.concat([leads("OPEN"), leads("COLD", customer="bob")]), "moved",
            ("bob's lead 0", "reuse"),
            id="another customer with a COLD lead: joins it",
        ),
        pytest.param(
            order("1", "bob", is_cancelled=True, **IN_LEAD), leads("OPEN"), "cancelled", None,
            id="another customer, and cancelled: attached to none",
        ),
        pytest.param(
            order("1", **IN_LEAD), leads(), "lead_gone", (made("ann", 0), "new"),
            id="the lead was deleted: attached anew",
        ),
        pytest.param(
            order("1", lead_id="deleted"), leads("OPEN"), "lead_gone", ("ann's lead 0", "reuse"),
            id="the lead was deleted, there is an OPEN one: joins it",
        ),
        pytest.param(
            order("1", is_cancelled=True, **IN_LEAD), leads(), "lead_gone", None,
            id="the lead was deleted, and the order cancelled: attached to none",
        ),
    ],
)  # fmt: skip
def test_attach_orders_detaches_an_order_that_no_longer_belongs_to_its_lead(
    changed: Row, known: pl.DataFrame, reason: str, joins: tuple[str, str] | None
) -> None:
    plan = attach_orders(orders(changed), known)
    assert_frame_equal(plan.detached, frame_of(LEFT, [(7, "1", reason)]))
    assert_frame_equal(plan.attached.select(*JOINED), frame_of(JOINED, [("1", *joins)] if joins else []))
    assert plan.kept.is_empty()


def test_attach_orders_tells_orders_of_two_shops_with_one_number_apart() -> None:
    stays = order("1", lead_id="ann's lead 0")
    leaves = order("1", "bob", shop_id=8, lead_id="bob's lead 0", is_cancelled=True)
    plan = attach_orders(orders(stays, leaves), pl.concat([leads("OPEN"), leads("OPEN", customer="bob")]))
    assert_frame_equal(plan.detached, frame_of(LEFT, [(8, "1", "cancelled")]))
    assert_frame_equal(plan.kept, orders(stays))


# --- lead_figures -----------------------------------------------------------------------------------------------------


def test_lead_figures_are_those_of_all_orders_of_each_lead() -> None:
    attached = orders(
        order("1", lead_id="x", system_order_type="SAMPLE", amount=Decimal("0.1"), ordered_at=january(4)),
        order("2", lead_id="x", system_order_type="PROOF", amount=Decimal("20.0001"), ordered_at=january(2),
              refunded_amount=Decimal("2.5001")),
        order("3", lead_id="x", system_order_type="BULK", amount=Decimal(300), ordered_at=january(9),
              refunded_amount=Decimal(0)),
        order("4", lead_id="x", system_order_type="BULK", amount=Decimal("-0.3"), ordered_at=january(3)),
        order("5", "bob", lead_id="a", system_order_type="SAMPLE", currency="EUR"),
    )  # fmt: skip
    expected: list[Row] = [
        {
            "lead_id": "a", "first_order_at": january(1), "last_order_at": january(1),
            "order_count": 1, "total_amount": Decimal(10),
            "sample_count": 1, "sample_amount": Decimal(10),
            "proof_count": 0, "proof_amount": Decimal(0),
            "bulk_count": 0, "bulk_amount": Decimal(0),
            "currency": "EUR", "other_currency_count": 0, "refunded_amount": Decimal(0),
        },
        {
            "lead_id": "x", "first_order_at": january(2), "last_order_at": january(9),
            "order_count": 4, "total_amount": Decimal("319.8001"),
            "sample_count": 1, "sample_amount": Decimal("0.1"),
            "proof_count": 1, "proof_amount": Decimal("20.0001"),
            "bulk_count": 2, "bulk_amount": Decimal("299.7"),
            "currency": "CNY", "other_currency_count": 0, "refunded_amount": Decimal("2.5001"),
        },
    ]  # fmt: skip
    assert_frame_equal(lead_figures(attached), frame_of(LEAD_FIGURES, expected))


EARLY, LATE = january(1), january(2)


@pytest.mark.parametrize(
    ("of_lead", "currency", "total", "others"),
    [
        pytest.param(
            [(EARLY, "CNY", "1"), (LATE, "CNY", "2")], "CNY", "3", 0,
            id="one currency: all are summed",
        ),
        pytest.param(
            [(EARLY, "CNY", "1"), (LATE, "EUR", "20")], "CNY", "1", 1,
            id="the currency of the first order counts, the other is not added",
        ),
        pytest.param(
            [(LATE, "CNY", "1"), (EARLY, "EUR", "20"), (LATE, "CNY", "4")], "EUR", "20", 2,
            id="the first order is the first in time",
        ),
        pytest.param(
            [(None, "CNY", "1"), (LATE, "EUR", "20")], "EUR", "20", 1,
            id="an order without a time comes after those with one",
        ),
        pytest.param(
            [(EARLY, "USD", "1"), (EARLY, "EUR", "20")], "USD", "1", 1,
            id="at one time the smaller number is first",
        ),
        pytest.param(
            [(EARLY, None, "1"), (LATE, "EUR", "20"), (LATE, None, "3")], None, "4", 1,
            id="no currency is one of its own",
        ),
        pytest.param(
            [(EARLY, "CNY", None), (LATE, "CNY", "2")], "CNY", "2", 0,
            id="an order without an amount adds nothing",
        ),
        pytest.param(
            [(EARLY, "CNY", None)], "CNY", "0", 0,
            id="no amount at all is zero",
        ),
        pytest.param(
            [(EARLY, "CNY", "99999999999999.9999")] * 3, "CNY", "299999999999999.9997", 0,
            id="a sum may be larger than any amount, and stays exact",
        ),
    ],
)  # fmt: skip
def test_lead_figures_never_add_amounts_of_different_currencies(
    of_lead: list[tuple[datetime | None, str | None, str | None]], currency: str | None, total: str, others: int
) -> None:
    rows = [
        order(str(number), lead_id="x", ordered_at=moment, currency=symbol, amount=amount and Decimal(amount))
        for number, (moment, symbol, amount) in enumerate(of_lead)
    ]
    figures = lead_figures(orders(*rows)).row(0, named=True)
    assert (figures["currency"], figures["total_amount"]) == (currency, Decimal(total))
    assert (figures["bulk_count"], figures["bulk_amount"]) == (len(of_lead), Decimal(total))
    assert (figures["order_count"], figures["other_currency_count"]) == (len(of_lead), others)


def test_lead_figures_add_refunds_in_the_currency_of_the_lead_only() -> None:
    of_lead = [("CNY", "1.5"), ("EUR", "20"), ("CNY", None), ("CNY", "0.0001")]
    rows = [
        order(str(number), lead_id="x", currency=currency, refunded_amount=refunded and Decimal(refunded))
        for number, (currency, refunded) in enumerate(of_lead)
    ]
    assert lead_figures(orders(*rows)).select("total_amount", "refunded_amount").rows() == [
        (Decimal(30), Decimal("1.5001"))
    ]


@pytest.mark.parametrize(
    ("times", "first", "last"),
    [
        pytest.param([LATE, EARLY], EARLY, LATE, id="all have a time"),
        pytest.param([None, LATE], LATE, LATE, id="one has none"),
        pytest.param([None, None], None, None, id="none has one"),
    ],
)
def test_lead_figures_date_a_lead_by_the_orders_that_have_a_time(
    times: list[datetime | None], first: datetime | None, last: datetime | None
) -> None:
    rows = [order(str(number), lead_id="x", ordered_at=moment) for number, moment in enumerate(times)]
    figures = lead_figures(orders(*rows)).row(0, named=True)
    assert (figures["first_order_at"], figures["last_order_at"], figures["order_count"]) == (first, last, len(times))


def test_lead_figures_of_no_orders_are_no_leads() -> None:
    assert_frame_equal(lead_figures(orders()), frame_of(LEAD_FIGURES, []))


# --- leads without orders ---------------------------------------------------------------------------------------------


def test_empty_figures_are_zeros_and_name_no_time_and_no_currency() -> None:
    counts = dict.fromkeys(("order_count", "sample_count", "proof_count", "bulk_count", "other_currency_count"), 0)
    kinds = ("total_amount", "sample_amount", "proof_amount", "bulk_amount", "refunded_amount")
    amounts = dict.fromkeys(kinds, Decimal(0))
    expected = [{"lead_id": name, **counts, **amounts} for name in ("b", "a")]
    assert_frame_equal(empty_figures(pl.DataFrame({"lead_id": ["b", "a"]})), frame_of(LEAD_FIGURES, expected))


@pytest.mark.parametrize(
    ("stages", "empty", "withdrawn"),
    [
        pytest.param(["OPEN"], [0], [0], id="OPEN, the only one: as if it had never been"),
        pytest.param(["OPEN"], [], [], id="it has orders: stays"),
        pytest.param(["COLD"], [0], [], id="COLD: stays"),
        pytest.param(["WON"], [0], [], id="WON: stays, with figures of zero"),
        pytest.param(["waiting for artwork"], [0], [], id="a stage of people's own: stays"),
        pytest.param(["WON", "OPEN"], [0, 1], [1], id="OPEN, the latest: the WON one before it stays"),
        pytest.param(["OPEN", "WON"], [0, 1], [], id="OPEN, but not the latest: its number would be given again"),
    ],
)
def test_withdrawn_leads_are_open_empty_and_the_customers_latest(
    stages: list[str], empty: list[int], withdrawn: list[int]
) -> None:
    keys = pl.DataFrame({"lead_id": [f"ann's lead {number}" for number in empty]}, schema={"lead_id": pl.String})
    of_others = leads("WON", "WON", "OPEN", customer="bob")
    schema = {"lead_id": pl.String(), "customer_global_id": pl.String()}
    expected = frame_of(schema, [(f"ann's lead {number}", "ann") for number in withdrawn])
    assert_frame_equal(withdrawn_leads(keys, pl.concat([leads(*stages), of_others])), expected)
