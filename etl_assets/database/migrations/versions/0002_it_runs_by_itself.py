"""It runs by itself: what listeners have heard, what the inbox and the sources have given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.add_column(
        "etl_events",
        sa.Column(
            "tx",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
            comment="the transaction that wrote it: read below the snapshot's xmin, so that no late commit is overlooked",
        ),
    )
    op.add_column(
        "import_tasks",
        sa.Column(
            "unmatched",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="columns that the mapping takes from headers that the source lacks",
        ),
    )
    op.add_column(
        "orders",
        sa.Column(
            "latest_raw_id",
            sa.BigInteger(),
            nullable=True,
            comment="a later good raw row that was an older version, read before earlier rows; null where there is none",
        ),
    )
    op.drop_index("ix_etl_events_subject_event_id", table_name="etl_events")
    op.create_index("ix_etl_events_subject_tx", "etl_events", ["subject", "tx"])
    op.create_table(
        "event_listeners",
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column(
            "heard_until", sa.BigInteger(), nullable=False, comment="it has heard the events of all transactions before"
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("listener", name=op.f("pk_event_listeners")),
    )
    op.create_table(
        "refused_events",
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("listener", "event_id", name=op.f("pk_refused_events")),
    )
    op.create_table(
        "inbox_files",
        sa.Column("content_hash", sa.Text(), nullable=False, comment="SHA-256 of the file, in hex"),
        sa.Column("import_id", sa.UUID(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name=op.f("pk_inbox_files")),
    )
    op.create_table(
        "source_progress",
        sa.Column("source", sa.Text(), nullable=False, comment="its name in sources.yaml"),
        sa.Column(
            "position",
            postgresql.JSONB(),
            nullable=True,
            comment="how far the source was read, in the terms of its kind",
        ),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="pulls so far; the fence against a second one"),
        sa.Column("pulled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_progress")),
    )
    op.create_table(
        "source_rows",
        sa.Column("source", sa.Text(), nullable=False, comment="its name in sources.yaml"),
        sa.Column("row_key", sa.UUID(), nullable=False, comment="a hash of the order's key in the source"),
        sa.Column("row_hash", sa.UUID(), nullable=False, comment="a hash of what was landed of it last"),
        sa.PrimaryKeyConstraint("source", "row_key", name=op.f("pk_source_rows")),
    )
    _compare_order_ids('text COLLATE "C"')  # before the view of them
    _add_history_of_leads()
    op.add_column("quarantine", sa.Column("note", sa.Text(), nullable=True, comment="why people dismissed it"))
    op.alter_column("quarantine", "resolution", comment="superseded, replayed or dismissed")
    _narrow_the_key_of_lines()


def _compare_order_ids(new_type: str) -> None:
    """Compare order ids as bytes: rows sorted by the client are in the order of the index, whatever the locale."""
    for table in ("orders", "lead_orders"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN order_id TYPE {new_type}")


def _narrow_the_key_of_lines() -> None:
    """Give orders a number, and lines that number as their key: half the size, and new lines always come last."""
    op.add_column(
        "orders",
        sa.Column("order_no", sa.BigInteger(), comment="the raw row of its first version: the narrow key of lines"),
    )
    op.execute("UPDATE orders SET order_no = raw_id")
    op.alter_column("orders", "order_no", nullable=False)
    for table, rest in (("order_items", ["line_no"]), ("process_items", ["line_no", "process_no"])):
        op.add_column(table, sa.Column("order_no", sa.BigInteger(), comment="of the order"))
        op.execute(
            f"UPDATE {table} t SET order_no = o.order_no FROM orders o"  # noqa: S608  # names of ours
            " WHERE o.shop_id = t.shop_id AND o.order_id = t.order_id"
        )
        op.execute(f"DELETE FROM {table} WHERE order_no IS NULL")  # noqa: S608  # lines without an order
        op.drop_constraint(f"pk_{table}", table)
        op.create_primary_key(f"pk_{table}", table, ["order_no", *rest])
    op.add_column(
        "order_items",
        sa.Column(
            "processes",
            sa.Text(),
            nullable=True,
            comment="the item's processes as the export gives them: what process_items is made from",
        ),
    )
    # The next run of order_items fills it in.
    op.execute(
        "INSERT INTO etl_work (asset, batch_id, low, high)"
        " SELECT 'order_items', batch_id, min(raw_id), max(raw_id) FROM orders GROUP BY batch_id"
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_column("order_items", "processes")
    for table, rest in (("order_items", ["line_no"]), ("process_items", ["line_no", "process_no"])):
        op.drop_constraint(f"pk_{table}", table)
        op.drop_column(table, "order_no")
        op.create_primary_key(f"pk_{table}", table, ["shop_id", "order_id", *rest])
    op.drop_column("orders", "order_no")
    op.alter_column("quarantine", "resolution", comment="superseded or replayed")
    op.drop_column("quarantine", "note")
    _drop_history_of_leads()
    _compare_order_ids("text")
    for table in ("source_rows", "source_progress", "inbox_files", "refused_events", "event_listeners"):
        op.drop_table(table)
    op.drop_index("ix_etl_events_subject_tx", table_name="etl_events")
    op.create_index("ix_etl_events_subject_event_id", "etl_events", ["subject", "event_id"])
    op.drop_column("orders", "latest_raw_id")
    op.drop_column("import_tasks", "unmatched")
    op.drop_column("etl_events", "tx")


def _add_history_of_leads() -> None:
    op.add_column(
        "business_leads",
        sa.Column("batch_id", sa.BigInteger(), nullable=True, comment="the batch of the ledger that made it"),
    )
    op.add_column(
        "lead_orders",
        sa.Column("batch_id", sa.BigInteger(), nullable=True, comment="the batch of the ledger that attached it"),
    )
    op.create_table(
        "lead_changes",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.UUID(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the batch of the ledger that made the change"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("what", sa.Text(), nullable=False, comment="figures, reopened, cooled or withdrawn"),
        sa.Column("shop_id", sa.Integer(), nullable=True, comment="with order_id: the order that reopened the lead"),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("first_order_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_order_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "order_count",
            sa.Integer(),
            nullable=True,
            comment="this and the other figures are those before the change",
        ),
        sa.Column("total_amount", sa.Numeric(38, 4), nullable=True),
        sa.Column("sample_count", sa.Integer(), nullable=True),
        sa.Column("sample_amount", sa.Numeric(38, 4), nullable=True),
        sa.Column("proof_count", sa.Integer(), nullable=True),
        sa.Column("proof_amount", sa.Numeric(38, 4), nullable=True),
        sa.Column("bulk_count", sa.Integer(), nullable=True),
        sa.Column("bulk_amount", sa.Numeric(38, 4), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("other_currency_count", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_lead_changes")),
    )
    op.create_index("ix_lead_changes_lead_id_change_id", "lead_changes", ["lead_id", "change_id"])
    op.create_table(
        "lead_departures",
        sa.Column("departure_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.UUID(), nullable=False, comment="the lead that the order left"),
        sa.Column("shop_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="cancelled, moved, no_customer or lead_gone"),
        sa.Column("strategy", sa.Text(), nullable=False, comment="how it had been attached: new or reuse"),
        sa.Column("attached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "attached_batch_id",
            sa.BigInteger(),
            nullable=True,
            comment="the batch of the ledger that had attached it",
        ),
        sa.Column("left_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the batch of the ledger that took it out"),
        sa.PrimaryKeyConstraint("departure_id", name=op.f("pk_lead_departures")),
    )
    op.create_index("ix_lead_departures_lead_id", "lead_departures", ["lead_id"])
    op.execute(_LEAD_HISTORY)
    _note_deleted_leads()


def _note_deleted_leads() -> None:
    """Note which leads are deleted while orders belong to them, so that nobody has to search for those of new ones."""
    op.create_table(
        "deleted_leads",
        sa.Column("lead_id", sa.UUID(), nullable=False, comment="noted by a trigger when the lead is deleted"),
        sa.Column("customer_global_id", sa.UUID(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("lead_id", name=op.f("pk_deleted_leads")),
    )
    op.execute(
        "INSERT INTO deleted_leads (lead_id, customer_global_id)"
        " SELECT DISTINCT ON (lead_id) lead_id, o.customer_global_id FROM lead_orders a"
        " JOIN orders o USING (shop_id, order_id) LEFT JOIN business_leads l USING (lead_id)"
        " WHERE l.lead_id IS NULL AND o.customer_global_id IS NOT NULL"
    )
    # It runs as the owner: who may delete leads need not be allowed to write the note.
    preparer = op.get_bind().dialect.identifier_preparer
    schema = preparer.quote(op.get_bind().execute(sa.text("SELECT current_schema()")).scalar_one())
    for moment, table, noted in (
        ("AFTER DELETE", "gone", "REFERENCING OLD TABLE AS gone"),
        ("BEFORE TRUNCATE", "business_leads", ""),
    ):
        function = f"note_leads_{moment.lower().replace(' ', '_')}"
        op.execute(
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"  # noqa: S608  # constants only
            f" SET search_path = {schema}, pg_temp AS $$ BEGIN"
            " INSERT INTO deleted_leads (lead_id, customer_global_id)"
            f" SELECT lead_id, customer_global_id FROM {table} t"
            " WHERE EXISTS (SELECT FROM lead_orders a WHERE a.lead_id = t.lead_id)"
            " ON CONFLICT DO NOTHING; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {function} {moment} ON business_leads {noted}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )


def _drop_history_of_leads() -> None:
    for moment in ("after_delete", "before_truncate"):
        op.execute(f"DROP TRIGGER note_leads_{moment} ON business_leads")
        op.execute(f"DROP FUNCTION note_leads_{moment}()")
    op.drop_table("deleted_leads")
    op.execute("DROP VIEW lead_history")
    op.drop_table("lead_departures")
    op.drop_table("lead_changes")
    op.drop_column("lead_orders", "batch_id")
    op.drop_column("business_leads", "batch_id")


# What happened in one moment is told in the order of step_no. A change holds the figures before it; those after it are
# what the lead's next change holds, or what the lead holds now.
_LEAD_HISTORY = """
CREATE VIEW lead_history AS
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
            c.proof_count, c.proof_amount, c.bulk_count, c.bulk_amount, c.currency, c.other_currency_count
        ) b
        CROSS JOIN LATERAL (SELECT
            l.first_order_at, l.last_order_at, l.order_count, l.total_amount, l.sample_count, l.sample_amount,
            l.proof_count, l.proof_amount, l.bulk_count, l.bulk_amount, l.currency, l.other_currency_count
        ) n
    ) together
), happenings AS (
    SELECT lead_id, coalesce(opened_at, created_at) AS happened_at, 1 AS step_no, batch_id, 'opened' AS what, CAST(NULL AS integer) AS shop_id,
           CAST(NULL AS text) AS order_id, CAST(NULL AS text) AS strategy, CAST(NULL AS text) AS reason,
           CAST(NULL AS jsonb) AS figures_before, CAST(NULL AS jsonb) AS figures_after
    FROM business_leads
    UNION ALL
    SELECT lead_id, attached_at, 3, batch_id, 'attached', shop_id, order_id, strategy, NULL, NULL, NULL FROM lead_orders
    UNION ALL
    SELECT lead_id, attached_at, 3, attached_batch_id, 'attached', shop_id, order_id, strategy, NULL, NULL, NULL
    FROM lead_departures
    UNION ALL
    SELECT lead_id, left_at, 4, batch_id, 'left', shop_id, order_id, strategy, reason, NULL, NULL FROM lead_departures
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
