"""Shares of customers by their id, as tables of cases: the conditions that read and load a batch share by share."""

from __future__ import annotations

from typing import Final

import pytest

from etl_assets.customers.step import CustomersStep
from etl_assets.pipeline.customer_buckets import Bucket

QUARTER, HALF, THREE_QUARTERS = (f"{digit}0000000-0000-0000-0000-000000000000" for digit in "48c")


@pytest.mark.parametrize(
    ("bucket", "condition"),
    [
        pytest.param(Bucket(), "id IS NOT NULL", id="the only one: all customers, and nobody"),
        pytest.param(Bucket(0, 2), f"id < '{HALF}'", id="the first half"),
        pytest.param(Bucket(1, 2), f"id >= '{HALF}'", id="the second half"),
        pytest.param(Bucket(0, 4), f"id < '{QUARTER}'", id="the first quarter"),
        pytest.param(Bucket(1, 4), f"id >= '{QUARTER}' AND id < '{HALF}'", id="the second quarter"),
        pytest.param(Bucket(3, 4), f"id >= '{THREE_QUARTERS}'", id="the last quarter"),
        pytest.param(
            Bucket(1, 3),
            "id >= '55555555-5555-5555-5555-555555555555' AND id < 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'",
            id="the second third",
        ),
    ],
)
def test_bucket_condition_is_an_equal_share_of_all_ids(bucket: Bucket, condition: str) -> None:
    assert bucket.condition("id") == condition


STEP: Final = CustomersStep()


def test_in_buckets_is_the_step_for_each_share() -> None:
    steps = STEP.in_buckets(3, is_first_load=True)
    assert [step.bucket for step in steps] == [Bucket(0, 3), Bucket(1, 3), Bucket(2, 3)]
    assert all(step.is_first_load for step in steps)
    assert {type(step) for step in steps} == {CustomersStep}


@pytest.mark.parametrize(
    ("is_first_load", "among"),
    [
        pytest.param(True, f"customer_global_id < '{HALF}'", id="a first load: where the little that is stored is"),
        pytest.param(False, None, id="any other: too much is stored to be read whole"),
    ],
)
def test_among_is_where_all_that_is_stored_of_a_share_can_be_read_at_once(
    among: str | None, *, is_first_load: bool
) -> None:
    assert STEP.in_buckets(2, is_first_load=is_first_load)[0].among == among
