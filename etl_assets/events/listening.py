"""How a listener hears the events of a subject: each one once, however late its transaction commits.

What was heard is kept in the database, by transaction and not by event id: ids are given out before commits, so that
"all ids above the last one" would overlook an event whose transaction took longer than its neighbour's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from etl_assets.database.schema import etl_events, event_listeners, refused_events
from etl_assets.events.handler import EventRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.database.database import Database
    from etl_assets.events.handler import Payload


@dataclass(frozen=True, slots=True)
class Heard:
    """How many events a listener has just heard, and how many of them it refused."""

    accepted: int
    refused: int


def hear_events(database: Database, listener: str, subject: str, handle: Callable[[Payload], object]) -> Heard:
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
        events, until = _unheard(connection, listener, subject)
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
                .where(event_listeners.c.listener == listener)
                .values(heard_until=until, updated_at=sa.func.now())
            )
    return Heard(len(events) - len(refused), len(refused))


def _unheard(connection: sa.Connection, listener: str, subject: str) -> tuple[list[tuple[int, dict[str, Any]]], int]:
    """The events between what the listener has heard and the oldest transaction that is still open."""
    connection.execute(insert(event_listeners).values(listener=listener, heard_until=0).on_conflict_do_nothing())
    heard_until = connection.execute(
        sa.select(event_listeners.c.heard_until).where(event_listeners.c.listener == listener).with_for_update()
    ).scalar_one()
    # On its own and first: every snapshot taken later is complete below it.
    horizon: int = connection.execute(
        sa.text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
    ).scalar_one()
    if heard_until > horizon:  # a restored database counts its transactions from an earlier one on
        heard_until = 0
    rows = connection.execute(
        sa.select(etl_events.c.event_id, etl_events.c.payload)
        .where(etl_events.c.subject == subject, etl_events.c.tx >= heard_until, etl_events.c.tx < horizon)
        .order_by(etl_events.c.event_id)
    )
    return [(event_id, payload) for event_id, payload in rows], horizon
