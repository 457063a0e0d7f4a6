"""Consumption of events: a listener gets each event of a subject once, however late its transaction commits.

A listener's position is kept in the database, by transaction and not by event id. Hazard: ids are given out before
commits, so that "all ids above the last one" would overlook an event whose transaction took longer than the next one's.
Each server counts its own transactions, so there is a position for each server that the database was on: a dump may be
restored on another one (docs/decisions.md, "Event positions per server").

Not here: validation of payloads (`events.handler`), publication (`events.payload`).
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
    """Counts of events that a listener has just accepted and refused."""

    accepted: int
    refused: int


def consume_events(
    database: Database, listener: str, subject: str, handle: Callable[[Payload], object]
) -> ConsumedEvents:
    """Call `handle` with the payload of every event of `subject` that `listener` has not consumed yet.

    A payload that `handle` refuses is recorded in `refused_events` and holds up no other. Any other error is raised,
    and the events are offered again the next time: a handler must be idempotent.

    Args:
        database: the store.
        listener: the listener's name, under which its position is kept.
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
    """Return the events between the listener's position and the oldest transaction that is still open.

    Returns:
        The events (id, payload), the id of this server, and its transaction up to which the events are complete.
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
    """Return the events that are new to the listener, of servers from which the database was restored here.

    Each server counts its own transactions: numbers of another one can't be compared with those of this one.
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
