"""Tables and columns take the field's words: pending checks, detached orders, anonymous orders."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = {"etl_unchecked": "etl_pending_checks", "lead_departures": "detached_orders"}
_INDEXES = {
    "pk_etl_unchecked": "pk_etl_pending_checks",
    "ix_etl_unchecked_asset_note_id": "ix_etl_pending_checks_asset_note_id",
    "pk_lead_departures": "pk_detached_orders",
    "ix_lead_departures_lead_id": "ix_detached_orders_lead_id",
}
_SEQUENCES = {
    "etl_unchecked_note_id_seq": "etl_pending_checks_note_id_seq",
    "lead_departures_departure_id_seq": "detached_orders_departure_id_seq",
}
_COMMENTS = {
    "raw_orders.replaces_raw_id": (
        "the quarantined row that this one corrects",
        "the quarantined row that this one mends",
    ),
    "lead_orders.strategy": ("the rule that attached the order: see leads.explanations", "new or reuse"),
    "detached_orders.strategy": ("the rule that had attached the order", "how it had been attached: new or reuse"),
    "detached_orders.reason": (
        "why it was detached: see leads.explanations",
        "cancelled, moved, no_customer or lead_gone",
    ),
    "import_tasks.status": ("state of the import", "pending, completed or failed"),
    "raw_orders.extra": ("columns that no mapping named", "what no mapping named"),
    "business_leads.lead_no": (
        "how many leads the customer had before; null for leads made by hand",
        "how many leads the customer had before; null for leads that people made",
    ),
    "business_leads.current_stage": (
        "owned by the users; the pipeline sets OPEN and COLD only",
        "people own it: OPEN, COLD, WON, LOST or their own",
    ),
    "lead_changes.what": ("kind of change: see leads.explanations", "figures, reopened, cooled or withdrawn"),
    "quarantine.resolution": (
        "how the row was resolved: see the package quarantine",
        "superseded, replayed or dismissed",
    ),
    "quarantine.note": ("reason of a dismissal", "why people dismissed it"),
    "etl_batches.status": (
        "outcome, as in the payload of the event",
        "success, partial_success (some quarantined) or failed",
    ),
    "asset_epochs.epoch": (
        "commits of the asset so far: the fencing token",
        "commits of the asset so far; the fence against a second run",
    ),
    "source_progress.epoch": ("pulls so far: the fencing token", "pulls so far; the fence against a second one"),
}
"""New and old comment of each column."""


def upgrade() -> None:
    """Go to this revision: only names in the catalog change, no row is written."""
    _rename(_TABLES, _INDEXES, _SEQUENCES)
    op.alter_column("etl_batches", "without_customer", new_column_name="anonymous_orders")
    for column, (new, _) in _COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN {column} IS '{new}'")


def downgrade() -> None:
    """Go back to the revision before."""
    for column, (_, old) in _COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN {column} IS '{old}'")
    op.alter_column("etl_batches", "anonymous_orders", new_column_name="without_customer")
    _rename(*({new: old for old, new in names.items()} for names in (_TABLES, _INDEXES, _SEQUENCES)))


def _rename(tables: dict[str, str], indexes: dict[str, str], sequences: dict[str, str]) -> None:
    for kind, names in (("TABLE", tables), ("INDEX", indexes), ("SEQUENCE", sequences)):
        for old, new in names.items():
            op.execute(f"ALTER {kind} {old} RENAME TO {new}")
