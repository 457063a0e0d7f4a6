"""A batch that is refused for its rows is halved until the rows to blame are alone, as tables of cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import polars as pl
import psycopg
import pytest

from etl_assets.errors import ConcurrentRunError
from etl_assets.ledger.queue import RawIdRange, max_rows, split_at
from etl_assets.pipeline import bisect_batch
from etl_assets.pipeline.bisect_batch import MAX_REJECTED_ROWS, MAX_STUCK, BatchBisection, Rejected

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from etl_assets.database.database import Database

REFUSED: Final = psycopg.DataError("a value of the row")
BROKEN: Final = psycopg.OperationalError("the connection is lost")
FENCED: Final = ConcurrentRunError("another run was faster")


class Batch:
    """Rows to be loaded: what is refused, broken or fenced off for which of them, and what became of each."""

    def __init__(
        self, rows: Collection[int], bad: Collection[int] = (), stuck: Collection[int] = (), fenced: int | None = None
    ) -> None:
        self.rows, self.bad, self.stuck, self.fenced = sorted(rows), set(bad), set(stuck), fenced
        self.loaded: list[int] = []
        self.reject_row: list[int] = []

    def read(self, query: str, schema: dict[str, pl.DataType]) -> pl.DataFrame:
        return pl.DataFrame({"raw_id": self.rows}, schema=schema)

    def load(self, ranges: Sequence[RawIdRange], rejected: Rejected | None) -> Exception | None:
        rows = [row for row in self.rows if any(one.low <= row <= one.high for one in ranges)]
        if self.fenced in rows:
            return FENCED
        error: Exception | None
        if rejected is not None:
            assert rows == [rejected.raw_id]
            error, taken = BROKEN if self.stuck & {*rows} else None, self.reject_row
        else:
            error, taken = REFUSED if self.bad & {*rows} else None, self.loaded
        taken += [] if error else rows
        return error

    def search(self) -> BatchBisection:
        return BatchBisection("orders", cast("Database", self))


WHOLE: Final = [RawIdRange(1, 1, 100)]


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        pytest.param(range(1, 9), [5], id="one of eight"),
        pytest.param(range(1, 9), [1], id="the first"),
        pytest.param(range(1, 9), [8], id="the last"),
        pytest.param(range(1, 9), [2, 7], id="one in each half"),
        pytest.param(range(1, 8), [3, 4, 5], id="three on end of an odd number"),
        pytest.param(range(1, 5), [1, 2, 3, 4], id="all"),
        pytest.param([77], [77], id="the only one"),
        pytest.param([3, 50, 51, 99], [51], id="numbers with gaps"),
        pytest.param(range(1, 9), [], id="none: refused as a whole, but not in halves"),
    ],
)
def test_load_the_others_sets_the_rows_to_blame_aside_and_loads_each_other_one_once(
    rows: Sequence[int], bad: list[int]
) -> None:
    batch = Batch(rows, bad)
    search = batch.search()
    assert search.load_good_rows(WHOLE, batch.load) == []
    assert batch.loaded == [row for row in rows if row not in bad]
    assert batch.reject_row == bad
    assert (search.rejected_rows, search.stuck) == (len(bad), 0)


def test_load_the_others_follows_the_ranges_of_a_batch() -> None:
    batch = Batch([1, 2, 11, 12, 21], bad=[12])
    ranges = [RawIdRange(1, 1, 9), RawIdRange(2, 10, 19), RawIdRange(3, 20, 29)]
    assert batch.search().load_good_rows(ranges, batch.load) == []
    assert (batch.loaded, batch.reject_row) == ([1, 2, 11, 21], [12])


def test_load_the_others_of_a_batch_that_has_no_rows_any_more_leaves_it_pending() -> None:
    batch = Batch([])
    assert batch.search().load_good_rows(WHOLE, batch.load) == WHOLE


def test_load_the_others_leaves_a_row_pending_that_can_not_be_set_aside() -> None:
    batch = Batch(range(1, 5), bad=[2, 3], stuck=[2])
    assert batch.search().load_good_rows([RawIdRange(1, 1, 4)], batch.load) == [RawIdRange(1, 2, 2)]
    assert (batch.loaded, batch.reject_row) == ([1, 4], [3])


def test_load_the_others_gives_up_after_so_many_rows_on_end_that_can_not_be_set_aside() -> None:
    rows = range(1, 9)
    batch = Batch(rows, bad=rows, stuck=rows)
    search = batch.search()
    left = search.load_good_rows([RawIdRange(1, 1, 8)], batch.load)
    assert (search.stuck, batch.loaded, batch.reject_row) == (MAX_STUCK, [], [])
    assert sorted(row for one in left for row in range(one.low, one.high + 1)) == list(rows)


def test_load_the_others_goes_on_where_a_row_loads_between_those_that_can_not_be_set_aside() -> None:
    batch = Batch(range(1, 10), bad=[1, 3, 5, 7], stuck=[1, 3, 5, 7])
    left = batch.search().load_good_rows([RawIdRange(1, 1, 9)], batch.load)
    assert left == [RawIdRange(1, row, row) for row in (1, 3, 5, 7)]
    assert batch.loaded == [2, 4, 6, 8, 9]


def test_load_the_others_stops_where_another_run_was_faster_and_leaves_the_rest_to_be_planned_anew() -> None:
    batch = Batch(range(1, 9), bad=[1], fenced=4)
    assert batch.search().load_good_rows([RawIdRange(1, 1, 8)], batch.load) == []
    assert (batch.loaded, batch.reject_row) == ([], [])


def test_load_the_others_singles_out_so_many_rows_and_leaves_the_rest_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisect_batch, "MAX_REJECTED_ROWS", 2)
    batch = Batch(range(1, 9), bad=[1, 2, 3, 4, 5])
    search = batch.search()
    left = search.load_good_rows([RawIdRange(1, 1, 8)], batch.load)
    assert (batch.reject_row, batch.loaded) == ([1, 2], [])
    assert sorted(row for one in left for row in range(one.low, one.high + 1)) == [3, 4, 5, 6, 7, 8]
    assert search.load_good_rows([RawIdRange(1, 3, 8)], batch.load) == [RawIdRange(1, 3, 8)]


@pytest.mark.parametrize(
    ("rejected_rows", "stuck", "is_over", "summary"),
    [
        pytest.param(0, 0, False, "", id="nothing found"),
        pytest.param(3, 0, False, ", 3 rows were rejected one by one", id="some found"),
        pytest.param(3, MAX_STUCK - 1, False, ", 3 rows were rejected one by one", id="not yet stuck"),
        pytest.param(
            MAX_REJECTED_ROWS, 0, True,
            f", after {MAX_REJECTED_ROWS} rows were rejected one by one, the limit of one run",
            id="as many as one run does",
        ),
        pytest.param(
            3, MAX_STUCK, True, ", and it is no row's fault: refused rows can't be put into quarantine either",
            id="stuck",
        ),
    ],
)  # fmt: skip
def test_singling_out_is_over_and_says_so(rejected_rows: int, stuck: int, summary: str, *, is_over: bool) -> None:
    search = BatchBisection("orders", cast("Database", Batch([])), rejected_rows=rejected_rows, stuck=stuck)
    assert (search.is_over, search.summary) == (is_over, summary)


TWO: Final = [RawIdRange(1, 10, 19), RawIdRange(2, 30, 30)]


@pytest.mark.parametrize(
    ("raw_id", "below", "above"),
    [
        pytest.param(15, [RawIdRange(1, 10, 14)], [RawIdRange(1, 15, 19), TWO[1]], id="within a range"),
        pytest.param(10, [], TWO, id="at the first row: all are above"),
        pytest.param(25, [TWO[0]], [TWO[1]], id="between ranges"),
        pytest.param(30, [TWO[0]], [TWO[1]], id="at the last row"),
        pytest.param(31, TWO, [], id="behind all"),
    ],
)
def test_cut_parts_ranges_below_a_row_and_from_there_on(
    raw_id: int, below: list[RawIdRange], above: list[RawIdRange]
) -> None:
    assert split_at(TWO, raw_id) == (below, above)
    assert max_rows(below) + max_rows(above) == max_rows(TWO) == 11
