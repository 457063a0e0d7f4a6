"""`BatchProcessor`: cuts a frame into batches, retries errors that pass by themselves, goes on after other ones.

The retries of the project are here and nowhere else: `process_in_batches` for the slices of a frame, `process_batch`
for one unit of work of known size, such as a batch of the engine. Transactions and the queue are the caller's.
"""

from __future__ import annotations

import logging
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from etl_assets.database.database import sqlstate_of
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import DatabaseUnavailableError, EtlError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS: Final = 4
TRANSIENT_SQLSTATES: Final = ("08", "40", "53", "55P03", "57P")
"""SQLSTATE classes of transient errors: lost connections, serialisation, resources, locks, restarts of the server."""


class BatchProcessor:
    """Run a function over the batches of a frame, with retries; a failed batch never stops the others."""

    def __init__(
        self,
        *,
        task_name: str = "etl",
        attempts: int = ATTEMPTS,
        max_wait_seconds: float = 10.0,
        on_batch: Callable[[str, int], None] | None = None,
    ) -> None:
        """Call `on_batch`, if given, with the task's name and the rows of each batch that succeeded."""
        self.task_name = task_name
        self.attempts = attempts
        self.max_wait_seconds = max_wait_seconds
        self.on_batch = on_batch
        self.problems: set[str] = set()
        """Causes of failed batches: SQLSTATEs with their meaning, or kinds of errors."""

    def for_task(self, task_name: str) -> BatchProcessor:
        """Return the same processor under the name of one task, for its log lines and its progress."""
        return BatchProcessor(
            task_name=task_name,
            attempts=self.attempts,
            max_wait_seconds=self.max_wait_seconds,
            on_batch=self.on_batch,
        )

    def process_in_batches(
        self, df: pl.DataFrame, batch_size: int, process_func: Callable[[pl.DataFrame], object]
    ) -> tuple[int, int]:
        """Call `process_func` with each slice of `batch_size` rows, in order.

        An error that passes by itself (a lost connection, a deadlock) is retried with growing waits; any other one, or
        one that stays, fails the batch: it is logged without its text, which may quote a customer's data.

        Args:
            df: the rows; not changed.
            batch_size: rows per batch, at least 1.
            process_func: called with each slice; its result is ignored.

        Returns:
            How many rows were in batches that succeeded, and in batches that failed.

        Raises:
            ValueError: `batch_size` is less than 1.
        """
        if batch_size < 1:
            msg = f"batch_size is {batch_size}: it must be at least 1."
            raise ValueError(msg)
        succeeded = failed = 0
        for number, offset in enumerate(range(0, df.height, batch_size), start=1):
            batch = df.slice(offset, batch_size)
            try:
                self.process_batch(batch.height, partial(process_func, batch), number=number)
            except Exception:  # noqa: BLE001  # logged by then; whatever is wrong with one batch, the others go on
                failed += batch.height
            else:
                succeeded += batch.height
        return succeeded, failed

    def process_batch(self, rows: int, func: Callable[[], Result], *, number: int = 1) -> Result:
        """Call `func`, which processes one batch, with the retries and the log lines of `process_in_batches`.

        Args:
            rows: rows in the batch, for the log and `on_batch`.
            func: processes the whole batch; called again where an error passes by itself.
            number: of the batch, for the log.

        Returns:
            The result of `func`.

        Raises:
            Exception: the last one that `func` raised, once it is logged without its text and kept in `problems`.
        """
        started = time.perf_counter()
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=0.1, max=self.max_wait_seconds),
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            result = retrying(func)
        except Exception as error:
            logger.error(  # noqa: TRY400  # a traceback would show the error's text
                "%s batch %d failed: rows=%d seconds=%.3f error=%s sqlstate=%s at=%s",
                self.task_name, number, rows, time.perf_counter() - started,
                type(error).__name__, sqlstate_of(error) or "-", _place_of(error),
            )  # fmt: skip
            self.problems.add(_problem_of(error))
            raise
        logger.info(
            "%s batch %d succeeded: rows=%d seconds=%.3f", self.task_name, number, rows, time.perf_counter() - started
        )
        if self.on_batch is not None:
            self.on_batch(self.task_name, rows)
        return result

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning(
            "%s attempt %d failed, retrying: error=%s sqlstate=%s",
            self.task_name, state.attempt_number, type(error).__name__, (error and sqlstate_of(error)) or "-",
        )  # fmt: skip


def is_transient(error: BaseException) -> bool:
    """Decide whether the same work may well succeed a moment later."""
    if isinstance(error, DatabaseUnavailableError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate_of(error)
    if state is None:
        return type(error).__name__ in {"OperationalError", "InterfaceError"}
    return state.startswith(TRANSIENT_SQLSTATES)


def _problem_of(error: BaseException) -> str:
    """Name an error without its text, which may quote a customer's data."""
    if isinstance(error, EtlError):
        return str(error).rstrip(".")
    state = sqlstate_of(error)
    return f"{meaning_of(state)} (SQLSTATE {state})" if state else type(error).__name__


def _place_of(error: BaseException) -> str:
    """Return the file and line of this project that an error came from, never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "etl_assets" in Path(frame.filename).parts]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "-"
