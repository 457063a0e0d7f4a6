"""Views for other tools, and the comments that these tools show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF
from etl_assets.database import migrate
from etl_assets.database.comments import COMMENTS
from etl_assets.database.schema import metadata
from etl_assets.orchestration.metadata import column_schema
from etl_assets.quarantine.dismiss import dismiss
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.pipeline.protocol import Services

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "other-tools.md"
VIEWS: Final = ("lead_list", "quarantine_list", "import_list")
_VIEW_COLUMNS: Final = """
    SELECT c.relname AS view, a.attname AS name, format_type(a.atttypid, NULL) AS type,
           col_description(a.attrelid, a.attnum) AS comment
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'v' AND c.relname = ANY (:views)
    ORDER BY c.relname, a.attnum
"""


@pytest.fixture
def loaded(services: Services) -> Services:
    """Two leads of one shop, one of another; a bad amount, which is open, and one that was dismissed."""
    query(services, "INSERT INTO order_type_mappings VALUES ('sample', 'SAMPLE') ON CONFLICT DO NOTHING")
    fields = {"ordered_at": "2026-01-02 10:00:00", "currency": "EUR"}
    rows = [
        raw_fields("A1", shop="North", customer_name="Ann", amount="10", order_type="sample", **fields),
        raw_fields("A2", shop="North", customer_name="Ann", amount="300", refunded_amount="20", **fields),
        raw_fields("A3", shop="North", customer_name="Ben", amount="5", **fields),
        raw_fields("A4", shop="South", customer_name="Cid", amount="7", **fields),
        raw_fields("A5", shop="South", customer_name="Dan", amount="five", **fields),
        raw_fields("A6", shop="Nowhere", customer_name="Eve", amount="six", **fields),
    ]
    land(services, rows)
    run_all(services)
    dismiss(services.database, [scalar(services, "SELECT max(quarantine_id) FROM quarantine")], "a test order")
    query(services, "UPDATE shop_configs SET shown_name = 'The South' WHERE shop_name = 'South'")
    return services


def view_columns(services: Services) -> dict[str, list[dict[str, Any]]]:
    columns = query(services, _VIEW_COLUMNS, views=list(VIEWS))
    return {view: [column for column in columns if column["view"] == view] for view in VIEWS}


def nodes(services: Services, statement: str) -> list[dict[str, Any]]:
    """The nodes of a query's plan."""

    def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from walk(child)

    return list(walk(scalar(services, f"EXPLAIN (FORMAT json) {statement}")[0]["Plan"]))


def test_leads_are_listed_with_the_names_of_customer_and_shop(loaded: Services) -> None:
    leads = query(loaded, "SELECT * FROM lead_list ORDER BY total_amount DESC")
    assert [(lead["customer"], lead["shop"], lead["stage"]) for lead in leads] == [
        ("Ann", "North", "OPEN"), ("Cid", "The South", "OPEN"), ("Ben", "North", "OPEN"),
    ]  # fmt: skip
    ann = leads[0]
    assert (ann["order_count"], ann["sample_count"], ann["bulk_count"], ann["currency"]) == (2, 1, 1, "EUR")
    assert (ann["total_amount"], ann["refunded_amount"], ann["net_amount"]) == (310, 20, 290)
    assert ann["days_since_last_order"] >= 300


def test_bad_rows_are_listed_with_file_line_and_state(loaded: Services) -> None:
    query(loaded, "UPDATE import_tasks SET source = '/home/of/someone/orders.csv'")
    rows = query(loaded, "SELECT * FROM quarantine_list ORDER BY line")
    shown = ("file", "line", "shop", "order_id", "customer", "reason_code", "is_open", "resolution", "note")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("orders.csv", 5, "The South", "A5", "Dan", "BAD_AMOUNT", True, None, None),
        ("orders.csv", 6, "Nowhere", "A6", "Eve", "BAD_AMOUNT", False, "dismissed", "a test order"),
    ]


def test_imports_are_listed_with_what_was_found_in_them(loaded: Services) -> None:
    query(loaded, "INSERT INTO import_findings SELECT import_id, 'UNKNOWN_STATUS', 'odd', 1, 2 FROM import_tasks")
    query(
        loaded,
        "INSERT INTO import_tasks (import_id, source, status, error)"
        r" VALUES (gen_random_uuid(), 'C:\exports\bad.xlsx', 'failed', 'its headers fit no preset')",
    )
    shown = ("file", "status", "line_count", "order_count", "finding_count", "open_row_count", "error")
    imports = query(loaded, "SELECT * FROM import_list ORDER BY status")
    assert [tuple(one[name] for name in shown) for one in imports] == [
        ("test", "completed", 6, 6, 1, 1, None),
        ("bad.xlsx", "failed", None, None, 0, 0, "its headers fit no preset"),
    ]


def test_conditions_on_shop_and_stage_are_applied_where_rows_are_read(services: Services) -> None:
    plan = nodes(services, "SELECT customer, total_amount FROM lead_list WHERE shop = 'North' AND stage = 'OPEN'")
    conditions = {node["Relation Name"]: str(node) for node in plan if "Relation Name" in node}
    assert "North" in conditions["shop_configs"]
    assert "OPEN" in conditions["business_leads"]
    assert set(conditions) == {"shop_configs", "customers", "business_leads"}
    plan = nodes(services, "SELECT reason FROM quarantine_list WHERE is_open")
    conditions = {node["Relation Name"]: str(node) for node in plan if "Relation Name" in node}
    assert set(conditions) == {"quarantine"}, "tables whose columns are not asked for are not read"
    assert "resolved_at" in conditions["quarantine"] or "_open_" in conditions["quarantine"]
    plan = nodes(services, "SELECT file, status FROM import_list")
    assert {node["Relation Name"] for node in plan if "Relation Name" in node} == {"import_tasks"}


def test_views_have_names_first_ids_last_and_the_columns_that_the_page_describes(services: Services) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for view, columns in view_columns(services).items():
        section = re.split(r"^## ", text, flags=re.MULTILINE)
        (described,) = [part for part in section if part.startswith(f"`{view}`")]
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$", described, re.MULTILINE)
        assert rows == [(column["name"], column["type"], column["comment"]) for column in columns]
        is_id = [column["name"].endswith("_id") and column["name"] != "order_id" for column in columns]
        assert is_id == sorted(is_id)
        assert all(column["type"] not in {"json", "jsonb"} for column in columns)


def test_every_column_of_every_table_is_described_in_the_database_and_in_the_ui(services: Services) -> None:
    with services.database.transaction() as connection:
        found = sa.inspect(connection)
        stored = {
            (table, column["name"]): column["comment"]
            for table in found.get_table_names()
            if table != "alembic_version"
            for column in found.get_columns(table)
        }
    assert [column for column, comment in stored.items() if not comment] == []
    described = {(table.name, column.name): column.comment for table in metadata.sorted_tables for column in table.c}
    assert stored == described
    for table in TABLE_OF.values():
        assert all(column.description for column in column_schema(table).columns)


def test_every_general_comment_is_that_of_a_column() -> None:
    used = {column.name for table in metadata.sorted_tables for column in table.columns}
    assert set(COMMENTS) <= used


def test_an_upgrade_writes_comments_that_differ(services: Services) -> None:
    query(services, "COMMENT ON COLUMN orders.amount IS 'as it was'")
    migrate.upgrade(services.database)
    place = "SELECT attnum FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'amount'"
    assert scalar(services, f"SELECT col_description('orders'::regclass, ({place}))") == COMMENTS["amount"]
