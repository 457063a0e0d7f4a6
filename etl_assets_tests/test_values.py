"""Values read by expressions on columns: times, quantities, identifiers, and whether a text says anything."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.values.identifiers import CUSTOMER_NAMESPACE, LEAD_NAMESPACE, customer_global_id, customer_key, lead_id
from etl_assets.values.numbers import NumberFormat, format_money, parse_money, parse_quantity, whole_number
from etl_assets.values.text import clean_text, cut_by_bytes, is_not_blank
from etl_assets.values.timestamps import has_timestamp, parse_timestamps
from etl_assets_tests.helpers import oracle, strategies
from etl_assets_tests.helpers.reference_values import read_quantity, read_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.presets.model import Preset

texts = st.lists(st.none() | strategies.any_text() | st.sampled_from(strategies.EMPTY), max_size=20)


def read_instant(text: str, zone: str, formats: Sequence[str] = ()) -> datetime | None:
    instant: datetime | None = parse_timestamps(pl.Series([text]), pl.Series([zone]), formats).item()
    return instant


def instant_of(text: str | None, preset: Preset) -> datetime | None:
    try:
        return read_timestamp(text, preset.timestamp_formats, ZoneInfo(preset.timezone))
    except ValueError:
        return None


@given(st.lists(strategies.timestamps(), max_size=30), strategies.presets())
def test_times_are_read_as_the_reference_reads_them(written: list[str | None], preset: Preset) -> None:
    column = pl.Series(written, dtype=pl.String)
    zones = pl.Series([preset.timezone] * len(written), dtype=pl.String)
    read = parse_timestamps(column, zones, preset.timestamp_formats)
    assert read.to_list() == [instant_of(text, preset) for text in written]


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-05-13 11:01:12", "Asia/Shanghai", datetime(2024, 5, 13, 3, 1, 12, tzinfo=UTC)),
        ("2024/5/3 11:01", "Asia/Shanghai", datetime(2024, 5, 3, 3, 1, tzinfo=UTC)),
        ("2024-05-13T11:01:12.5+02:00", "Asia/Shanghai", datetime(2024, 5, 13, 9, 1, 12, 500_000, tzinfo=UTC)),
        ("2024-05-13", "UTC", datetime(2024, 5, 13, tzinfo=UTC)),
        ("2024-11-03 01:30", "America/New_York", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),  # twice: the first
        ("2024-03-10 02:30", "America/New_York", datetime(2024, 3, 10, 7, 30, tzinfo=UTC)),  # never: counted on
    ],
)
def test_a_time_without_offset_is_read_in_the_zone(text: str, zone: str, expected: datetime) -> None:
    assert read_instant(text, zone) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45292.5", datetime(2024, 1, 1, 11, tzinfo=UTC)),
        ("45292.520833333336", datetime(2024, 1, 1, 11, 30, tzinfo=UTC)),
        ("45474", datetime(2024, 6, 30, 22, tzinfo=UTC)),
        ("2024-01-01 12:00", datetime(2024, 1, 1, 11, tzinfo=UTC)),
        ("60", None),
        ("4.52925E+04", None),
        ("-45292", None),
        ("99999999", None),
        ("2958467", None),
    ],
)
def test_the_days_of_a_spreadsheet_are_read_where_the_mapping_says_excel(text: str, expected: datetime | None) -> None:
    assert read_instant(text, "Europe/Berlin", ("excel",)) == expected
    if text == "45292.5":
        assert read_instant(text, "Europe/Berlin") is None


@pytest.mark.parametrize("formats", [(), ("%Y-%m-%d %H:%M:%S",), ("%Y-%m-%d %H:%M:%S %z",)])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-12-31 23:59:60", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31 23:59:60.5+01:00", datetime(2016, 12, 31, 23, 0, 0, 500_000, tzinfo=UTC)),
        ("2024-05-13 11:01:60", datetime(2024, 5, 13, 11, 2, tzinfo=UTC)),
        ("2024-05-13 11:01:61", None),
        ("9999-12-31 23:59:60", None),  # there is no next minute
        ("2024-05-13 11:01:59.9999999", datetime(2024, 5, 13, 11, 1, 59, 999_999, tzinfo=UTC)),
        ("2024-05-13 11:01:12.0000019Z", datetime(2024, 5, 13, 11, 1, 12, 1, tzinfo=UTC)),
        ("1969-12-31 23:59:59.9999999999999Z", datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_leap_second_is_the_next_minute_and_fractions_beyond_microseconds_are_cut(
    text: str, expected: datetime | None, formats: Sequence[str]
) -> None:
    assert read_instant(text, "UTC", formats) == expected
    try:
        assert read_timestamp(text, formats, ZoneInfo("UTC")) == expected
    except ValueError:
        assert expected is None


def test_rows_of_different_zones_are_read_each_in_its_own() -> None:
    written = pl.Series(["2024-05-13 11:00", "2024-05-13 11:00", None, "nonsense"])
    zones = pl.Series(["Asia/Shanghai", "Europe/London", "UTC", None])
    hours = [instant and instant.hour for instant in parse_timestamps(written, zones, ()).to_list()]
    assert hours == [3, 10, None, None]


@pytest.mark.parametrize(("text", "is_there"), [("0000-00-00 00:00:00", False), ("", False), ("x", True)])
def test_a_text_that_gives_no_time_is_told_from_one_that_can_not_be_read(text: str, *, is_there: bool) -> None:
    assert pl.select(has_timestamp(pl.lit(text))).item() is is_there


@given(texts)
def test_a_text_is_filled_if_something_is_left_of_it_when_cleaned(written: list[str | None]) -> None:
    frame = pl.DataFrame({"text": written}, schema={"text": pl.String})
    both = frame.select(filled=is_not_blank(pl.col("text")), cleaned=clean_text(pl.col("text")).is_not_null())
    assert both["filled"].to_list() == both["cleaned"].to_list()


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("3", 3), ("-2", -2), ("+4", 4), (" ３ ", 3), ("3.0", 3), ("3.", 3), ('="5"', 5), ("2147483647", 2**31 - 1),
        ("-2147483648", -(2**31)), ("2147483648", None), ("3.5", None), ("3件", None), ("", None), ("1e3", None),
        ("--1", None), ("٣", None), ("1,000", 1000), ("1,00", None), ("007", 7), ("$3", None), ("1.00001", None),
        ("1.000000", 1), ("99999999999999999999", None),
    ],
)  # fmt: skip
def test_the_quantity_of_a_line_is_a_whole_number_in_range(text: str, quantity: int | None) -> None:
    assert pl.select(whole_number(parse_quantity(pl.lit(text), NumberFormat()))).item() == quantity


@given(st.lists(strategies.amounts(), max_size=20), strategies.presets())
def test_quantities_are_read_as_the_reference_reads_them(texts: list[str | None], preset: Preset) -> None:
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    read = frame.select(parse_quantity(pl.col("text"), preset.numbers)).to_series().to_list()
    assert read == [quantity_of(text, preset) for text in texts]


def quantity_of(text: str | None, preset: Preset) -> Decimal | None:
    try:
        return read_quantity(text, preset.numbers)
    except ValueError:
        return None


@given(st.decimals(-(10**14) + 1, 10**14 - 1, places=4), strategies.presets())
def test_an_amount_that_is_written_reads_as_the_same(amount: Decimal, preset: Preset) -> None:
    written = pl.select(amount=format_money(pl.lit(amount, pl.Decimal(38, 8)), preset.numbers))
    assert written.select(parse_money(pl.col("amount"), preset.numbers)).item() == amount


@given(st.lists(st.tuples(*[strategies.any_text()] * 3), max_size=20))
def test_customers_have_the_uuid5_of_their_escaped_key(names: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(names, schema=dict.fromkeys(("platform", "shop", "name"), pl.String), orient="row")
    key = customer_key(pl.col("platform"), pl.col("shop"), pl.col("name"))
    made = frame.select(key=key, id=customer_global_id(key))
    assert made["key"].to_list() == [oracle.customer_key(*parts) for parts in names]
    assert made["id"].to_list() == [str(uuid5(CUSTOMER_NAMESPACE, text)) for text in made["key"]]
    assert made["key"].n_unique() == len(set(names))


@given(st.lists(st.tuples(st.uuids(), st.integers(0, 2**31 - 1)), max_size=20))
def test_leads_have_the_uuid5_of_their_customer_and_number(made_of: list[tuple[UUID, int]]) -> None:
    rows = [(str(customer), number) for customer, number in made_of]
    frame = pl.DataFrame(rows, schema={"customer": pl.String, "number": pl.Int32}, orient="row")
    ids = frame.select(lead_id(pl.col("customer"), pl.col("number"))).to_series()
    assert ids.to_list() == [str(uuid5(LEAD_NAMESPACE, f"{customer}:{number}")) for customer, number in made_of]


def test_identifiers_stay_the_same_for_ever() -> None:
    key = customer_key(pl.lit("taobao"), pl.lit("花间:定制"), pl.lit("张三"))
    made = pl.select(customer=customer_global_id(key)).with_columns(lead=lead_id(pl.col("customer"), pl.lit(0)))
    assert made.row(0) == ("89a7dcf4-bdfb-5fff-a6c3-a80857848cca", "5831c18d-2dc2-52c0-b314-3a8f7d0d41ec")


def test_a_customer_without_a_name_has_no_identifier() -> None:
    key = customer_key(pl.lit("p"), pl.lit("s"), pl.lit(None, pl.String))
    assert pl.select(customer_global_id(key)).item() is None


def test_a_decimal_comma_alone_makes_the_point_group_thousands() -> None:
    number_format = NumberFormat.model_validate({"decimal": ","})
    texts = pl.DataFrame({"amount": ["1.234,50", "12,90", "1.234.567"]})
    read = texts.select(parse_money(pl.col("amount"), number_format)).to_series().to_list()
    assert read == [Decimal("1234.5"), Decimal("12.9"), Decimal(1234567)]


def test_a_number_format_that_can_not_tell_its_marks_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="name two different characters"):
        NumberFormat(decimal=".", thousands=".")


@pytest.mark.parametrize("columns", [(), ("a",), ("a", "b"), ("b",)])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_frame_is_cut_into_pieces_of_about_so_many_bytes_and_nothing_is_lost(
    columns: tuple[str, ...], size: int
) -> None:
    texts = ["", "é", "x" * 20, *["ab"] * 500]
    frame = pl.DataFrame({"n": range(503), "a": texts, "b": [None, *texts[1:]]})
    pieces = list(cut_by_bytes(frame, columns, size))
    assert pl.concat(pieces).equals(frame)
    for piece in pieces if columns else []:
        lengths = [sum(len((text or "").encode()) for text in row) for row in piece.select(columns).iter_rows()]
        assert sum(lengths[1:]) <= size or max(lengths) > size
    assert list(cut_by_bytes(frame.clear(), columns, size)) == []
