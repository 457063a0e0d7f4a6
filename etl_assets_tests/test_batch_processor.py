"""`BatchProcessor`: what it counts, retries, goes on after and never says."""

from __future__ import annotations

import logging

import polars as pl
import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from etl_assets.batch_processor import BatchProcessor, is_transient
from etl_assets.errors import DatabaseUnavailableError

TEN = pl.DataFrame({"number": range(10)})


def quick(attempts: int = 4) -> BatchProcessor:
    return BatchProcessor(task_name="test", max_wait_seconds=0.001, attempts=attempts)


def test_every_row_is_processed_once_and_in_order() -> None:
    seen: list[list[int]] = []
    assert quick().process_in_batches(TEN, 4, lambda batch: seen.append(batch["number"].to_list())) == (10, 0)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert quick().process_in_batches(TEN.clear(), 4, lambda _: pytest.fail("there is no batch")) == (0, 0)


def test_a_failed_batch_is_counted_and_the_others_go_on() -> None:
    seen: list[int] = []

    def process(batch: pl.DataFrame) -> None:
        if 5 in batch["number"]:
            raise ValueError
        seen.extend(batch["number"])

    assert quick().process_in_batches(TEN, 4, process) == (6, 4)
    assert seen == [0, 1, 2, 3, 8, 9]


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        quick().process_in_batches(TEN, size, lambda _: None)


TRANSIENT = [
    errors.DeadlockDetected("x"),
    errors.SerializationFailure("x"),
    errors.AdminShutdown("x"),
    errors.LockNotAvailable("x"),
    errors.TooManyConnections("x"),
    errors.DiskFull("x"),
    errors.ConnectionFailure("x"),
    psycopg.OperationalError("x"),
    DatabaseUnavailableError("x"),
    DBAPIError("x", None, errors.DeadlockDetected("x")),
    DBAPIError("x", None, psycopg.OperationalError("x"), connection_invalidated=True),
]
LASTING = [errors.UniqueViolation("x"), errors.UndefinedTable("x"), ValueError("x"), KeyError("x")]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_what_passes_by_itself_is_retried(error: Exception) -> None:
    calls: list[int] = []

    def process(batch: pl.DataFrame) -> None:
        calls.append(batch["number"][0])
        if len(calls) < 3:
            raise error

    assert is_transient(error)
    assert quick().process_in_batches(TEN, 5, process) == (10, 0)
    assert calls == [0, 0, 0, 5]


def test_what_stays_is_given_up_after_the_attempts() -> None:
    calls: list[int] = []

    def process(batch: pl.DataFrame) -> None:
        calls.append(batch["number"][0])
        raise TRANSIENT[0]

    assert quick(attempts=3).process_in_batches(TEN, 5, process) == (0, 10)
    assert calls == [0, 0, 0, 5, 5, 5]


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_what_does_not_pass_is_not_retried(error: Exception) -> None:
    calls: list[int] = []

    def process(_: pl.DataFrame) -> None:
        calls.append(1)
        raise error

    assert quick().process_in_batches(TEN, 10, process) == (0, 10)
    assert calls == [1]


def test_the_log_says_what_failed_but_never_the_text_of_the_error(caplog: pytest.LogCaptureFixture) -> None:
    def process(_: pl.DataFrame) -> None:
        msg = "Key (customer_nickname)=(Ann Secret) already exists"
        raise errors.UniqueViolation(msg) from ValueError(msg)

    with caplog.at_level(logging.DEBUG):
        quick().process_in_batches(TEN, 10, process)
    assert "test batch 1 failed: rows=10" in caplog.text
    assert "error=UniqueViolation sqlstate=23505" in caplog.text
    assert "Secret" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_retries_do_not_log_the_text_of_the_error_either(caplog: pytest.LogCaptureFixture) -> None:
    def process(_: pl.DataFrame) -> None:
        msg = "Process 1 waits for Ann Secret"
        raise errors.DeadlockDetected(msg)

    with caplog.at_level(logging.DEBUG):
        quick().process_in_batches(TEN, 10, process)
    assert "Secret" not in caplog.text


def test_progress_is_told_for_each_batch_that_succeeded() -> None:
    told: list[tuple[str, int]] = []
    processor = BatchProcessor(on_batch=lambda task, rows: told.append((task, rows))).for_task("orders")
    processor.process_in_batches(TEN, 6, lambda batch: 1 // (9 - batch["number"][-1]) if batch.height == 4 else None)
    assert told == [("orders", 6)]


def test_process_batch_returns_the_result_of_the_attempt_that_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    attempts = iter([errors.DeadlockDetected("x"), errors.SerializationFailure("x"), None])
    reported: list[tuple[str, int]] = []
    processor = BatchProcessor(
        task_name="test", max_wait_seconds=0.001, on_batch=lambda task, rows: reported.append((task, rows))
    )

    def process() -> str:
        if error := next(attempts):
            raise error
        return "done"

    with caplog.at_level(logging.INFO):
        assert processor.process_batch(7, process, number=3) == "done"
    assert "test batch 3 succeeded: rows=7" in caplog.text
    assert (reported, processor.problems) == ([("test", 7)], set())


def test_process_batch_raises_the_last_error_once_it_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    processor = quick()

    def process() -> None:
        msg = "Key (customer_nickname)=(Ann Secret) already exists"
        raise errors.UniqueViolation(msg)

    with caplog.at_level(logging.DEBUG), pytest.raises(errors.UniqueViolation):
        processor.process_batch(7, process)
    assert "test batch 1 failed: rows=7" in caplog.text
    assert "Secret" not in caplog.text
    (problem,) = processor.problems
    assert "SQLSTATE 23505" in problem
