"""Test of pooled connections before they are used, where they may have been lost meanwhile.

Saves a statement per use: an asset takes a connection from the pool some eight times in a run, milliseconds apart, and
SQLAlchemy's `pool_pre_ping` sends a statement each time.

Hazard: a connection that is lost within `IDLE_SECONDS` fails the statement that uses it. So may any connection at any
moment: batches are retried, and the error that it causes has the whole pool renewed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

IDLE_SECONDS: Final = 0.5
_RETURNED: Final = "etl_returned"


def ping_after_idling(engine: sa.Engine) -> None:
    """Test connections of `engine` that have idled in the pool for `IDLE_SECONDS`; a lost one is replaced."""

    @event.listens_for(engine, "checkin")
    def note_time(_connection: object, entry: ConnectionPoolEntry) -> None:
        entry.info[_RETURNED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:  # noqa: ANN401  # the driver's
        returned = entry.info.get(_RETURNED)
        if returned is None or time.monotonic() - returned < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            if not engine.dialect.is_disconnect(error, connection, None):
                raise
            raise InvalidatePoolError from error
