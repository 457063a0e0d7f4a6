"""How a listener hears the events of a subject: each one once, however late its transaction commits.

What was heard is kept in the database, by transaction and not by event id: ids are given out before commits, so that
"all ids above the last one" would overlook an event whose transaction took longer than its neighbour's. A server counts
its transactions by itself, so it is kept for each that the database was on: a dump may be restored on another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from etl_assets.database.ledger_schema import etl_events, event_listeners, refused_events
from etl_assets.events.handler import EventRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.database.database import Database
    from etl_assets.events.handler import Payload


@dataclass(frozen=True, slots=True)
class ConsumedEvents:
    """How many events a listener has just heard, and how many of them it refused."""

    accepted: int
    refused: int


def consume_events(
    database: Database, listener: str, subject: str, handle: Callable[[Payload], object]
) -> ConsumedEvents:
    """Give `handle` the payload of every event of `subject` that `listener` has not heard yet.

    A payload that `handle` refuses is recorded in `refused_events` and stops nobody. Any other error of it is passed
    on, and the events are heard again the next time: a handler must bear to be called twice.

    Args:
        database: the store.
        listener: the listener's name, under which is kept what it has heard.
        subject: one of `etl_assets.events.subjects`.
        handle: a function behind `event_task_handler`.
    """
    refused = []
    with database.transaction() as connection:
        events, here, until = _unheard(connection, listener, subject)
        for event_id, payload in events:
            try:
                handle(payload)
            except EventRefusedError as error:
                refused.append({"listener": listener, "event_id": event_id, "subject": subject, "reason": str(error)})
        if refused:
            connection.execute(insert(refused_events).on_conflict_do_nothing(), refused)
        if events:
            connection.execute(
                sa.update(event_listeners)
                .where(event_listeners.c.listener == listener, event_listeners.c.server == here)
                .values(heard_until=until, updated_at=sa.func.now())
            )
    return ConsumedEvents(len(events) - len(refused), len(refused))


def _unheard(
    connection: sa.Connection, listener: str, subject: str
) -> tuple[list[tuple[int, dict[str, Any]]], int, int]:
    """The events between what the listener has heard and the oldest transaction that is still open.

    Returns:
        The events (id, payload), which server this is, and the transaction of it up to which they are all of them.
    """
    # On its own and before the events are read: every snapshot taken later is complete below it.
    here, horizon = connection.execute(
        sa.text(
            "SELECT (pg_control_system()).system_identifier,"
            " CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
        )
    ).one()
    position = {"listener": listener, "server": here}
    is_new = connection.execute(
        insert(event_listeners).values(**position, heard_until=0).on_conflict_do_nothing()
    ).rowcount
    brought = _brought_along(connection, listener, subject, here) if is_new else []
    heard_until = connection.execute(
        sa.select(event_listeners.c.heard_until).filter_by(**position).with_for_update()
    ).scalar_one()
    rows = connection.execute(
        sa.select(etl_events.c.event_id, etl_events.c.payload)
        .where(etl_events.c.subject == subject, etl_events.c.server == here)
        .where(etl_events.c.tx >= heard_until, etl_events.c.tx < horizon)
        .order_by(etl_events.c.event_id)
    )
    return [*brought, *((event_id, payload) for event_id, payload in rows)], here, horizon


def _brought_along(
    connection: sa.Connection, listener: str, subject: str, here: int
) -> list[tuple[int, dict[str, Any]]]:
    """The events that the listener has not heard of servers from which the database was brought here.

    Each server counts its transactions by itself: numbers of another one say nothing about those of this one.
    """
    rows = connection.execute(sa.text(_BROUGHT_ALONG), {"listener": listener, "subject": subject, "here": here})
    events = [(event_id, payload) for event_id, payload in rows]
    connection.execute(sa.text(_NOTE_BROUGHT_ALONG), {"listener": listener, "subject": subject, "here": here})
    return events


_BROUGHT_ALONG: Final = """
    SELECT event_id, payload FROM etl_events e
    LEFT JOIN event_listeners l ON l.listener = :listener AND l.server = e.server
    WHERE subject = :subject AND e.server <> :here AND tx >= coalesce(heard_until, 0)
    ORDER BY event_id
"""
_NOTE_BROUGHT_ALONG: Final = """
    INSERT INTO event_listeners (listener, server, heard_until)
    SELECT :listener, server, max(tx) + 1 FROM etl_events WHERE subject = :subject AND server <> :here GROUP BY server
    ON CONFLICT (listener, server) DO UPDATE SET heard_until = excluded.heard_until
"""
