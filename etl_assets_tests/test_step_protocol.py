"""The protocol of steps: results of buckets combined, and the defaults of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from etl_assets.customers.step import CustomersStep
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.queue import RawIdRange
from etl_assets.pipeline.protocol import LoadResult
from etl_assets.run.registry import STEPS
from etl_assets_tests.helpers.wrapped_step import WrappedStep

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

FIRST: Final = RawIdRange(1, 10, 19)
SECOND: Final = RawIdRange(1, 20, 29)


@pytest.mark.parametrize(
    ("one", "other", "combined"),
    [
        pytest.param(
            LoadResult(BatchCounts(inserted=1), [FIRST], ranges_to_check=[FIRST]),
            LoadResult(BatchCounts(inserted=2, updated=3), [FIRST], ranges_to_check=[FIRST]),
            LoadResult(BatchCounts(inserted=3, updated=3), (FIRST,), ranges_to_check=(FIRST,)),
            id="counts add up, the ranges of the batch are there once",
        ),
        pytest.param(
            LoadResult(BatchCounts(), [FIRST], ranges_to_check=[]),
            LoadResult(BatchCounts(), [SECOND, FIRST], ranges_to_check=[SECOND]),
            LoadResult(BatchCounts(), (FIRST, SECOND), ranges_to_check=(SECOND,)),
            id="ranges of any bucket count",
        ),
        pytest.param(
            LoadResult(BatchCounts(), [FIRST], {"customers": []}),
            LoadResult(BatchCounts(), [SECOND], {"order_items": [FIRST]}),
            LoadResult(BatchCounts(), (FIRST, SECOND), {"customers": (SECOND,), "order_items": (FIRST,)}),
            id="an override of one bucket is united with all that the other has",
        ),
    ],
)
def test_results_of_buckets_are_combined(one: LoadResult, other: LoadResult, combined: LoadResult) -> None:
    assert one + other == combined


def test_an_asset_without_an_override_gets_all_ranges() -> None:
    result = LoadResult(BatchCounts(), [FIRST], {"customers": []})
    assert (result.ranges_for("customers"), result.ranges_for("order_items")) == ([], [FIRST])


def test_a_step_is_one_bucket_and_has_nothing_to_finish_unless_it_says_so(services: Services) -> None:
    step = WrappedStep(STEPS["orders"])
    with services.database.transaction() as connection:
        assert step.for_first_load(connection, 1_000) is step
    assert step.in_buckets(1_000, 1) == [step]
    assert step.finish(services, None) == BatchCounts()


@pytest.mark.parametrize(("rows", "batch_size", "count"), [(1, 10, 1), (20, 10, 1), (21, 10, 2), (100, 1, 50)])
def test_buckets_of_customers_have_two_batch_sizes_of_rows(rows: int, batch_size: int, count: int) -> None:
    buckets = [step.bucket for step in CustomersStep().in_buckets(rows, batch_size)]
    assert [(bucket.index, bucket.count) for bucket in buckets] == [(index, count) for index in range(count)]
