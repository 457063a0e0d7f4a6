"""Conversion of errors into `dg.Failure`, with messages of this project instead of a driver's text.

See https://docs.dagster.io/guides/build/ops/op-events (failures).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from etl_assets.database.database import sqlstate_of
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import EtlError
from etl_assets.folders import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class _StacklessError(DagsterUserCodeProcessError):
    """Error of which Dagster stores what it is given: it takes it for that of another process."""

    def __init__(self, message: str) -> None:
        stored = SerializableErrorInfo(message, [], "Failure")
        super().__init__(message, user_code_process_error_infos=[stored])  # type: ignore[no-untyped-call]


class ReportedError(dg.Failure, _StacklessError):
    """Failure that the UI shows without a stack trace: the message says what to correct, which is not the code."""


@contextmanager
def reported_errors(subject: str) -> Iterator[None]:
    """Turn errors of the block into `dg.Failure`, with messages of this project only.

    Errors of this project, such as wrong input, are shown without a stack trace; others with that of the Dagster step.

    Hazard: a driver's text quotes values, and Dagster stores the messages of failures. Of errors of others, only the
    kind and the SQLSTATE are passed on (docs/decisions.md, "Errors without values").

    Args:
        subject: the asset or operation, as the message names it.
    """
    try:
        yield
    except EtlError as error:
        raise ReportedError(str(error)) from None
    except Exception as error:  # noqa: BLE001  # of any kind: its text may quote values
        state = sqlstate_of(error)
        problem = problem_of(error, "set ETL_HOME to another folder") or f"{meaning_of(state)}."
        msg = f"{subject}: {problem} ({type(error).__name__}, SQLSTATE {state or '-'})"
        raise dg.Failure(msg) from None
