"""Views for spreadsheets and BI tools, with names first and ids last."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0015"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision: no row is written."""
    for view, (query, description, columns) in _VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query}")
        op.execute(f"COMMENT ON VIEW {view} IS {_quoted(description)}")
        for column, comment in columns.items():
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS {_quoted(comment)}")


def downgrade() -> None:
    """Go back to the revision before."""
    for view in _VIEWS:
        op.execute(f"DROP VIEW {view}")


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''").replace(":", r"\:")  # to SQLAlchemy, a colon begins a parameter
    return f"'{escaped}'"


# Inner joins: a condition on the shop's name is then applied to the shops first. Every lead has its customer, and every
# customer its shop (docs/decisions.md, "No foreign keys": checks look for orphans).
_LEAD_LIST: Final = """
    SELECT c.customer_nickname AS customer, coalesce(s.shown_name, s.shop_name) AS shop, s.platform,
           l.current_stage AS stage, l.order_count, l.sample_count, l.proof_count, l.bulk_count, l.currency,
           l.total_amount, l.sample_amount, l.proof_amount, l.bulk_amount, l.refunded_amount,
           l.total_amount - l.refunded_amount AS net_amount, l.first_order_at, l.last_order_at,
           CAST(floor(extract(epoch FROM now() - l.last_order_at) / 86400) AS integer) AS days_since_last_order,
           l.opened_at, l.reopened_at, l.reopen_count, l.other_currency_count, l.updated_at,
           l.lead_id, l.customer_global_id, c.shop_id
    FROM business_leads l
    JOIN customers c ON c.customer_global_id = l.customer_global_id
    JOIN shop_configs s ON s.shop_id = c.shop_id
"""
_LEAD_LIST_COLUMNS: Final = {
    "customer": "the customer's name in the shop",
    "shop": "name of the shop, as set by users or as in the exports",
    "platform": "the platform of the shop",
    "stage": "stage of the lead: OPEN, COLD, or one that users set",
    "order_count": "orders of the lead; cancelled ones are not counted, here and below",
    "sample_count": "orders of a sample",
    "proof_count": "orders of a proof",
    "bulk_count": "bulk orders",
    "currency": "currency of the amounts",
    "total_amount": "sum of the orders' amounts in that currency, before refunds",
    "sample_amount": "part of it for samples",
    "proof_amount": "part of it for proofs",
    "bulk_amount": "part of it for bulk orders",
    "refunded_amount": "given back to the buyer, part of total_amount",
    "net_amount": "total_amount less refunded_amount",
    "first_order_at": "time of the first order",
    "last_order_at": "time of the last order",
    "days_since_last_order": "whole days from the last order until now",
    "opened_at": "when the lead was created",
    "reopened_at": "when an order last reopened it from COLD",
    "reopen_count": "how often that happened",
    "other_currency_count": "orders in another currency, whose amounts are not part of the sums",
    "updated_at": "when the lead last changed",
    "lead_id": "id of the lead: for `etl-assets explain lead`",
    "customer_global_id": "id of the customer",
    "shop_id": "id of the shop",
}

_FILE: Final = r"regexp_replace(t.source, '^.*[/\\]', '')"
_QUARANTINE_LIST: Final = f"""
    SELECT {_FILE} AS file, CAST(q.row ->> 'row_no' AS integer) AS line,
           coalesce(s.platform, q.row ->> 'platform') AS platform,
           coalesce(s.shown_name, s.shop_name, q.row ->> 'shop') AS shop,
           coalesce(q.order_id, q.row ->> 'order_id') AS order_id, q.row ->> 'customer_name' AS customer,
           q.reason_code, q.reason, q.asset, q.resolved_at IS NULL AS is_open, q.quarantined_at, q.resolved_at,
           q.resolution, q.note, q.quarantine_id, q.import_id, q.raw_id, q.shop_id
    FROM quarantine q
    LEFT JOIN import_tasks t ON t.import_id = q.import_id
    LEFT JOIN shop_configs s ON s.shop_id = q.shop_id
"""  # noqa: S608  # a constant
_QUARANTINE_LIST_COLUMNS: Final = {
    "file": "name of the file that the row came from, or of the source",
    "line": "line of the file at which the row starts",
    "platform": "platform of the shop; as in the file where no shop could be read",
    "shop": "name of the shop, likewise",
    "order_id": "number of the order; as in the file where none could be read",
    "customer": "the customer's name, as in the file",
    "reason_code": "kind of the fault",
    "reason": "all faults of the row, each with its column",
    "asset": "the asset that could not process the row",
    "is_open": "true until the row is corrected, overtaken by a newer one, dismissed or reverted",
    "quarantined_at": "when it was put into quarantine",
    "resolved_at": "when it was resolved",
    "resolution": "how it was resolved: replayed, superseded, dismissed, reverted",
    "note": "reason of a dismissal",
    "quarantine_id": "number of the entry: for `etl-assets quarantine replay --id`",
    "import_id": "id of the import",
    "raw_id": "number of the raw row",
    "shop_id": "id of the shop; null where none could be read",
}

# An import that has waiting lines has a finding more, as in `imports list`. A join to grouped rows is left out of the
# plan of a query that does not ask for their count.
_IMPORT_LIST: Final = f"""
    SELECT {_FILE} AS file, t.status, t.preset, t.line_count, t.row_count AS order_count,
           coalesce(f.finding_count, 0) AS finding_count,
           (SELECT count(*) FROM quarantine q WHERE q.import_id = t.import_id AND q.resolved_at IS NULL)
               AS open_row_count,
           t.error, t.created_at, t.completed_at, t.source, t.import_id
    FROM import_tasks t
    LEFT JOIN (
        SELECT import_id, count(*) AS finding_count FROM (
            SELECT import_id FROM import_findings
            UNION ALL
            SELECT DISTINCT r.import_id FROM line_versions v JOIN raw_orders r USING (raw_id) WHERE v.is_waiting
        ) found GROUP BY import_id
    ) f ON f.import_id = t.import_id
"""  # noqa: S608  # a constant
_IMPORT_LIST_COLUMNS: Final = {
    "file": "name of the file, or of the source",
    "status": "pending, completed, failed, held or reverted",
    "preset": "name of the mapping by which the file was read",
    "line_count": "lines read",
    "order_count": "raw orders landed: an order may have several lines",
    "finding_count": "findings about the file, such as statuses that the preset does not know",
    "open_row_count": "its rows in quarantine that are not resolved",
    "error": "why it failed",
    "created_at": "when the import began",
    "completed_at": "when its rows were landed",
    "source": "whole path of the file, or name of the source",
    "import_id": "id of the import: for `etl-assets imports`",
}

_VIEWS: Final = {
    "lead_list": (_LEAD_LIST, "leads with the names of customer and shop", _LEAD_LIST_COLUMNS),
    "quarantine_list": (_QUARANTINE_LIST, "rows in quarantine, with file and line", _QUARANTINE_LIST_COLUMNS),
    "import_list": (_IMPORT_LIST, "imports, with what was found in them", _IMPORT_LIST_COLUMNS),
}
