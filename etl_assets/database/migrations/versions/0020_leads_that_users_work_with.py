"""Stages that users set are part of a lead's history; saved views; indexes of the list of leads."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision: no row is written."""
    about = "the lead that it was about, if it was one: part of its history"
    op.add_column("user_actions", sa.Column("lead_id", UUID(as_uuid=True), comment=about))
    op.create_index(
        op.f("ix_user_actions_lead_id_action_id"),
        "user_actions",
        ["lead_id", "action_id"],
        postgresql_where=sa.text("lead_id IS NOT NULL"),
    )
    op.create_table(
        "saved_views",
        sa.Column("view_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False, comment="the user who saved it, and sees it"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "filters",
            JSONB(),
            nullable=False,
            comment="filters and sort of the list of leads: see reporting.leads_list",
        ),
        sa.Column("saved_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("view_id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("user_name", "name", name=op.f("uq_saved_views_user_name_name")),
    )
    lower_name = sa.func.lower(sa.column("customer_nickname")).label("name")
    by_bytes = {"name": "text_pattern_ops"}
    op.create_index("ix_customers_lower_name", "customers", [lower_name], postgresql_ops=by_bytes)
    last_order = sa.text("coalesce(last_order_at, '-infinity')")
    op.create_index("ix_business_leads_last_order", "business_leads", [last_order, "lead_id"])
    op.create_index("ix_business_leads_total_amount", "business_leads", ["total_amount", "lead_id"])
    op.create_index(
        "ix_business_leads_reopened",
        "business_leads",
        ["reopened_at"],
        postgresql_where=sa.text("reopened_at IS NOT NULL"),
    )
    op.execute("ANALYZE business_leads")  # the indexed expressions, by which the list of leads is planned
    op.execute("ANALYZE customers")
    definition = op.get_bind().scalar(sa.text("SELECT pg_get_viewdef(CAST('lead_history' AS regclass))"))
    op.execute(_LEAD_HISTORY.format(of_the_pipeline=str(definition).strip().removesuffix(";")))


def downgrade() -> None:
    """Go back to the revision before."""
    op.execute("DROP VIEW lead_history")
    before = import_module("etl_assets.database.migrations.versions.0009_refunds_and_personalisation")
    op.execute(before._lead_history(", coalesce({}.refunded_amount, 0) AS refunded_amount"))  # noqa: SLF001
    for table, index in _INDEXES:
        op.drop_index(index, table, if_exists=True)  # a first load may have put it off
    op.drop_table("saved_views")
    op.drop_column("user_actions", "lead_id")


_INDEXES = (
    ("business_leads", "ix_business_leads_reopened"),
    ("business_leads", "ix_business_leads_total_amount"),
    ("business_leads", "ix_business_leads_last_order"),
    ("customers", "ix_customers_lower_name"),
)

_LEAD_HISTORY = """
CREATE OR REPLACE VIEW lead_history AS
SELECT h.lead_id, h.happened_at, h.step_no, h.batch_id, h.run_id, h.what, h.platform, h.shop_name, h.shop_id,
       h.order_id, h.strategy, h.reason, h.figures_before, h.figures_after, CAST(NULL AS text) AS stage_before,
       CAST(NULL AS text) AS stage_after, CAST(NULL AS text) AS note, CAST(NULL AS text) AS user_name
FROM ({of_the_pipeline}) h
UNION ALL
SELECT lead_id, done_at, 8, NULL, NULL,
       CASE WHEN before ->> 'current_stage' = after ->> 'current_stage' THEN 'noted' ELSE 'stage_set' END,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, before ->> 'current_stage', after ->> 'current_stage',
       after ->> 'note', user_name
FROM user_actions WHERE lead_id IS NOT NULL
"""
