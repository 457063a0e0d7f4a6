"""Orders and leads name what was given back; order lines hold the buyer's text (personalisation)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_REFUNDED = "given back to the buyer, part of amount; null where the export says nothing"
_REFUNDED_OF_LEAD = "sum over its orders in its currency, null counting as 0; the totals are gross"
_PERSONALISATION = "the buyer's text for this line, as it was written"


def upgrade() -> None:
    """Go to this revision: new columns are null or have a default, so no row is written."""
    op.add_column("raw_orders", sa.Column("refunded_amount", sa.Text()))
    op.add_column("orders", sa.Column("refunded_amount", sa.Numeric(18, 4), comment=_REFUNDED))
    op.add_column("order_items", sa.Column("personalisation", sa.Text(), comment=_PERSONALISATION))
    of_lead: sa.Column[object] = sa.Column(
        "refunded_amount", sa.Numeric(38, 4), server_default=sa.text("0"), nullable=False, comment=_REFUNDED_OF_LEAD
    )
    op.add_column("business_leads", of_lead)
    op.add_column("lead_changes", sa.Column("refunded_amount", sa.Numeric(38, 4)))
    # Changes that were logged before have none: a lead of that time had no refunds.
    op.execute(_lead_history(", coalesce({}.refunded_amount, 0) AS refunded_amount"))


def downgrade() -> None:
    """Go back to the revision before."""
    op.execute(_lead_history(""))
    op.drop_column("lead_changes", "refunded_amount")
    op.drop_column("business_leads", "refunded_amount")
    op.drop_column("order_items", "personalisation")
    op.drop_column("orders", "refunded_amount")
    op.drop_column("raw_orders", "refunded_amount")


def _lead_history(further: str) -> str:
    """Return the statement that replaces the view by one with further figures, of which `{}` is the table."""
    return _LEAD_HISTORY % (further.format("c"), further.format("l"))


# What happened in one moment is told in the order of step_no. A change holds the figures before it; those after it are
# what the lead's next change holds, or what the lead holds now.
_LEAD_HISTORY = """
CREATE OR REPLACE VIEW lead_history AS
WITH counted AS (
    SELECT change_id, lead_id, batch_id, changed_at, what, shop_id, order_id, figures,
           CASE WHEN what = 'withdrawn' THEN NULL ELSE coalesce(next_figures, current_figures) END AS next_figures
    FROM (
        SELECT c.change_id, c.lead_id, c.batch_id, c.changed_at, c.what, c.shop_id, c.order_id, to_jsonb(b) AS figures,
               CASE WHEN c.what IN ('figures', 'withdrawn') THEN lead(to_jsonb(b)) OVER (
                   PARTITION BY c.lead_id, c.what IN ('figures', 'withdrawn') ORDER BY c.change_id
               ) END AS next_figures,
               CASE WHEN l.lead_id IS NOT NULL THEN to_jsonb(n) END AS current_figures
        FROM lead_changes c
        LEFT JOIN business_leads l ON l.lead_id = c.lead_id
        CROSS JOIN LATERAL (SELECT
            c.first_order_at, c.last_order_at, c.order_count, c.total_amount, c.sample_count, c.sample_amount,
            c.proof_count, c.proof_amount, c.bulk_count, c.bulk_amount, c.currency, c.other_currency_count%s
        ) b
        CROSS JOIN LATERAL (SELECT
            l.first_order_at, l.last_order_at, l.order_count, l.total_amount, l.sample_count, l.sample_amount,
            l.proof_count, l.proof_amount, l.bulk_count, l.bulk_amount, l.currency, l.other_currency_count%s
        ) n
    ) together
), happenings AS (
    SELECT lead_id, coalesce(opened_at, created_at) AS happened_at, 1 AS step_no, batch_id, 'opened' AS what,
           CAST(NULL AS integer) AS shop_id, CAST(NULL AS text) AS order_id, CAST(NULL AS text) AS strategy,
           CAST(NULL AS text) AS reason, CAST(NULL AS jsonb) AS figures_before, CAST(NULL AS jsonb) AS figures_after
    FROM business_leads
    UNION ALL
    SELECT lead_id, attached_at, 3, batch_id, 'attached', shop_id, order_id, strategy, NULL, NULL, NULL FROM lead_orders
    UNION ALL
    SELECT lead_id, attached_at, 3, attached_batch_id, 'attached', shop_id, order_id, strategy, NULL, NULL, NULL
    FROM detached_orders
    UNION ALL
    SELECT lead_id, left_at, 4, batch_id, 'left', shop_id, order_id, strategy, reason, NULL, NULL FROM detached_orders
    UNION ALL
    SELECT c.lead_id, c.changed_at,
           CASE c.what WHEN 'reopened' THEN 2 WHEN 'figures' THEN 5 WHEN 'cooled' THEN 6 ELSE 7 END,
           c.batch_id, c.what, c.shop_id, c.order_id, NULL, NULL, d.figures_before, d.figures_after
    FROM counted c
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(b.key, b.value) AS figures_before,
               CASE WHEN c.what = 'figures' THEN jsonb_object_agg(b.key, c.next_figures -> b.key) END AS figures_after
        FROM jsonb_each(c.figures) b
        WHERE c.what IN ('figures', 'withdrawn') AND b.value IS DISTINCT FROM c.next_figures -> b.key
    ) d
)
SELECT h.lead_id, h.happened_at, h.step_no, h.batch_id, e.run_id, h.what, s.platform, s.shop_name, h.shop_id, h.order_id,
       h.strategy, h.reason, h.figures_before, h.figures_after
FROM happenings h
LEFT JOIN etl_batches e ON e.batch_id = h.batch_id
LEFT JOIN shop_configs s ON s.shop_id = h.shop_id
"""
