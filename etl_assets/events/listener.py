"""Wait for events: PostgreSQL's LISTEN, by which a commit is heard of at once.

Only a wake-up: a notification may be lost with its connection, and says nothing of the work. Consumption of events is
in `events.consumer`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from etl_assets.events.payload import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from etl_assets.database.database import Database


@contextmanager
def listening(database: Database) -> Iterator[Callable[[float], None]]:
    """Listen to the events of all assets until the end of the block.

    Yields:
        A function that waits for the next event, for at most so many seconds. Events that were published since the
        block began count, so that none is missed between a look at the queue and the wait.
    """
    with database.autocommit() as connection:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]  # psycopg's

        def wait(seconds: float) -> None:
            for _ in driver.notifies(timeout=seconds, stop_after=1):
                return

        driver.execute(f"LISTEN {CHANNEL}")  # a constant
        try:
            yield wait
        finally:
            connection.invalidate()  # the session ends, and with it the LISTEN
