"""The rules of process items (工艺) as tables of cases: of lines and of whole orders, and their prints."""

from __future__ import annotations

from typing import Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.order_items.transform import UNREADABLE_SCHEMA
from etl_assets.process_items.transform import PROCESS_SCHEMA, read_processes
from etl_assets_tests.helpers.literal_frames import frame_of

ORDERS: Final = {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "processes": pl.String()}
LINES: Final = {"raw_id": pl.Int64(), "line_no": pl.Int32(), "quantity": pl.Int32(), "processes": pl.String()}
COUNTED: Final = {name: PROCESS_SCHEMA[name] for name in ("picture_count", "quantity", "picture_print_quantity")}


def order(processes: str | None) -> pl.DataFrame:
    """Order "a" of shop 7, from raw row 11, with its own processes."""
    return frame_of(ORDERS, [(7, "a", 11, processes)])


def lines(*quantities: int, processes: str | None = None) -> pl.DataFrame:
    """The lines of that order by their quantities, each with the same processes."""
    return frame_of(LINES, [(11, number, quantity, processes) for number, quantity in enumerate(quantities, 1)])


def test_read_processes_reads_those_of_lines_and_those_of_the_order_as_line_0() -> None:
    given = frame_of(ORDERS, [(7, "a", 11, "烫画"), (7, "b", 12, None), (8, "a", 13, "UV:front*2+laser")])
    of_lines = frame_of(
        LINES,
        [
            (11, 1, 3, '[{"process": "刺绣", "position": "左胸", "pictures": 2}, {"process": "丝印"}]'),
            (11, 2, 4, None),
            (12, 1, 5, "Embroidery@left chest x2"),
            (13, 1, 1, "null"),
        ],
    )
    expected = [
        (7, "a", 0, 1, "烫画", None, 1, 7, 7, 11),
        (7, "a", 1, 1, "刺绣", "左胸", 2, 3, 6, 11),
        (7, "a", 1, 2, "丝印", None, 1, 3, 3, 11),
        (7, "b", 1, 1, "Embroidery", "left chest", 2, 5, 10, 12),
        (8, "a", 0, 1, "UV", "front", 2, 1, 2, 13),
        (8, "a", 0, 2, "laser", None, 1, 1, 1, 13),
    ]
    read, bad = read_processes(given, of_lines)
    assert_frame_equal(read, frame_of(PROCESS_SCHEMA, expected))
    assert bad.is_empty()


@pytest.mark.parametrize(
    ("text", "quantity", "counted"),
    [
        pytest.param("绣*2", 3, (2, 3, 6), id="pictures times quantity"),
        pytest.param("绣", 3, (1, 3, 3), id="one picture where none is given"),
        pytest.param("绣*0", 3, (0, 3, 0), id="no picture, nothing to print"),
        pytest.param("绣*2", 0, (2, 0, 0), id="nothing ordered, nothing to print"),
        pytest.param("绣*2", -3, (2, -3, -6), id="a return counts back"),
        pytest.param("绣*100000", 100_000, (100_000, 100_000, 10_000_000_000), id="more than an int holds"),
        pytest.param('[{"process": "绣", "pictures": "4"}]', 3, (4, 3, 12), id="JSON with a text"),
        pytest.param('[{"process": "绣", "pictures": 4}]', 3, (4, 3, 12), id="JSON with a number"),
        pytest.param('[{"process": "绣", "pictures": null}]', 3, (1, 3, 3), id="JSON with null"),
    ],
)
def test_picture_print_quantity_is_pictures_times_the_quantity_of_the_line(
    text: str, quantity: int, counted: tuple[int, int, int]
) -> None:
    read, _ = read_processes(order(None), lines(quantity, processes=text))
    assert_frame_equal(read.select(*COUNTED), frame_of(COUNTED, [counted]))


@pytest.mark.parametrize(
    ("quantities", "total"),
    [
        pytest.param([5], 5, id="one line"),
        pytest.param([2, 3, 4], 9, id="all lines together"),
        pytest.param([5, -2], 3, id="a return is taken off"),
        pytest.param([-5], -5, id="nothing but a return"),
        pytest.param([2, -2], 0, id="all of it returned"),
        pytest.param([], 0, id="no lines: nothing to print"),
    ],
)
def test_picture_print_quantity_of_an_order_level_process_is_pictures_times_the_orders_total(
    quantities: list[int], total: int
) -> None:
    read, bad = read_processes(order("绣*2"), lines(*quantities))
    expected = [(7, "a", 0, 1, "绣", None, 2, total, 2 * total, 11)]
    assert_frame_equal(read, frame_of(PROCESS_SCHEMA, expected))
    assert bad.is_empty()


@pytest.mark.parametrize("text", [None, "", " \n", "null", "[]", ";;"])
def test_read_processes_of_a_text_that_says_nothing_are_none(text: str | None) -> None:
    read, bad = read_processes(order(text), lines(2, processes=text))
    assert read.is_empty()
    assert bad.is_empty()


@pytest.mark.parametrize(
    ("of_order", "of_line", "reason"),
    [
        pytest.param(
            "绣*-1", "印",
            "processes of the order: process 1 has a number of pictures that is not a whole number from 0",
            id="a negative number of pictures",
        ),
        pytest.param("印;:左胸", "印", "processes of the order: process 2 has no process type", id="no process type"),
        pytest.param(
            "印", "[broken", "processes of the line 1: the text is not a JSON array of objects",
            id="a line's, that is no JSON",
        ),
        pytest.param(
            "[broken", "[broken",
            "processes of the order: the text is not a JSON array of objects;"
            " processes of the line 1: the text is not a JSON array of objects",
            id="both are told",
        ),
    ],
)  # fmt: skip
def test_read_processes_of_an_order_are_all_or_none(of_order: str, of_line: str, reason: str) -> None:
    read, bad = read_processes(order(of_order), lines(2, processes=of_line))
    assert read.is_empty()
    assert_frame_equal(bad, frame_of(UNREADABLE_SCHEMA, [(11, 7, "a", "BAD_PROCESSES", reason)]))


@pytest.mark.parametrize(
    ("quantities", "is_readable"),
    [
        pytest.param([2147483647], True, id="the largest total"),
        pytest.param([2147483647, 1], False, id="one more"),
        pytest.param([2147483647, 1, -1], True, id="it is the total that counts"),
        pytest.param([-2147483648, -1], False, id="below the smallest"),
    ],
)
def test_read_processes_refuses_an_order_level_process_of_a_total_out_of_range(
    quantities: list[int], *, is_readable: bool
) -> None:
    read, bad = read_processes(order("绣"), lines(*quantities))
    assert (read.height, bad.height) == ((1, 0) if is_readable else (0, 1))
    assert bad["reason"].to_list() == ([] if is_readable else ["the order's total quantity is out of range"])


def test_read_processes_of_lines_without_their_order_are_none() -> None:
    of_another = frame_of(LINES, [(99, 1, 2, "绣")])
    read, bad = read_processes(order("印"), of_another)
    assert read.select("raw_id", "line_no", "quantity").rows() == [(11, 0, 0)]
    assert bad.is_empty()
