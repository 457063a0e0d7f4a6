"""Stage of leads as users set it, for one lead or many, with a note; each change is recorded in `user_actions`.

The stages that the pipeline writes are rules of `leads.transform` and `leads.stale`; texts of the history are in
`leads.explanations`, those about refusals belong to the page or command that shows them.

Hazard: a batch locks the leads of its customers in no fixed order. So this module never waits for the lock of a lead:
one that is locked is refused as busy, and no deadlock can end a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.database.database import sqlstate_of
from etl_assets.errors import EtlError
from etl_assets.leads.transform import ACTIVE_STAGES
from etl_assets.user_actions import record_user_actions
from etl_assets.values.text import clean_text_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from etl_assets.database.database import Database

STAGES: Final = (*ACTIVE_STAGES, "WON", "LOST")
"""Stages with a meaning of their own; other words are allowed."""
MAX_LEADS: Final = 500
"""Most leads of one change: its locks are held for milliseconds."""
MAX_STAGE_CHARACTERS: Final = 40
MAX_NOTE_CHARACTERS: Final = 2_000
SET_STAGE: Final = "leads stage"
"""The action in `user_actions`, and the command."""

_CHANGED_MEANWHILE: Final = ("23505", "55P03", "40P01")
"""SQLSTATE where another session made an active lead of the same customer, or holds its lock for long."""

Reason = Literal["changed", "gone", "busy", "has_active_lead"]


class StageError(EtlError):
    """A stage, a note or a number of leads that can't be accepted."""


class LeadsBusyError(EtlError):
    """Another session changed leads of the same customers at the same moment; nothing was changed."""


class Refusal(NamedTuple):
    """A lead whose stage was not changed."""

    lead_id: UUID
    customer: str | None
    reason: Reason
    """`changed`: its stage is not the one that the user saw; `has_active_lead`: its customer has another active one."""
    stage: str | None
    """The stage that it has now."""
    changed_by: str | None = None
    """The user who set that stage last, if one did."""
    changed_at: datetime | None = None


class StageOutcome(NamedTuple):
    """Outcome of a change of stages."""

    changed: Sequence[UUID]
    unchanged: Sequence[UUID]
    """Leads that had the stage already, and get no note."""
    refused: Sequence[Refusal]


def stage_of(text: str) -> str:
    """Return the stage that a user means: one of `STAGES` in any case of letters, else the user's own word.

    Raises:
        StageError: the text is empty, too long, or not printable.
    """
    stage = clean_text_str(text)
    if not stage or len(stage) > MAX_STAGE_CHARACTERS or not stage.isprintable():
        msg = f"A stage is a word of at most {MAX_STAGE_CHARACTERS} characters, such as {', '.join(STAGES)}."
        raise StageError(msg)
    return stage.upper() if stage.upper() in STAGES else stage


def set_stages(
    database: Database, seen: Mapping[UUID, str], stage: str, *, note: str = "", user_name: str | None = None
) -> StageOutcome:
    """Set the stage of those leads that are as the user saw them, in one transaction with the record of who did it.

    Args:
        database: the store.
        seen: the stage of each lead that the user saw when deciding: a lead in another one is refused.
        stage: the new stage; the same stage with a note records the note.
        note: the user's reason.
        user_name: of the user; that of this process by default.

    Raises:
        StageError: the stage, the note or the number of leads can't be accepted.
        LeadsBusyError: nothing was changed; the same call may succeed in a moment.
    """
    wanted, note = stage_of(stage), note.strip()
    if len(note) > MAX_NOTE_CHARACTERS or "\0" in note or not 1 <= len(seen) <= MAX_LEADS:
        msg = f"Choose 1 to {MAX_LEADS} leads, and a note of at most {MAX_NOTE_CHARACTERS:,} characters."
        raise StageError(msg)
    try:
        with database.transaction() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
            return _set_stages(connection, seen, wanted, note, user_name)
    except DBAPIError as error:
        if sqlstate_of(error) not in _CHANGED_MEANWHILE:
            raise
        msg = "Leads of these customers are being changed at this moment: nothing was changed. Try again."
        raise LeadsBusyError(msg) from None


def _set_stages(
    connection: sa.Connection, seen: Mapping[UUID, str], stage: str, note: str, user_name: str | None
) -> StageOutcome:
    leads = {row["lead_id"]: row for row in _rows(connection, _LOCK, ids=list(seen))}
    refused = _missing(connection, [one for one in seen if one not in leads])
    changed_meanwhile = [one for one, row in leads.items() if row["current_stage"] != seen[one]]
    refused += _changed_meanwhile(connection, [leads[one] for one in changed_meanwhile])
    as_seen = {one: row for one, row in leads.items() if row["current_stage"] == seen[one]}
    blocked = _blocked(connection, as_seen, stage)
    refused += [_refusal(as_seen[one], "has_active_lead") for one in blocked]
    chosen = [row for one, row in as_seen.items() if one not in blocked]
    changed = [row for row in chosen if note or row["current_stage"] != stage]
    if changed:
        ids = [row["lead_id"] for row in changed if row["current_stage"] != stage]
        connection.execute(sa.text(_UPDATE), {"ids": ids, "stage": stage})
        record_user_actions(connection, SET_STAGE, [_action(row, stage, note) for row in changed], user_name=user_name)
    unchanged = [row["lead_id"] for row in chosen if not note and row["current_stage"] == stage]
    return StageOutcome([row["lead_id"] for row in changed], unchanged, refused)


def _action(lead: Mapping[str, Any], stage: str, note: str) -> dict[str, Any]:
    return {
        "target": lead["customer_key"] or "",
        "lead_id": lead["lead_id"],
        "before": {"current_stage": lead["current_stage"]},
        "after": {"current_stage": stage, **({"note": note} if note else {})},
    }


def _missing(connection: sa.Connection, ids: Sequence[UUID]) -> list[Refusal]:
    """Return refusals of the leads that could not be locked: gone, or locked by another session."""
    if not ids:
        return []
    stored = {row["lead_id"]: row for row in _rows(connection, _LEADS, ids=list(ids))}
    return [_refusal(stored[one], "busy") if one in stored else Refusal(one, None, "gone", None) for one in ids]


def _changed_meanwhile(connection: sa.Connection, leads: Sequence[Mapping[str, Any]]) -> list[Refusal]:
    if not leads:
        return []
    last = {row["lead_id"]: row for row in _rows(connection, _LAST_ACTIONS, ids=[one["lead_id"] for one in leads])}
    refused = []
    for one in leads:
        action = last.get(one["lead_id"])
        is_of_user = action is not None and action["stage"] == one["current_stage"]
        by = (action["user_name"], action["done_at"]) if action is not None and is_of_user else ()
        refused.append(Refusal(one["lead_id"], one["customer_nickname"], "changed", one["current_stage"], *by))
    return refused


def _blocked(connection: sa.Connection, leads: Mapping[UUID, Mapping[str, Any]], stage: str) -> list[UUID]:
    """Return the leads that can't become active: a customer has at most one OPEN or COLD lead."""
    if stage not in ACTIVE_STAGES or not leads:
        return []
    customers = [one["customer_global_id"] for one in leads.values()]
    active = {row["customer_global_id"]: row["lead_id"] for row in _rows(connection, _ACTIVE, customers=customers)}
    return [one for one, row in leads.items() if active.setdefault(row["customer_global_id"], one) != one]


def _refusal(lead: Mapping[str, Any], reason: Reason) -> Refusal:
    return Refusal(lead["lead_id"], lead["customer_nickname"], reason, lead["current_stage"])


def _rows(connection: sa.Connection, query: str, **parameters: object) -> list[Mapping[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(query), parameters).mappings()]


_LEADS: Final = """
    SELECT l.lead_id, l.customer_global_id, l.current_stage, c.customer_nickname, c.customer_key
    FROM business_leads l LEFT JOIN customers c USING (customer_global_id)
    WHERE l.lead_id = ANY (:ids) ORDER BY l.lead_id
"""
_LOCK: Final = f"{_LEADS} FOR NO KEY UPDATE OF l SKIP LOCKED"
_ACTIVE: Final = """
    SELECT customer_global_id, lead_id FROM business_leads
    WHERE customer_global_id = ANY (:customers) AND current_stage IN ('OPEN', 'COLD')
"""
_LAST_ACTIONS: Final = """
    SELECT DISTINCT ON (lead_id) lead_id, user_name, done_at, after ->> 'current_stage' AS stage
    FROM user_actions WHERE lead_id = ANY (:ids) ORDER BY lead_id, action_id DESC
"""
_UPDATE: Final = "UPDATE business_leads SET current_stage = :stage, updated_at = now() WHERE lead_id = ANY (:ids)"
