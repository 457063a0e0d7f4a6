"""The history of leads: the log of changes to stored leads and of orders that leave them, and how it is read.

The making of a lead and the attachment of an order are in `business_leads` and `lead_orders` themselves, so a first
load writes nothing here. Stages that users set by the page or a command are in `user_actions` (`leads.stage`); those
that other programs set are not logged (docs/decisions.md, "Lead history"). Texts are in `leads.explanations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_rows, copy_to_temp_table
from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from etl_assets.database.database import Database

Change = Literal["figures", "reopened", "cooled", "withdrawn"]

MIN_PREFIX: Final = 8
"""Hexadecimal digits of a lead's id that are enough where no other lead begins with them."""

_HEX_DIGITS: Final = 32


class LeadIdError(EtlError):
    """A text is no lead id, or the beginning of more than one."""


class UnknownLeadError(EtlError):
    """There is no such lead, and there never was one."""


def log_changes(connection: sa.Connection, batch_id: int, what: Change, leads: pl.DataFrame) -> None:
    """Log changes that a batch is about to make to stored leads.

    Args:
        connection: the batch's transaction.
        batch_id: the batch.
        what: the kind of change.
        leads: `lead_id`, and the figures before the change or the order that made it.
    """
    copy_rows(connection, "lead_changes", leads.with_columns(batch_id=pl.lit(batch_id), what=pl.lit(what)))


def detach_orders(connection: sa.Connection, batch_id: int, detached: pl.DataFrame) -> None:
    """Detach orders (`shop_id`, `order_id`, `reason`) from their leads, and log when, by which batch and why."""
    if detached.is_empty():
        return
    copy_to_temp_table(connection, "detached_orders", detached, name="newly_detached")
    connection.execute(
        sa.text(
            """
            WITH detached AS (
                DELETE FROM lead_orders a USING newly_detached d
                WHERE a.shop_id = d.shop_id AND a.order_id = d.order_id
                RETURNING a.lead_id, a.shop_id, a.order_id, d.reason, a.strategy, a.attached_at, a.batch_id
            )
            INSERT INTO detached_orders
                (lead_id, shop_id, order_id, reason, strategy, attached_at, attached_batch_id, batch_id)
            SELECT lead_id, shop_id, order_id, reason, strategy, attached_at, batch_id, :batch_id FROM detached
            """
        ),
        {"batch_id": batch_id},
    )


def read_lead(database: Database, lead: str, *, limit: int | None = None) -> dict[str, Any]:
    """Read everything that is known about one lead.

    Args:
        database: the store.
        lead: the lead's id, or its first digits (`MIN_PREFIX` or more).
        limit: of orders and of the history, the newest; all by default.

    Returns:
        `lead_id`; `lead` (its row with its customer's name, platform and shop, or None if it is gone); `orders`
        (records, in the order of the rules); `history` (rows of the view `lead_history`, the oldest first).

    Raises:
        LeadIdError: the text is no id, or several leads begin with it.
        UnknownLeadError: there is no such lead.
    """
    low, high = _bounds(lead)
    with database.transaction() as connection:
        ids = connection.execute(sa.text(_IDS), {"low": low, "high": high}).scalars().all()
        if not ids:
            msg = f"There is no lead {lead}."
            raise UnknownLeadError(msg)
        if len(ids) > 1:
            msg = f"More than one lead begins with {lead}: give more digits of its id."
            raise LeadIdError(msg)
        found = _records(connection, _LEAD, ids[0])
        return {
            "lead_id": ids[0],
            "lead": found[0] if found else None,
            "orders": _records(connection, _ORDERS, ids[0], limit)[::-1],
            "history": _records(connection, _HISTORY, ids[0], limit)[::-1],
        }


def _bounds(lead: str) -> tuple[UUID, UUID]:
    digits = lead.strip().replace("-", "").lower()
    is_id = MIN_PREFIX <= len(digits) <= _HEX_DIGITS and set(digits) <= set("0123456789abcdef")
    if not is_id:
        msg = f"{lead!r} is no lead id: give the UUID of a lead, or its first {MIN_PREFIX} digits or more."
        raise LeadIdError(msg)
    return UUID(digits.ljust(_HEX_DIGITS, "0")), UUID(digits.ljust(_HEX_DIGITS, "f"))


def _records(connection: sa.Connection, query: str, lead_id: UUID, limit: int | None = None) -> list[dict[str, Any]]:
    rows = connection.execute(sa.text(query), {"lead_id": lead_id, "limit": limit}).mappings()
    return [{str(name): value for name, value in row.items()} for row in rows]


_IDS: Final = """
    SELECT lead_id FROM business_leads WHERE lead_id BETWEEN :low AND :high
    UNION SELECT lead_id FROM lead_changes WHERE lead_id BETWEEN :low AND :high
    UNION SELECT lead_id FROM detached_orders WHERE lead_id BETWEEN :low AND :high
    FETCH FIRST 2 ROWS ONLY
"""
_LEAD: Final = """
    SELECT l.*, c.customer_nickname, s.platform, s.shop_name, s.shown_name, e.run_id
    FROM business_leads l
    LEFT JOIN customers c USING (customer_global_id)
    LEFT JOIN shop_configs s ON s.shop_id = c.shop_id
    LEFT JOIN etl_batches e ON e.batch_id = l.batch_id
    WHERE l.lead_id = :lead_id
"""
_ORDERS: Final = """
    SELECT a.shop_id, o.order_no, s.platform, s.shop_name, a.order_id, o.ordered_at, o.latest_status,
           o.system_order_type, o.amount, o.refunded_amount,
           o.currency, a.strategy, a.attached_at, a.batch_id, e.run_id
    FROM lead_orders a
    LEFT JOIN orders o USING (shop_id, order_id)
    LEFT JOIN shop_configs s ON s.shop_id = a.shop_id
    LEFT JOIN etl_batches e ON e.batch_id = a.batch_id
    WHERE a.lead_id = :lead_id
    ORDER BY o.ordered_at DESC NULLS FIRST, a.order_id DESC LIMIT :limit
"""
_HISTORY: Final = """
    SELECT happened_at, what, platform, shop_name, order_id, strategy, reason, figures_before, figures_after,
           batch_id, run_id, stage_before, stage_after, note, user_name
    FROM lead_history WHERE lead_id = :lead_id
    ORDER BY happened_at DESC, batch_id DESC, step_no DESC, platform DESC, shop_name DESC, order_id DESC LIMIT :limit
"""
