"""Shares of customers by their id, as tables of cases: the conditions that read and load a batch share by share."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from etl_assets.customers.step import CustomersStep
from etl_assets.ledger.range_sql import CustomerBucket

QUARTER, HALF, THREE_QUARTERS = (f"{digit}0000000-0000-0000-0000-000000000000" for digit in "48c")


@pytest.mark.parametrize(
    ("bucket", "condition"),
    [
        pytest.param(CustomerBucket(), "id IS NOT NULL", id="the only one: all customers, and nobody"),
        pytest.param(CustomerBucket(0, 2), f"id < '{HALF}'", id="the first half"),
        pytest.param(CustomerBucket(1, 2), f"id >= '{HALF}'", id="the second half"),
        pytest.param(CustomerBucket(0, 4), f"id < '{QUARTER}'", id="the first quarter"),
        pytest.param(CustomerBucket(1, 4), f"id >= '{QUARTER}' AND id < '{HALF}'", id="the second quarter"),
        pytest.param(CustomerBucket(3, 4), f"id >= '{THREE_QUARTERS}'", id="the last quarter"),
        pytest.param(
            CustomerBucket(1, 3),
            "id >= '55555555-5555-5555-5555-555555555555' AND id < 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'",
            id="the second third",
        ),
    ],
)
def test_bucket_condition_is_an_equal_share_of_all_ids(bucket: CustomerBucket, condition: str) -> None:
    assert bucket.condition("id") == condition


STEP: Final = CustomersStep()


def test_in_buckets_is_the_step_for_each_share() -> None:
    steps = replace(STEP, is_first_load=True).in_buckets(rows=50, batch_size=10)
    assert [step.bucket for step in steps] == [CustomerBucket(0, 3), CustomerBucket(1, 3), CustomerBucket(2, 3)]
    assert all(step.is_first_load for step in steps)
    assert {type(step) for step in steps} == {CustomersStep}


@pytest.mark.parametrize(
    ("is_first_load", "stored_within"),
    [
        pytest.param(True, f"customer_global_id < '{HALF}'", id="a first load: the little that is stored of the share"),
        pytest.param(False, None, id="any other: too much is stored to be read whole"),
    ],
)
def test_stored_within_covers_all_that_is_stored_of_a_share_in_a_first_load(
    stored_within: str | None, *, is_first_load: bool
) -> None:
    first = replace(STEP, is_first_load=is_first_load).in_buckets(rows=40, batch_size=10)[0]
    assert first.stored_within == stored_within
