"""Conversion of errors into `dg.Failure`, with messages of this project instead of a driver's text.

See https://docs.dagster.io/guides/build/ops/op-events (failures).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from etl_assets.database.database import sqlstate_of
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import EtlError
from etl_assets.folders import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reported_errors(subject: str) -> Iterator[None]:
    """Turn errors of the block into `dg.Failure`, with messages of this project only.

    Hazard: a driver's text quotes values, and Dagster stores the messages of failures. Of errors of others, only the
    kind and the SQLSTATE are passed on (docs/decisions.md, "Errors without values").

    Args:
        subject: the asset or operation, as the message names it.
    """
    try:
        yield
    except EtlError as error:
        raise dg.Failure(str(error)) from None
    except Exception as error:  # noqa: BLE001  # of any kind: its text may quote values
        state = sqlstate_of(error)
        problem = problem_of(error, "set ETL_HOME to another folder") or f"{meaning_of(state)}."
        msg = f"{subject}: {problem} ({type(error).__name__}, SQLSTATE {state or '-'})"
        raise dg.Failure(msg) from None
