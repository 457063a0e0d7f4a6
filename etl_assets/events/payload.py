"""Payload of every event (version 1.0), and its publication in the transaction of the data.

Not here: subjects (`events.subjects`), which asset publishes which (the asset graph), consumption (`events.consumer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from etl_assets.database.ledger_schema import etl_events
from etl_assets.events.subjects import EVENT_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

CHANNEL: Final = "etl_events"
Status = Literal["success", "partial_success", "failed"]


class EventPayload(BaseModel):
    """Result of a batch of an asset. `duration` is in seconds; `batch_id` is null where no batch was committed."""

    model_config = ConfigDict(frozen=True)

    event: str
    event_version: str = EVENT_VERSION
    batch_id: int | None
    import_ids: tuple[str, ...]
    status: Status
    success_count: int
    error_count: int
    duration: float


def publish(connection: sa.Connection, payload: EventPayload, *, with_insert: sa.Insert | None = None) -> int:
    """Write the event and announce it with NOTIFY; both take effect when the transaction commits. Returns its id.

    Args:
        connection: an open transaction.
        payload: the event.
        with_insert: another row to write in the same statement.
    """
    written = (
        sa.insert(etl_events)
        .values(subject=payload.event, payload=payload.model_dump(mode="json"))
        .returning(etl_events.c.event_id)
        .cte("written")
    )
    announce = sa.select(
        written.c.event_id, sa.func.pg_notify(CHANNEL, sa.cast(written.c.event_id, sa.Text)).label("announced")
    )
    if with_insert is not None:
        announce = announce.add_cte(with_insert.cte("inserted"))
    event_id: int = connection.execute(announce).one().event_id
    return event_id


def as_text(import_ids: Sequence[UUID]) -> tuple[str, ...]:
    """Return import ids in the form of a payload."""
    return tuple(str(import_id) for import_id in import_ids)
