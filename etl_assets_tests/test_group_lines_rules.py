"""The rules that group_by_order the lines of an order into one raw row, step by step: mapped, completed, gathered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.presets.model import Preset
from etl_assets.raw_orders.group_lines import KEY, ORDER, PLATFORM, SHOP, fill_missing_shop, group_by_order, map_lines
from etl_assets.raw_orders.packed_columns import PACKED
from etl_assets.raw_orders.readers.columns import BAD_TEXT, LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.shared_numbers import CONFLICT
from etl_assets.raw_orders.transform import RAW_ORDER_SCHEMA, unmapped_headers
from etl_assets_tests.helpers.literal_frames import Row, frame_of

if TYPE_CHECKING:
    from etl_assets.raw_orders.shared_numbers import Disagreement

MAPPING: Final[dict[str, Any]] = {
    "name": "export",
    "shape": "line_item",
    "columns": {
        "shop": {"columns": ["Store"], "constant": "main"},
        "order_id": "No.",
        "customer_name": "Buyer",
        "order_status": "Status",
        "amount": "Total",
        "ordered_at": "Date",
        "platform_order_id": "Id",
    },
    "item": {"name": "Item", "sku": "SKU", "quantity": "Qty", "unit_price": "Price"},
}
PRESET: Final = Preset.model_validate(MAPPING)
HEADERS: Final = ("Store", "No.", "Buyer", "Status", "Total", "Item", "SKU", "Qty", "Price", "Note", "Date", "Id")
UNMAPPED: Final = unmapped_headers(HEADERS, PRESET)
LINES: Final = {LINE_NUMBER: pl.Int64(), ROW_ERROR: pl.String(), **dict.fromkeys(HEADERS, pl.String())}


def lines(*rows: Row) -> pl.DataFrame:
    """Lines of an export, from line 2 on, of the store "s" where they say nothing else."""
    return frame_of(LINES, [{LINE_NUMBER: number, "Store": "s", **row} for number, row in enumerate(rows, 2)])


def gathered(*rows: Row, **changed: object) -> list[Row]:
    preset = Preset.model_validate({**MAPPING, **changed})
    return group_by_order(map_lines(lines(*rows), preset), preset, unmapped_headers(HEADERS, preset)).to_dicts()


def items_of(order: Row) -> list[dict[str, str]]:
    read: list[dict[str, str]] = json.loads(order["items"])
    return read


# --- map_lines ----------------------------------------------------------------------------------------------


def test_map_lines_finds_the_columns_of_the_order_and_of_the_item_and_keeps_the_others() -> None:
    (mapped,) = map_lines(
        lines({"No.": "1", "Item": "Mug", "Qty": "2", "Note": "soon", "Buyer": " "}), PRESET
    ).to_dicts()
    said = {name: value for name, value in mapped.items() if value is not None}
    assert said == {
        LINE_NUMBER: 2, "shop": "s", "order_id": "1", "item.name": "Mug", "item.quantity": "2",
        PACKED: '{"Note":"soon"}', ORDER: "1", SHOP: "s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "order", "shop"),
    [
        pytest.param({"No.": "1"}, "1", "s", id="as they stand"),
        pytest.param({"No.": " １ ", "Store": " Ｓ"}, "1", "S", id="cleaned"),
        pytest.param({"No.": '="1"'}, "1", "s", id="without a spreadsheet's quotes"),
        pytest.param({"No.": "1", "Store": ""}, "1", None, id="no shop: not the constant, another line may know it"),
    ],
)
def test_map_lines_names_the_order_of_a_line_by_cleaned_texts(row: Row, order: str, shop: str | None) -> None:
    mapped = map_lines(lines(row), PRESET)
    assert mapped.select(*KEY).rows() == [(order, None, shop)]


def test_map_lines_without_an_order_number_are_orders_of_their_own() -> None:
    mapped = map_lines(lines({"No.": "1"}, {"No.": None}, {"No.": " "}, {"No.": "1"}), PRESET)
    one, two, three, four = mapped[ORDER]
    assert one == four == "1"
    assert len({one, two, three}) == 3
    assert mapped["order_id"].to_list() == ["1", None, None, "1"]


# --- fill_missing_shop ---------------------------------------------------------------------------------------------

KEYS: Final = dict.fromkeys(KEY, pl.String())


def groups(*keys: tuple[str, str | None, str | None]) -> list[list[int]]:
    """Which lines (order, platform, shop) belong together, by their places."""
    completed, key = fill_missing_shop(frame_of(KEYS, keys).with_row_index("place"))
    assert completed["place"].to_list() == list(range(len(keys)))
    return sorted(completed.group_by(key, maintain_order=True).agg("place")["place"].to_list())


@pytest.mark.parametrize(
    ("keys", "together"),
    [
        pytest.param([("1", "p", "s"), ("1", "p", "s")], [[0, 1]], id="the same order"),
        pytest.param([("1", "p", "s"), ("2", "p", "s")], [[0], [1]], id="another number"),
        pytest.param([("1", "p", "s"), ("1", "p", "t")], [[0], [1]], id="another shop"),
        pytest.param([("1", "p", "s"), ("1", "q", "s")], [[0], [1]], id="another platform"),
        pytest.param([("1", None, None), ("1", None, None)], [[0, 1]], id="no line names a shop"),
        pytest.param([("1", None, "s"), ("1", None, None)], [[0, 1]], id="left out after the first line"),
        pytest.param([("1", None, None), ("1", None, "s")], [[0, 1]], id="left out before the line that says it"),
        pytest.param([("1", None, "s"), ("2", None, None)], [[0], [1]], id="of another order"),
        pytest.param(
            [("1", None, "s"), ("1", None, "t"), ("1", None, None)], [[0], [1, 2]],
            id="two shops have the number: the line is taken for one of the order above",
        ),
        pytest.param([("1", "p", "s"), ("1", None, None)], [[0, 1]], id="platform and shop left out"),
        pytest.param([("1", "p", "s"), ("1", None, "s")], [[0, 1]], id="the platform left out"),
        pytest.param(
            [("1", "p", "s"), ("1", None, "s"), ("1", "q", "s")], [[0, 1], [2]],
            id="two platforms have shop and number: likewise",
        ),
        pytest.param(
            [("1", "p", "s"), ("1", "q", "t"), ("1", "q", None)], [[0], [1, 2]],
            id="the platform tells which of two shops it is",
        ),
    ],
)  # fmt: skip
def test_with_shops_completes_lines_by_the_one_shop_that_has_the_order(
    keys: list[tuple[str, str | None, str | None]], together: list[list[int]]
) -> None:
    assert groups(*keys) == together


@pytest.mark.parametrize(
    ("keys", "held"),
    [
        pytest.param([("1", None, "s"), ("1", None, "t")], [], id="each line names its shop: two orders"),
        pytest.param([("1", None, "s"), ("1", None, None), ("2", None, "t")], [], id="one shop has the number"),
        pytest.param([("1", None, "s"), ("1", None, "t"), ("1", None, None)], [0, 1, 2], id="two have: all wait"),
        pytest.param([("1", None, None), ("1", None, "s"), ("1", None, "t")], [0, 1, 2], id="wherever the line is"),
        pytest.param(
            [("1", None, "s"), ("1", None, "t"), ("1", None, None), ("2", None, "s"), ("2", None, None)], [0, 1, 2],
            id="other numbers are not concerned",
        ),
        pytest.param(
            [("1", "p", "s"), ("1", "p", "t"), ("1", "p", None), ("1", "q", "s")], [0, 1, 2],
            id="nor are orders of another platform than the line's",
        ),
        pytest.param([("1", "p", "s"), ("1", "q", "s"), ("1", None, "s")], [0, 1, 2], id="two platforms likewise"),
        pytest.param([("1", "p", "s"), ("1", "p", "t"), ("1", "q", None)], [], id="a line that contradicts both"),
    ],
)  # fmt: skip
def test_orders_of_several_shops_wait_where_a_line_may_be_of_each(
    keys: list[tuple[str, str | None, str | None]], held: list[int]
) -> None:
    completed, _ = fill_missing_shop(frame_of(KEYS, keys).with_row_index("place"))
    marked = completed.filter(CONFLICT)["place"].to_list() if CONFLICT in completed.columns else []
    assert marked == held


def test_with_shops_leaves_lines_alone_that_all_say_their_shop() -> None:
    given = frame_of(KEYS, [("1", None, "s"), ("1", None, "t")])
    completed, key = fill_missing_shop(given)
    assert_frame_equal(completed, given)
    assert key == KEY == (ORDER, PLATFORM, SHOP)


# --- group_by_order -------------------------------------------------------------------------------------------------


def test_gather_makes_one_raw_row_of_an_orders_lines_which_may_lie_apart() -> None:
    first = {"No.": "1", "Buyer": "Ann", "Status": "paid", "Total": "30", "Item": "Mug", "SKU": "M-1", "Qty": "2"}
    other = {"No.": "2", "Buyer": "Bob", "Total": "5", "Item": "Cup"}
    second = {"No.": "1", "Status": "sent", "Item": "Pin", "Price": "1.50", "Note": "soon"}
    mapped = map_lines(lines(first, other, second), PRESET)
    expected: list[Row] = [
        {
            "row_no": 2, "platform": "export", "shop": "s", "order_id": "1", "customer_name": "Ann",
            "order_status": "paid", "amount": "30", "extra": '{"Note":"soon"}',
            "items": '[{"name":"Mug","sku":"M-1","quantity":"2"},{"name":"Pin","unit_price":"1.50"}]',
        },
        {
            "row_no": 3, "platform": "export", "shop": "s", "order_id": "2", "customer_name": "Bob", "amount": "5",
            "items": '[{"name":"Cup"}]',
        },
    ]  # fmt: skip
    assert_frame_equal(group_by_order(mapped, PRESET, UNMAPPED), frame_of(RAW_ORDER_SCHEMA, expected))
    assert_frame_equal(group_by_order(mapped.reverse(), PRESET, UNMAPPED), frame_of(RAW_ORDER_SCHEMA, expected))


@pytest.mark.parametrize(
    ("values", "first"),
    [
        pytest.param(["a", "b"], "a", id="the first line's"),
        pytest.param([None, "b"], "b", id="the first that is not null"),
        pytest.param([" ", '=""', "c"], "c", id="the first that says anything"),
        pytest.param([None, None], None, id="none"),
    ],
)
def test_gather_takes_the_first_non_empty_value_of_each_field(values: list[str | None], first: str | None) -> None:
    rows = [{"No.": "1", "Buyer": value, "Total": value, "Note": value} for value in values]
    (order,) = gathered(*rows)
    extra = json.loads(order["extra"])["Note"] if order["extra"] else None
    assert (order["customer_name"], order["amount"], extra) == (first, first, first)


@pytest.mark.parametrize(
    ("stores", "shop"),
    [
        pytest.param(["s", "s"], "s", id="all say it"),
        pytest.param([None, "s"], "s", id="one does"),
        pytest.param([None, None], "main", id="none does: the constant"),
    ],
)
def test_gather_takes_a_constant_only_where_no_line_says_anything(stores: list[str | None], shop: str) -> None:
    (order,) = gathered(*({"No.": "1", "Store": store, "Item": "a"} for store in stores))
    assert (order["shop"], len(items_of(order))) == (shop, 2)


@pytest.mark.parametrize(
    ("item_lines", "amount"),
    [
        pytest.param([("2", "1.50")], "3", id="quantity times price"),
        pytest.param([("2", "1.50"), ("1", "0.25")], "3.25", id="of all lines"),
        pytest.param([(None, "1.50")], "1.5", id="no quantity: one"),
        pytest.param([("2", None)], None, id="no price: no amount"),
        pytest.param([("2", None), ("1", "4")], "4", id="of the lines that have a price"),
        pytest.param([("-1", "4"), ("1", "4")], "0", id="a return is taken off"),
        pytest.param([("0", "4")], "0", id="zero is an amount"),
        pytest.param([("3", "0.1")], "0.3", id="exact"),
        pytest.param([("1", "4"), ("1", "free")], "Price, line 3: free", id="a price that is none: rejected"),
        pytest.param([("two", "4")], "Qty, line 2: two", id="so is a quantity"),
    ],
)
def test_gather_sums_the_amount_of_the_items_where_the_preset_says_so(
    item_lines: list[tuple[str | None, str | None]], amount: str | None
) -> None:
    columns = {"order_id": "No.", "shop": "Store"}
    rows = [{"No.": "1", "Item": "a", "Qty": quantity, "Price": price} for quantity, price in item_lines]
    (order,) = gathered(*rows, columns=columns, amount_from_items=True)
    assert order["amount"] == amount


@pytest.mark.parametrize(
    ("name", "item"),
    [
        pytest.param("Mug - Blue", {"name": "Mug", "variant": "Blue"}, id="split"),
        pytest.param("Mug - Big - Blue", {"name": "Mug - Big", "variant": "Blue"}, id="at the last one"),
        pytest.param("Mug-Blue", {"name": "Mug-Blue"}, id="another separator"),
        pytest.param(" - Blue", {"name": " - Blue"}, id="no name before it"),
        pytest.param("Mug -  ", {"name": "Mug -  "}, id="no variant behind it"),
    ],
)
def test_gather_splits_the_variant_off_the_name_where_the_preset_says_so(name: str, item: dict[str, str]) -> None:
    (order,) = gathered({"No.": "1", "Item": name}, item_variant_separator=" - ")
    assert items_of(order) == [item]


def test_gather_leaves_a_variant_alone_that_the_export_names() -> None:
    item = {"name": "Item", "variant": "SKU"}
    (order,) = gathered({"No.": "1", "Item": "Mug - Blue", "SKU": "L"}, item=item, item_variant_separator=" - ")
    assert items_of(order) == [{"name": "Mug - Blue", "variant": "L"}]


def test_gather_marks_an_order_of_which_a_line_has_a_defect() -> None:
    orders = gathered({"No.": "1"}, {"No.": "1", ROW_ERROR: BAD_TEXT}, {"No.": "2"})
    assert [(order["order_id"], order["defect"], order["items"]) for order in orders] == [
        ("1", BAD_TEXT, None), ("2", None, None),
    ]  # fmt: skip


def held(*rows: Row) -> list[tuple[str | None, str | None, list[str], str | None]]:
    return [
        (order["shop"], order["platform_order_id"], [item["name"] for item in items_of(order)], order["defect"])
        for order in gathered(*rows)
    ]


def test_gather_keeps_orders_apart_that_have_different_ids_under_one_number_and_marks_them() -> None:
    rows = [
        {"No.": "1", "Id": "77", "Item": "a"}, {"No.": "1", "Item": "b"}, {"No.": "2", "Id": "79", "Item": "e"},
        {"No.": "1", "Id": "78", "Item": "c"}, {"No.": "1", "Item": "d"}, {"No.": "2", "Id": " 79", "Item": "f"},
    ]  # fmt: skip
    assert held(*rows) == [
        ("s", "77", ["a", "b"], "CONFLICTING_ORDER"),
        ("s", "79", ["e", "f"], None),
        ("s", "78", ["c", "d"], "CONFLICTING_ORDER"),
    ]


def test_gather_gives_a_line_without_a_shop_to_the_order_above_and_holds_both() -> None:
    rows = [
        {"No.": "1", "Store": "s", "Item": "a"}, {"No.": "1", "Store": "", "Item": "b"},
        {"No.": "1", "Store": "t", "Item": "c"}, {"No.": "1", "Store": "", "Item": "d"},
    ]  # fmt: skip
    assert held(*rows) == [
        ("s", None, ["a", "b"], "CONFLICTING_ORDER"),
        ("t", None, ["c", "d"], "CONFLICTING_ORDER"),
    ]


def test_gather_loads_orders_of_two_shops_that_share_a_number_and_are_told_apart() -> None:
    rows = [{"No.": "1", "Store": store, "Item": item} for store, item in (("s", "a"), ("t", "b"), ("s", "c"))]
    assert held(*rows) == [("s", None, ["a", "c"], None), ("t", None, ["b"], None)]


def test_gather_adds_a_conflict_to_the_defect_of_a_line() -> None:
    rows = [{"No.": "1", "Id": "77", ROW_ERROR: BAD_TEXT}, {"No.": "1", "Id": "78"}]
    assert [order["defect"] for order in gathered(*rows)] == ["BAD_TEXT CONFLICTING_ORDER", "CONFLICTING_ORDER"]


@pytest.mark.parametrize("lie_together", [pytest.param(True, id="together"), pytest.param(False, id="apart")])
def test_gather_counts_the_orders_whose_lines_disagree(lie_together: bool) -> None:  # noqa: FBT001  # of the test
    first: Row = {"No.": "1", "Buyer": "Ann", "Total": "3", "Date": "2024-01-01"}
    rows: list[Row] = [
        first, {"No.": "1", "Buyer": " Ann ", "Total": "3.00", "Date": "2024-01-02"},
        {"No.": "2", "Buyer": "Bob", "Total": "3"}, {"No.": "2", "Buyer": None, "Total": "4"},
        {"No.": "3", "Buyer": "Eve"}, {"No.": "3", "Buyer": "eve"}, {"No.": "4"}, {"No.": "4", "Buyer": "Kim"},
        {"No.": "5", "Buyer": "Ann"}, {"No.": "5"}, {"No.": "5", "Buyer": "Anne"},
    ]  # fmt: skip
    ordered = rows if lie_together else [*rows[::2], *rows[1::2]]
    found: list[Disagreement] = []
    group_by_order(map_lines(lines(*ordered), PRESET), PRESET, UNMAPPED, found)
    assert [(one.column, one.orders) for one in found] == [("customer_name", 2), ("ordered_at", 1), ("amount", 1)]


def test_gather_finds_nothing_where_the_further_lines_leave_the_order_out() -> None:
    found: list[Disagreement] = []
    rows = [{"No.": "1", "Buyer": "Ann", "Total": "3"}, {"No.": "1"}, {"No.": "2", "Buyer": "Bob", "Total": "4"}]
    group_by_order(map_lines(lines(*rows), PRESET), PRESET, UNMAPPED, found)
    assert found == []
