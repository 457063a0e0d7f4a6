"""The oracle itself: the rules in small examples, and its reading of text and money against the package's."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.presets.model import Preset
from etl_assets.values.numbers import NumberFormat, parse_money
from etl_assets.values.text import clean_name, clean_text
from etl_assets_tests.helpers import oracle, reference_values, strategies
from etl_assets_tests.helpers.oracle import Expected, Lines, RawRow
from etl_assets_tests.helpers.strategies import ORDER_TYPE_MAPPINGS

CUSTOMER_NAMESPACE = uuid.UUID("11111111-1111-5111-8111-111111111111")
LEAD_NAMESPACE = uuid.UUID("22222222-2222-5222-8222-222222222222")
PRESET = Preset.model_validate(
    {
        "name": "test",
        "columns": {"order_id": "order_id"},
        "timezone": "America/New_York",
        "cancelled_statuses": ["Cancelled"],
    }
)
KEY = ("p", "s", "1")


def work_out(*rows: RawRow, preset: Preset = PRESET) -> Expected:
    return oracle.expected(
        rows,
        preset,
        ORDER_TYPE_MAPPINGS,
        customer_namespace=CUSTOMER_NAMESPACE,
        lead_namespace=LEAD_NAMESPACE,
    )


def raw(raw_id: int, order_id: str | None = "1", *, shop: str | None = "s", **fields: str | None) -> RawRow:
    return RawRow(raw_id, "import", raw_id, platform="p", shop=shop, order_id=order_id, **fields)


def test_the_newest_version_wins_and_one_without_update_time_loses_to_any() -> None:
    result = work_out(
        raw(1, amount="1", updated_at="2024-01-02"),
        raw(2, amount="2", updated_at="2024-01-01"),
        raw(3, amount="3"),
    )
    assert result.orders[KEY]["raw_id"] == 1
    assert result.orders[KEY]["amount"] == Decimal(1)


def test_between_equal_update_times_the_later_row_wins() -> None:
    result = work_out(raw(1, updated_at="2024-01-02 00:00"), raw(2, updated_at="2024-01-02T05:00:00Z"))
    assert result.orders[KEY]["raw_id"] == 2


def test_a_later_good_row_resolves_the_quarantine_of_its_order_even_if_it_is_an_older_version() -> None:
    result = work_out(
        raw(1, updated_at="2024-01-03"),
        raw(2, amount="oops"),
        raw(3, updated_at="2024-01-01"),
        raw(4, ordered_at="oops"),
    )
    assert result.quarantine == {("orders", 2, "BAD_AMOUNT"), ("orders", 4, "BAD_TIMESTAMP")}
    assert result.open_quarantine == {("orders", 4, "BAD_TIMESTAMP")}


def test_a_row_has_the_first_reason_that_applies() -> None:
    bad = {"amount": "oops", "ordered_at": "oops"}
    result = work_out(
        raw(1, None, shop=" ", **bad, defect="BAD_TEXT"),
        raw(2, None, shop=" ", **bad),
        raw(3, None, **bad),
        raw(4, **bad),
        raw(5, updated_at="oops"),
    )
    assert result.quarantine == {
        ("orders", 1, "BAD_TEXT"),
        ("orders", 2, "MISSING_SHOP"),
        ("orders", 3, "MISSING_ORDER_ID"),
        ("orders", 4, "BAD_AMOUNT"),
        ("orders", 5, "BAD_TIMESTAMP"),
    }
    assert not result.orders
    assert result.shops == {("p", "s")}


def test_a_cancelled_order_makes_a_customer_but_counts_nowhere() -> None:
    result = work_out(raw(1, customer_name="Zoë", order_status=" CANCELLED", ordered_at="2024-01-01"))
    (customer,) = result.customers.values()
    assert (customer["nickname"], customer["order_count"], customer["first_order_at"]) == ("Zoë", 0, None)
    assert not result.leads
    assert not result.lead_orders


def test_a_masked_name_makes_no_customer() -> None:
    result = work_out(raw(1, customer_name="张＊＊"))
    assert result.orders[KEY]["customer_nickname"] is None
    assert not result.customers


def test_keys_that_join_alike_stay_apart() -> None:
    result = work_out(raw(1, shop="a:b", customer_name="c"), raw(2, shop="a", customer_name="b:c"))
    assert set(result.customers) == {"p:a\\:b:c", "p:a:b\\:c"}
    assert oracle.customer_key("p", "a\\", "b") == "p:a\\\\:b"


def test_only_the_lines_of_the_winning_version_count() -> None:
    def read_lines(row: RawRow, _: NumberFormat) -> Lines:
        items = None if row.items == "bad" else [{"product": row.items}]
        return Lines(items, None if row.processes == "bad" else {(0, 1): {"process_type": row.processes}})

    rows = (
        raw(1, items="bad", processes="bad"),
        raw(2, items="mug", processes="print"),
        raw(3, "2", items="bad", processes="bad"),
    )
    result = oracle.expected(
        rows,
        PRESET,
        {},
        customer_namespace=CUSTOMER_NAMESPACE,
        lead_namespace=LEAD_NAMESPACE,
        read_lines=read_lines,
    )
    assert result.order_items == {(*KEY, 1): {"product": "mug"}}
    assert result.process_items == {(*KEY, 0, 1): {"process_type": "print"}}
    assert result.open_quarantine == {("order_items", 3, "BAD_ITEMS"), ("process_items", 3, "BAD_PROCESSES")}


def test_a_lead_adds_up_only_what_is_in_the_currency_of_its_first_order() -> None:
    result = work_out(
        raw(1, "9", customer_name="c", amount="1", currency="usd"),
        raw(
            2,
            "2",
            customer_name="c",
            amount="10",
            refunded_amount="3",
            currency="EUR",
            ordered_at="2024-01-02",
            order_type="样品",
        ),
        raw(3, "10", customer_name="c", amount="0.00005", currency="eur", ordered_at="2024-01-02"),
        raw(4, "3", customer_name="c", currency="EUR", ordered_at="2024-01-03", order_type="打样"),
    )
    customer_id = uuid.uuid5(CUSTOMER_NAMESPACE, "p:s:c")
    lead_id = uuid.uuid5(LEAD_NAMESPACE, f"{customer_id}:0")
    assert set(result.lead_orders.values()) == {lead_id}
    assert result.leads[lead_id] == {
        "customer_global_id": customer_id,
        "current_stage": "OPEN",
        "first_order_at": datetime(2024, 1, 2, 5, tzinfo=UTC),
        "last_order_at": datetime(2024, 1, 3, 5, tzinfo=UTC),
        "order_count": 4,
        "total_amount": Decimal(10),
        "refunded_amount": Decimal(3),
        "currency": "EUR",
        "sample_count": 1,
        "sample_amount": Decimal(10),
        "proof_count": 1,
        "proof_amount": Decimal(0),
        "bulk_count": 2,
        "bulk_amount": Decimal(0),
    }


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-10 02:30:00", datetime(2024, 3, 10, 7, 30, tzinfo=UTC)),  # skipped: counted on from before
        ("2024-11-03 01:30:00", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),  # twice: the first
        ("2024-05-13 11:01:12 +0200", datetime(2024, 5, 13, 9, 1, 12, tzinfo=UTC)),
        ("2024/05/13T11:01:12.5-05:45", datetime(2024, 5, 13, 16, 46, 12, 500_000, tzinfo=UTC)),
        ("２０２４-05-13", datetime(2024, 5, 13, 4, tzinfo=UTC)),
        ("03.04.2024 05", datetime(2024, 4, 3, 9, tzinfo=UTC)),
        ("2024-05-\n3T23:59:5", datetime(2024, 5, 4, 3, 59, 5, tzinfo=UTC)),  # as the package reads it
        ("0000-00-00 00:00:00", None),
        ('=""', None),
    ],
)
def test_timestamps_are_read_in_the_shops_zone(text: str, moment: datetime | None) -> None:
    assert reference_values.read_timestamp(text, ("%d.%m.%Y %H",), ZoneInfo("America/New_York")) == moment


@pytest.mark.parametrize("text", ["9999-12-31 23:00", "0001-01-01 00:00+0100", *strategies.BAD_TIMESTAMPS])
def test_what_is_no_moment_of_the_years_1_to_9999_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        reference_values.read_timestamp(text, (), ZoneInfo("America/New_York"))


@given(st.lists(strategies.any_text() | st.sampled_from(strategies.CUSTOMERS + strategies.NO_CUSTOMERS), max_size=20))
def test_text_is_cleaned_as_the_package_cleans_it(texts: list[str | None]) -> None:
    cleaned = pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(
        text=clean_text(pl.col("text")), name=clean_name(pl.col("text"))
    )
    assert cleaned.rows() == [(reference_values.clean_text(text), reference_values.clean_name(text)) for text in texts]


@given(st.lists(strategies.amounts(), max_size=20), strategies.presets())
def test_amounts_are_read_as_the_package_reads_them(texts: list[str | None], preset: Preset) -> None:
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    assert frame.select(parse_money(pl.col("text"), preset.numbers)).to_series().to_list() == [
        amount_or_none(text, preset) for text in texts
    ]


def amount_or_none(text: str | None, preset: Preset) -> Decimal | None:
    try:
        return reference_values.read_amount(text, preset.numbers)
    except ValueError:
        return None


@given(st.data())
def test_every_row_is_an_order_or_older_than_it_or_in_quarantine(data: st.DataObject) -> None:
    fields = data.draw(strategies.raw_field_lists())
    imports = data.draw(strategies.split_into_imports(fields))
    rows = strategies.number_rows(imports)
    assert [row.raw_id for row in rows] == list(range(1, len(fields) + 1))
    result = work_out(*rows, preset=data.draw(strategies.presets()))
    rejected = {raw_id for asset, raw_id, _ in result.quarantine if asset == "orders"}
    winners = {order["raw_id"] for order in result.orders.values()}
    assert not rejected & winners
    assert rejected | winners <= {row.raw_id for row in rows}
    assert result.open_quarantine <= result.quarantine
    assert {key[:2] for key in result.orders} <= result.shops
    assert set(result.lead_orders) <= set(result.orders)
    assert sum(lead["order_count"] for lead in result.leads.values()) == len(result.lead_orders)
    assert sum(customer["order_count"] for customer in result.customers.values()) == len(result.lead_orders)
