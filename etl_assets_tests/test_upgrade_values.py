"""An upgrade brings orders, customers, leads and attachments along where values are read in another way than before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from typer.testing import CliRunner

from etl_assets.asset_graph import TABLE_OF
from etl_assets.cli.main import app
from etl_assets.database import migrate
from etl_assets.orders import transform
from etl_assets.quality.running import run_checks
from etl_assets.values import text
from etl_assets_tests.helpers.pipeline import (
    assert_same,
    comparable,
    land,
    query,
    raw_fields,
    run_all,
    scalar,
    start_afresh,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.pipeline.protocol import Services

BEFORE = "0006"


def order(order_id: str, customer: str | None, **fields: str | None) -> dict[str, str | None]:
    values = {"customer_name": customer, "ordered_at": f"2024-01-0{len(order_id)} 10:00", "amount": "10", **fields}
    return raw_fields(order_id, **({"currency": "EUR"} | values))


ROWS = (
    order("1", "Kim@x.com"),
    order("2", "kim@x.com", amount="20"),
    order("3", "KIM@X.com", shop="t", currency="€"),
    order("4", "Kim@x.com", amount="40", order_status="cancelled"),
    order("5", "KIM@x.com", amount="80", currency="¥"),
    order("6", "Ann@y.com", amount="€1.50", currency=None),
    order("7", "Ann@y.com", currency="元"),
    order("8", "Kim", amount="5", currency=None),
)


def store_as_before(services: Services, rows: Sequence[dict[str, str | None]], patch: pytest.MonkeyPatch) -> None:
    """Load rows by the rules of the revision before, and leave the store at that revision."""
    with patch.context() as before:
        before.setattr(text, "lower_emails", lambda names: names)
        before.setattr(transform, "currency_codes", lambda texts, *_: texts.str.to_uppercase())
        land(services, rows)
        run_all(services)
    with services.database.transaction() as connection:
        command.downgrade(migrate.alembic_config(connection), BEFORE)


def upgrade() -> dict[str, Any]:
    result = CliRunner().invoke(app, ["db", "upgrade", "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def failing_checks(services: Services) -> set[str]:
    return {
        check.name
        for asset in TABLE_OF
        for check, outcome in run_checks(services.database, asset, whole_tables=True)
        if not outcome.passed
    }


def set_stage(services: Services, nickname: str, stage: str) -> Any:
    query(
        services,
        "UPDATE business_leads SET current_stage = :stage WHERE customer_global_id = (SELECT customer_global_id"
        " FROM customers WHERE customer_nickname = :nickname AND shop_id = 1)",
        stage=stage,
        nickname=nickname,
    )
    return scalar(services, f"SELECT lead_id FROM business_leads WHERE current_stage = '{stage}'")  # noqa: S608


def leads_of(services: Services, nickname: str) -> list[dict[str, Any]]:
    return query(
        services,
        "SELECT lead_id, current_stage, l.order_count, (SELECT array_agg(order_id ORDER BY order_id) FROM lead_orders a"
        " WHERE a.lead_id = l.lead_id) AS orders FROM business_leads l JOIN customers c USING (customer_global_id)"
        " WHERE customer_nickname = :nickname AND c.shop_id = 1 ORDER BY current_stage",
        nickname=nickname,
    )


def test_the_tables_are_as_if_all_had_been_read_by_the_new_rules(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_before(services, ROWS, monkeypatch)
    assert scalar(services, "SELECT count(*) FROM customers") == 6
    assert upgrade() | {"schema": ""} == {
        "schema": "",
        "before": BEFORE,
        "after": migrate.newest_revision(),
        "is_work_pending": True,
    }
    run_all(services)
    upgraded = comparable(services)
    assert failing_checks(services) <= {"order_types_are_mapped"}
    assert scalar(services, "SELECT count(*) FROM customers") == 4
    assert {row["order_id"]: row["currency"] for row in query(services, "SELECT order_id, currency FROM orders")} == {
        "1": "EUR", "2": "EUR", "3": "EUR", "4": "EUR", "5": "¥", "6": "EUR", "7": "CNY", "8": None,
    }  # fmt: skip
    start_afresh(services)
    land(services, ROWS)
    run_all(services)
    assert_same_tables(upgraded, comparable(services))


def assert_same_tables(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    for table, rows in expected.items():
        assert_same(table, actual[table], rows)


def test_a_lead_that_users_have_won_keeps_its_id_stage_and_orders(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        store_as_before(services, ROWS[:2], patch)
    won = set_stage(services, "Kim@x.com", "WON")
    upgrade()
    (opened, kept) = leads_of(services, "kim@x.com")
    run_all(services)
    assert leads_of(services, "kim@x.com") == [opened, kept]
    assert kept == {"lead_id": won, "current_stage": "WON", "order_count": 1, "orders": ["1"]}
    assert (opened["current_stage"], opened["orders"]) == ("OPEN", ["2"])
    assert failing_checks(services) <= {"order_types_are_mapped"}
    land(services, [order("99", "KIM@X.COM")])
    run_all(services)
    assert [lead["orders"] for lead in leads_of(services, "kim@x.com")] == [["2", "99"], ["1"]]


def test_a_won_lead_of_the_only_spelling_is_the_customers(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    store_as_before(services, ROWS[:1], monkeypatch)
    won = set_stage(services, "Kim@x.com", "WON")
    upgrade()
    run_all(services)
    assert leads_of(services, "kim@x.com") == [
        {"lead_id": won, "current_stage": "WON", "order_count": 1, "orders": ["1"]}
    ]
    assert failing_checks(services) <= {"order_types_are_mapped"}


@pytest.mark.parametrize(
    ("stages", "stage"), [(("COLD", "COLD"), "COLD"), (("COLD", "OPEN"), "OPEN"), (("OPEN", "COLD"), "OPEN")]
)
def test_two_active_leads_of_one_customer_become_one(
    services: Services, monkeypatch: pytest.MonkeyPatch, stages: tuple[str, str], stage: str
) -> None:
    store_as_before(services, ROWS[:2], monkeypatch)
    for nickname, one in zip(("Kim@x.com", "kim@x.com"), stages, strict=True):
        query(
            services,
            "UPDATE business_leads SET current_stage = :stage WHERE customer_global_id ="
            " (SELECT customer_global_id FROM customers WHERE customer_nickname = :nickname)",
            stage=one,
            nickname=nickname,
        )
    upgrade()
    run_all(services)
    (lead,) = leads_of(services, "kim@x.com")
    assert (lead["current_stage"], lead["order_count"], lead["orders"]) == (stage, 2, ["1", "2"])
    assert scalar(services, "SELECT count(*) FROM lead_changes WHERE what = 'withdrawn'") == 1
    assert query(services, "SELECT * FROM deleted_leads") == []
    assert failing_checks(services) <= {"order_types_are_mapped"}


def test_orders_that_customers_have_yet_to_be_made_of_are_brought_along(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_before(services, ROWS, monkeypatch)
    query(services, "DELETE FROM lead_orders")
    query(services, "TRUNCATE business_leads, customers, deleted_leads")
    upgrade()
    run_all(services)
    nicknames = {row["customer_nickname"] for row in query(services, "SELECT customer_nickname FROM customers")}
    assert nicknames == {"kim@x.com", "ann@y.com", "Kim"}


def test_nothing_is_written_where_nothing_is_read_in_another_way(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_before(services, [order("1", "kim@x.com"), order("2", "Kim")], monkeypatch)
    versions = "SELECT xmin::text, order_id, customer_nickname, customer_global_id, updated_at FROM orders"
    before = query(services, versions)
    assert upgrade()["is_work_pending"] is False
    assert query(services, versions) == before
