"""Gathering an order's lines into one raw row: the same in memory and on disk, and as a plain loop would do it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.frame_schemas import CONFLICTING_ORDER
from etl_assets.order_items.transform import read_items
from etl_assets.presets.catalog import get_preset, load_mapping
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.columns import BAD_TEXT, LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.transform import RAW_ORDER_SCHEMA
from etl_assets.values.numbers import parse_money
from etl_assets_tests.helpers.in_process_reader import FileHere

PROJECT = Path(__file__).parents[1]
RETAIL = PROJECT.parent / "shared" / "data" / "online_retail.parquet"

PRESET = Preset.model_validate(
    {
        "name": "lines",
        "shape": "line_item",
        "columns": {"shop": "shop", "order_id": "id", "customer_name": ["mail", "phone"]},
        "item": {"name": "name", "variant": "variant", "quantity": "n", "unit_price": "price"},
        "amount_from_items": True,
        "item_variant_separator": " - ",
    }
)
HEADERS = ("shop", "id", "mail", "phone", "name", "variant", "n", "price", "note", "tag")


def frame_of(rows: list[tuple[Any, ...]], first_line: int = 2) -> pl.DataFrame:
    schema = {**dict.fromkeys(HEADERS, pl.String), ROW_ERROR: pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.int_range(first_line, first_line + pl.len(), dtype=pl.Int64).alias(LINE_NUMBER))


def gathered(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [row for frame in group_lines([frame_of(rows)], PRESET) for row in frame.to_dicts()]


def line(**values: str | None) -> tuple[Any, ...]:
    row = {"shop": "s"} | values
    return (*(row.get(header) for header in HEADERS), row.get("defect"))


def naive_gather(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Follow the same rule row by row."""
    lines = []
    shops: dict[str, set[str]] = {}
    for number, values in enumerate(rows, start=2):
        row = dict(zip((*HEADERS, "defect"), values, strict=True))
        row = {header: value if (value or "").strip() else None for header, value in row.items()}
        order_id, shop = (row["id"] or "").strip(), (row["shop"] or "").strip()
        lines.append((number, row, order_id, shop))
        if shop:
            shops.setdefault(order_id, set()).add(shop)
    orders: dict[tuple[str, str, int], list[tuple[int, dict[str, Any]]]] = {}
    held = set()
    for at, (number, row, order_id, shop) in enumerate(lines):
        found = shop
        if not shop and order_id and order_id in shops:
            near = (one[3] for one in (*reversed(lines[:at]), *lines[at:]) if one[2] == order_id and one[3])
            found = next(near)
            held |= {order_id} if len(shops[order_id]) > 1 else set()
        orders.setdefault((found, order_id, 0 if order_id else number), []).append((number, row))
    return [naive_order(lines, is_held=order_id in held) for (_, order_id, _), lines in orders.items()]


def naive_order(lines: list[tuple[int, dict[str, Any]]], *, is_held: bool) -> dict[str, Any]:
    def first(*headers: str) -> str | None:
        found = (next((row[header] for header in headers if row[header]), None) for _, row in lines)
        return next((value for value in found if value), None)

    total: Decimal | None = None
    invalid_number = None
    items = []
    for number, row in lines:
        item = {"name": row["name"], "variant": row["variant"], "quantity": row["n"], "unit_price": row["price"]}
        parts = (row["name"] or "").rpartition(" - ")
        if row["variant"] is None and parts[0].strip() and parts[2].strip():
            item |= {"name": parts[0], "variant": parts[2]}
        items.append({key: value for key, value in item.items() if value is not None})
        texts = [(header, row[header]) for header in ("n", "price") if row[header]]
        bad = [
            f"{header}, line {number}: {text}"
            for header, text in texts
            if not text.strip().lstrip("-").replace(".", "", 1).isdigit()
        ]
        invalid_number = invalid_number or next(iter(bad), None)
        if row["price"] and not bad:
            total = (total or Decimal(0)) + Decimal((row["n"] or "1").strip()) * Decimal(row["price"].strip())
    extra = {header: first(header) for header in ("note", "tag") if first(header)}
    items = [item for item in items if item]
    return dict.fromkeys(RAW_ORDER_SCHEMA.names()) | {
        "row_no": lines[0][0],
        "platform": "lines",
        "shop": first("shop"),
        "order_id": first("id"),
        "customer_name": first("mail", "phone"),
        "items": items or None,
        "amount": invalid_number or total,
        "extra": extra or None,
        "defect": " ".join([first("defect") or "", *([CONFLICTING_ORDER] * is_held)]).strip() or None,
    }


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    changed = {column: json.loads(row[column]) for column in ("items", "extra") if row[column] is not None}
    if row["amount"] is not None and row["amount"].lstrip("-").replace(".", "", 1).isdigit():
        changed["amount"] = Decimal(row["amount"])
    return row | changed


TEXT = st.sampled_from([None, "", " ", "a", "Mug - Blue", "A - B - C", " - x", 'q"\\\n\x01', "白色"])
ROW = st.tuples(
    st.sampled_from([None, "s", " s ", "t"]),
    st.sampled_from([None, "", "1", " 1", "2", "3"]),
    *([TEXT] * 4),
    st.sampled_from([None, "", "1", "-2", "3.5", "two"]),
    st.sampled_from([None, "", "2.55", "0.001", " 7 ", "x1"]),
    TEXT,
    TEXT,
    st.sampled_from([None, None, BAD_TEXT]),
)


@settings(max_examples=2 * settings().max_examples)
@given(rows=st.lists(ROW, max_size=25), cut=st.integers(1, 8), limit=st.integers(1, 10), partitions=st.integers(1, 4))
def test_gathering_equals_a_plain_loop_in_memory_and_on_disk(
    rows: list[tuple[Any, ...]], cut: int, limit: int, partitions: int
) -> None:
    expected = naive_gather(rows)
    assert [decoded(row) for row in gathered(rows)] == expected
    pieces = [frame_of(rows[at : at + cut], at + 2) for at in range(0, len(rows), cut)]
    spilled = list(group_lines(pieces, PRESET, in_memory_lines=limit, partitions=partitions))
    assert all(frame["row_no"].is_sorted() and frame.schema == RAW_ORDER_SCHEMA for frame in spilled)
    result = [decoded(row) for frame in spilled for row in frame.to_dicts()]
    assert sorted(result, key=lambda row: row["row_no"]) == expected


def test_an_amount_is_exact_and_without_trailing_zeros() -> None:
    rows = [line(id="1", n="3", price="0.1"), line(id="1", n="1", price="0.0001"), line(id="2", n="10", price="10")]
    assert [row["amount"] for row in gathered(rows)] == ["0.3001", "100"]


def test_an_amount_is_written_in_the_format_that_the_preset_reads() -> None:
    preset = Preset.model_validate(PRESET.model_dump() | {"numbers": {"decimal": ",", "thousands": "."}})
    rows = [line(id="1", name="a", n="1", price="1,255"), line(id="1", name="b", n="2", price="1.000,5")]
    (frame,) = group_lines([frame_of(rows)], preset)
    assert frame["amount"].to_list() == ["2002,255"]
    assert frame.select(parse_money(pl.col("amount"), preset.numbers)).to_series().to_list() == [Decimal("2002.255")]


COMMA = {"decimal": ","}


@pytest.mark.parametrize(
    ("numbers", "text", "quantity"),
    [
        (COMMA, "1.000", 1000), (COMMA, "3,0", 3), (COMMA, "-2", -2), (COMMA, "1.00", None), (COMMA, "2,5", None),
        ({}, "1,000", 1000), ({}, "1.000", 1), ({}, "1,00", None), ({}, "2.50", None), ({}, None, 1),
        ({"thousands": ""}, "1,000", None), ({"thousands": "'"}, "1'000", 1000), ({}, "$3", None), ({}, "x", None),
    ],
)  # fmt: skip
def test_a_line_and_the_amount_of_its_order_have_the_same_quantity(
    numbers: dict[str, str], text: str | None, quantity: int | None
) -> None:
    preset = Preset.model_validate(PRESET.model_dump() | {"numbers": numbers})
    (raw,) = group_lines([frame_of([line(id="1", name="a", n=text, price="1")])], preset)
    lines, _ = read_items(raw.with_columns(shop_id=1, raw_id=1), preset.numbers)
    assert lines["quantity"].to_list() == ([] if quantity is None else [quantity])
    amount = raw.select(parse_money(pl.col("amount"), preset.numbers)).item()
    assert amount == quantity or (quantity is None and amount in {None, Decimal("2.5")})


@pytest.mark.parametrize("text", ["$3", "3 EUR", "1.00001"])
def test_a_quantity_that_is_none_never_becomes_an_amount_that_can_be_read(text: str) -> None:
    (order,) = gathered([line(id="1", n=text, price="2")])
    assert order["amount"] == f"n, line 2: {text}"
    assert pl.select(parse_money(pl.lit(order["amount"]), PRESET.numbers)).item() is None


def test_an_order_without_a_priced_line_has_no_amount() -> None:
    assert [row["amount"] for row in gathered([line(id="1", n="3"), line(id="1", name="a")])] == [None]


def test_a_line_without_quantity_counts_once_as_its_item_does() -> None:
    rows = [line(id="1", name="a", price="3.00"), line(id="1", name="b", n="2", price="1.5")]
    assert [row["amount"] for row in gathered(rows)] == ["6"]


def test_what_is_no_number_becomes_the_amount_so_that_it_is_rejected() -> None:
    rows = [line(id="1", n="3", price="2"), line(id="1", n="three", price="2")]
    assert [row["amount"] for row in gathered(rows)] == ["n, line 3: three"]


def test_a_sum_beyond_all_amounts_is_no_amount_and_not_another_number() -> None:
    rows = [line(id="1", n="99999999999999.9999", price="99999999999999.9999") for _ in range(2000)]
    (order,) = gathered(rows)
    amount = pl.DataFrame({"amount": [order["amount"]]}).select(parse_money(pl.col("amount"), PRESET.numbers)).item()
    assert (order["amount"], amount) == ("2e+31", None)


def test_lines_without_order_number_stay_rows_of_their_own() -> None:
    orders = gathered([line(name="a"), line(id="1", name="b"), line(id=" ", name="c")])
    assert [row["order_id"] for row in orders] == [None, "1", None]


@pytest.mark.parametrize("limit", [1, 100])
def test_lines_that_leave_the_shop_out_belong_to_the_one_shop_that_has_the_order(limit: int) -> None:
    rows = [
        line(id="1", shop=None, name="a"),
        line(id="2", name="b"),
        line(id="1", name="c"),
        line(id=" 1", shop=" ", name="d"),
        line(id="2", shop="t", name="e"),
        line(id="2", shop=None, name="f"),
        line(id="3", shop=None, name="g"),
    ]
    pieces = [frame_of([row], at) for at, row in enumerate(rows, start=2)]
    orders = pl.concat(list(group_lines(pieces, PRESET, in_memory_lines=limit))).sort("row_no")
    assert [(order["order_id"], order["shop"], names_of(order)) for order in orders.to_dicts()] == [
        ("1", "s", ["a", "c", "d"]),
        ("2", "s", ["b"]),
        ("2", "t", ["e", "f"]),
        ("3", None, ["g"]),
    ]
    assert orders["defect"].to_list() == [None, CONFLICTING_ORDER, CONFLICTING_ORDER, None]


def test_lines_that_leave_platform_and_shop_out_belong_to_the_one_shop_that_has_the_order() -> None:
    columns = {"platform": "tag", "shop": "shop", "order_id": "id"}
    preset = Preset.model_validate(PRESET.model_dump() | {"columns": columns})
    rows = [
        line(id="1", tag="p", name="a"),
        line(id="1", shop=None, name="b"),
        line(id="2", tag="p", name="c"),
        line(id="2", tag="q", shop="t", name="d"),
        line(id="2", tag="q", shop=None, name="e"),
        line(id="2", shop="t", name="f"),
        line(id="2", shop=None, name="g"),
    ]
    (frame,) = group_lines([frame_of(rows)], preset)
    assert [(order["platform"], order["shop"], names_of(order)) for order in frame.to_dicts()] == [
        ("p", "s", ["a", "b"]),
        ("p", "s", ["c"]),
        ("q", "t", ["d", "e", "f", "g"]),
    ]
    assert frame["defect"].to_list() == [None, CONFLICTING_ORDER, CONFLICTING_ORDER]


def test_a_constant_stands_only_where_no_line_of_the_order_says_anything() -> None:
    columns = {
        "shop": {"columns": ["shop"], "constant": "main"},
        "order_id": "id",
        "order_status": {"columns": ["note"], "constant": "open"},
    }
    preset = Preset.model_validate(PRESET.model_dump() | {"columns": columns})
    rows = [
        line(id="1", shop=None, name="a"),
        line(id="1", shop="t", name="b", note="paid"),
        line(id="2", shop=None, name="c"),
    ]
    (frame,) = group_lines([frame_of(rows)], preset)
    assert [(order["shop"], order["order_status"], names_of(order)) for order in frame.to_dicts()] == [
        ("t", "paid", ["a", "b"]),
        ("main", "open", ["c"]),
    ]


def names_of(order: dict[str, Any]) -> list[str]:
    return [item["name"] for item in json.loads(order["items"])]


def test_the_disk_is_clean_after_use_and_after_giving_up(tmp_path: Path) -> None:
    frames = [frame_of([line(id=str(number))], number) for number in range(10)]
    first = group_lines(frames, PRESET, in_memory_lines=2, spill_folder=tmp_path)
    next(first)
    assert list(tmp_path.iterdir())
    first.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(pl.concat(list(group_lines(frames, PRESET, in_memory_lines=2, spill_folder=tmp_path)))) == 10
    assert not list(tmp_path.iterdir())


def test_a_shopify_order_is_gathered_from_rows_far_apart(tmp_path: Path) -> None:
    header = (
        "Name,Email,Financial Status,Currency,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,"
        "Lineitem sku,Billing Name,Notes,Cancelled at,Phone,Vendor\n"
    )
    first = '#1001,a@b.de,paid,EUR,30.00,2021-05-13 11:01:12 +0200,2,Mug - Blue - L,10.00,M-1,Ann,"two\nlines",,,V\n'
    others = "".join(f"#{number},,pending,EUR,5,x,1,Cup,5,C,Bo,,2021-05-14,0170,V\n" for number in range(2000, 2500))
    last = "#1001,,,,,2021-05-13 11:01:12 +0200,1,Plate,10.00,P-1,,,,,\n"
    path = tmp_path / "orders.csv"
    path.write_text(header + first + others + last)
    counts = ReadCounts()
    preset = get_preset("shopify").with_overrides(shop="my shop")
    orders = pl.concat(extract_raw_orders(FileHere(path), preset, counts))
    assert (counts.lines, orders.height) == (502, 501)
    order = orders.row(0, named=True)
    assert json.loads(order.pop("items")) == [
        {"name": "Mug - Blue", "variant": "L", "sku": "M-1", "quantity": "2", "unit_price": "10.00"},
        {"name": "Plate", "sku": "P-1", "quantity": "1", "unit_price": "10.00"},
    ]
    assert order == dict.fromkeys(set(RAW_ORDER_SCHEMA.names()) - {"items"}) | {
        "row_no": 2, "platform": "shopify", "shop": "my shop", "order_id": "#1001", "customer_name": "a@b.de",
        "order_status": "paid", "amount": "30.00", "currency": "EUR", "ordered_at": "2021-05-13 11:01:12 +0200",
            "updated_at": "2021-05-13 11:01:12 +0200",
        "remark": "two\nlines", "extra": '{"Vendor":"V"}',
    }  # fmt: skip
    assert orders.row(1, named=True)["order_status"] == "cancelled"
    assert orders.row(1, named=True)["customer_name"] == "0170"


def test_a_shopify_export_without_a_shop_says_how_to_name_one(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("Name\n#1\n")
    with pytest.raises(ImportFileError, match="--shop"):
        list(extract_raw_orders(FileHere(path), get_preset("shopify")))


@pytest.mark.skipif(not RETAIL.exists(), reason="needs the Online Retail data set in ../shared/data")
def test_the_online_retail_data_gathers_to_its_known_figures() -> None:
    counts = ReadCounts()
    mapping = load_mapping(PROJECT / "docs" / "examples" / "online_retail.yaml")
    orders = pl.concat(extract_raw_orders(FileHere(RETAIL), mapping, counts))
    assert (counts.lines, orders.height) == (240_007, 12_469)
    assert orders.filter(pl.col("order_status") == "cancelled").height == 1946
    assert orders["amount"].cast(pl.Decimal(38, 4)).sum() == Decimal("4275143.931")
    assert orders["shop"].n_unique() == 38
    assert orders["row_no"].is_sorted()
