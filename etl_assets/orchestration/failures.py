"""How errors become Dagster failures: in our own words, whatever a driver said."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from etl_assets.database.database import sqlstate_of
from etl_assets.errors import EtlError

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
        msg = f"{what}: {type(error).__name__} (SQLSTATE {sqlstate_of(error) or '-'}); see the database's log."
        raise dg.Failure(msg) from None
