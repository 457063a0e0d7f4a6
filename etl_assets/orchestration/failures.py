"""How errors become Dagster failures: in our own words, whatever a driver said."""

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
def reported_errors(what: str) -> Iterator[None]:
    """Turn errors of the block into `dg.Failure` with messages of our own only.

    The text of a driver's error quotes values, and Dagster stores it: of those only the kind is passed on.
    """
    try:
        yield
    except EtlError as error:
        raise dg.Failure(str(error)) from None
    except Exception as error:  # noqa: BLE001  # whatever it is
        state = sqlstate_of(error)
        problem = problem_of(error, "set ETL_HOME to another folder") or f"{meaning_of(state)}."
        msg = f"{what}: {problem} ({type(error).__name__}, SQLSTATE {state or '-'})"
        raise dg.Failure(msg) from None
