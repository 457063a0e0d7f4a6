"""The change of rows as tables of cases: compared with those that are stored, and counted for the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.ledger.batches import BatchCounts
from etl_assets.pipeline.diff import count_changes, diff_rows
from etl_assets_tests.helpers.literal_frames import frame_of

KEY: Final = ("order_no", "line_no")
LINES: Final = {
    "order_no": pl.Int64(), "line_no": pl.Int32(), "product": pl.String(), "unit_price": pl.Decimal(18, 4),
}  # fmt: skip
DECIDED: Final = {**LINES, "change": pl.String()}
STORED: Final = frame_of(LINES, [(1, 1, "cup", Decimal("2.5")), (1, 2, "mug", None)])


@pytest.mark.parametrize(
    ("row", "change"),
    [
        pytest.param((1, 1, "cup", Decimal("2.5")), "unchanged", id="the same"),
        pytest.param((1, 1, "cup", Decimal("2.50")), "unchanged", id="a number written otherwise"),
        pytest.param((1, 2, "mug", None), "unchanged", id="null in both"),
        pytest.param((1, 1, "Cup", Decimal("2.5")), "updated", id="another text"),
        pytest.param((1, 1, "cup", Decimal("2.5001")), "updated", id="another number"),
        pytest.param((1, 1, "cup", None), "updated", id="a value gone"),
        pytest.param((1, 2, "mug", Decimal(0)), "updated", id="a value come: zero is not null"),
        pytest.param((1, 2, "", None), "updated", id="an emptied text"),
        pytest.param((1, 3, "cup", Decimal("2.5")), "inserted", id="another line of the order"),
        pytest.param((2, 1, "cup", Decimal("2.5")), "inserted", id="the same line of another order"),
    ],
)
def test_compare_rows_says_what_becomes_of_a_row(row: tuple[Any, ...], change: str) -> None:
    assert_frame_equal(diff_rows(frame_of(LINES, [row]), STORED, KEY), frame_of(DECIDED, [(*row, change)]))


def test_compare_rows_returns_each_row_once_sorted_by_key() -> None:
    rows = [(2, 1, "new", None), (1, 2, "mug", Decimal(1)), (1, 1, "cup", Decimal("2.5"))]
    fates = ["inserted", "updated", "unchanged"]
    expected = sorted((*row, change) for row, change in zip(rows, fates, strict=True))
    assert_frame_equal(diff_rows(frame_of(LINES, rows), STORED, KEY), frame_of(DECIDED, expected))


def test_compare_rows_inserts_all_where_nothing_is_stored() -> None:
    made = diff_rows(frame_of(LINES, [(2, 1, "b", None), (1, 1, "a", None)]), frame_of(LINES, []), KEY)
    assert_frame_equal(made, frame_of(DECIDED, [(1, 1, "a", None, "inserted"), (2, 1, "b", None, "inserted")]))


@pytest.mark.parametrize("stored", [STORED, STORED.clear()], ids=["something is stored", "nothing is stored"])
def test_compare_rows_of_nothing_is_nothing(stored: pl.DataFrame) -> None:
    assert_frame_equal(diff_rows(frame_of(LINES, []), stored, KEY), frame_of(DECIDED, []))


@pytest.mark.parametrize(
    ("changes", "extra_counts", "expected"),
    [
        pytest.param([], {}, BatchCounts(), id="nothing"),
        pytest.param(
            ["inserted", "updated", "inserted", "unchanged", "superseded"], {},
            BatchCounts(inserted=2, updated=1, unchanged=1, superseded=1),
            id="each row by its change",
        ),
        pytest.param(
            ["inserted"], {"quarantined": 3, "deleted": 2, "anonymous_orders": 1},
            BatchCounts(inserted=1, quarantined=3, deleted=2, anonymous_orders=1),
            id="with extra counts",
        ),
        pytest.param(
            ["superseded"], {"superseded": 4}, BatchCounts(superseded=5),
            id="extra counts are added to those of rows",
        ),
    ],
)  # fmt: skip
def test_count_changes_counts_rows_by_change(
    changes: list[str], extra_counts: dict[str, int], expected: BatchCounts
) -> None:
    decided = frame_of({"change": pl.String()}, [(change,) for change in changes])
    assert count_changes(decided, **extra_counts) == expected


@pytest.mark.parametrize(
    ("counts", "input_rows", "success_count", "written", "status"),
    [
        pytest.param(BatchCounts(), 0, 0, 0, "success", id="nothing"),
        pytest.param(
            BatchCounts(inserted=1, updated=2, unchanged=4, superseded=8), 15, 15, 3, "success",
            id="all good",
        ),
        pytest.param(
            BatchCounts(inserted=1, quarantined=16), 17, 1, 1, "partial_success",
            id="a row in quarantine: in part",
        ),
        pytest.param(
            BatchCounts(unchanged=1, deleted=32, anonymous_orders=64), 1, 1, 32, "success",
            id="deleted rows and orders without a customer are no input",
        ),
    ],
)  # fmt: skip
def test_batch_counts_add_up_to_the_input_rows(
    counts: BatchCounts, input_rows: int, success_count: int, written: int, status: str
) -> None:
    assert (counts.input_rows, counts.success_count, counts.written, counts.status) == (
        input_rows, success_count, written, status,
    )  # fmt: skip


def test_batch_counts_of_two_batches_are_added_one_by_one() -> None:
    both = BatchCounts(1, 2, 3, 4, 5, 6, 7) + BatchCounts(10, 20, 30, 40, 50, 60, 70)
    assert both == BatchCounts(
        inserted=11, updated=22, unchanged=33, superseded=44, quarantined=55, deleted=66, anonymous_orders=77
    )
