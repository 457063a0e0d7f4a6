"""The rules one by one on a real database: stages that people set, quarantine, what the database refuses."""

from __future__ import annotations

import json
import random
import string
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import pytest

from etl_assets.run.registry import run_asset
from etl_assets.values.identifiers import LEAD_NAMESPACE
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.pipeline.protocol import Services, StepResult

Row = dict[str, str | None]


def order(order_id: str, day: int = 1, customer: str | None = "Ann", **fields: str | None) -> Row:
    moment = f"2024-01-{day:02} 10:00:00"
    values = {"customer_name": customer, "ordered_at": moment, "amount": "10", "currency": "CNY", **fields}
    return raw_fields(order_id, **values)


def load(services: Services, *rows: Row) -> dict[str, StepResult]:
    land(services, rows)
    return run_all(services)


def leads(services: Services) -> list[dict[str, Any]]:
    return query(services, "SELECT * FROM business_leads ORDER BY customer_global_id, lead_no")


def lead(services: Services) -> dict[str, Any]:
    (only,) = leads(services)
    return only


def set_stage(services: Services, stage: str) -> None:
    query(services, "UPDATE business_leads SET current_stage = :stage", stage=stage)


def quarantine(services: Services) -> list[tuple[str, str, str | None]]:
    rows = query(services, "SELECT asset, reason_code, resolution FROM quarantine ORDER BY quarantine_id")
    return [(row["asset"], row["reason_code"], row["resolution"]) for row in rows]


def lead_ids_of(services: Services, customer: UUID, count: int) -> list[UUID]:
    return [uuid5(LEAD_NAMESPACE, f"{customer}:{number}") for number in range(count)]


# --- stages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["WON", "LOST", "waiting for artwork"])
def test_a_stage_that_people_set_is_never_touched_and_the_next_order_makes_the_next_lead(
    services: Services, stage: str
) -> None:
    load(services, order("1"))
    set_stage(services, stage)
    load(services, order("2", 2), order("3", 3))
    first, second = leads(services)
    assert (first["current_stage"], first["order_count"]) == (stage, 1)
    assert (second["current_stage"], second["order_count"], second["lead_no"]) == ("OPEN", 2, 1)
    assert [first["lead_id"], second["lead_id"]] == lead_ids_of(services, first["customer_global_id"], 2)
    strategies = query(services, "SELECT order_id, strategy FROM lead_orders ORDER BY order_id")
    assert [row["strategy"] for row in strategies] == ["new", "new", "reuse"]


def test_a_changed_order_changes_the_figures_of_a_won_lead_but_not_its_stage(services: Services) -> None:
    load(services, order("1"))
    set_stage(services, "WON")
    load(services, order("1", amount="25", updated_at="2024-02-01"))
    assert lead(services)["total_amount"] == 25
    assert lead(services)["current_stage"] == "WON"


def test_a_refund_changes_the_refunds_of_the_lead_and_neither_its_totals_nor_its_orders(services: Services) -> None:
    load(services, order("1", refunded_amount="0"), order("2", 2))
    figures = lead(services)
    assert (figures["total_amount"], figures["refunded_amount"]) == (20, 0)
    load(services, order("1", refunded_amount="¥10.00", updated_at="2024-02-01"))
    load(services, order("2", 2, refunded_amount="2.5", updated_at="2024-02-01"))
    figures = lead(services)
    assert (figures["order_count"], figures["total_amount"]) == (2, 20)
    assert figures["refunded_amount"] == Decimal("12.5")
    load(services, order("2", 2, updated_at="2024-02-02"))
    assert lead(services)["refunded_amount"] == 10
    assert query(services, "SELECT order_id, refunded_amount FROM orders ORDER BY order_id") == [
        {"order_id": "1", "refunded_amount": Decimal(10)},
        {"order_id": "2", "refunded_amount": None},
    ]
    told = query(services, "SELECT figures_before, figures_after FROM lead_history WHERE what = 'figures'")
    assert told[-1] == {"figures_before": {"refunded_amount": 12.5}, "figures_after": {"refunded_amount": 10}}


def test_the_text_of_the_buyer_follows_the_newest_version_of_the_order(services: Services) -> None:
    def items(text: str | None) -> str:
        return json.dumps([{"name": "Mug", "personalisation": text}, {"name": "Cup"}])

    texts = "SELECT line_no, personalisation FROM order_items ORDER BY line_no"
    load(services, order("1", items=items("Anna")))
    assert [row["personalisation"] for row in query(services, texts)] == ["Anna", None]
    assert load(services, order("1", items=items("Ann"), updated_at="2024-02-01"))["order_items"].counts.updated == 1
    assert [row["personalisation"] for row in query(services, texts)] == ["Ann", None]
    load(services, order("1", items=items(None), updated_at="2024-02-02"))
    assert [row["personalisation"] for row in query(services, texts)] == [None, None]


def test_the_first_order_in_time_makes_the_lead_and_one_without_a_time_comes_last(services: Services) -> None:
    load(services, order("0", ordered_at=None), order("2", 5), order("1", 5), order("3", 6))
    strategies = query(services, "SELECT order_id, strategy FROM lead_orders ORDER BY order_id")
    assert [(row["order_id"], row["strategy"]) for row in strategies] == [
        ("0", "reuse"), ("1", "new"), ("2", "reuse"), ("3", "reuse"),
    ]  # fmt: skip


def test_an_order_reopens_a_cold_lead(services: Services) -> None:
    load(services, order("1"))
    set_stage(services, "COLD")
    run_all(services)
    assert lead(services)["current_stage"] == "COLD"
    load(services, order("2", 2))
    reopened = lead(services)
    assert (reopened["current_stage"], reopened["reopen_count"], reopened["order_count"]) == ("OPEN", 1, 2)
    assert reopened["reopened_at"] > reopened["opened_at"]
    set_stage(services, "COLD")
    load(services, order("3", 3), order("4", 4))
    assert lead(services)["reopen_count"] == 2


def test_a_changed_order_does_not_reopen_the_cold_lead_that_it_belongs_to(services: Services) -> None:
    load(services, order("1"))
    set_stage(services, "COLD")
    load(services, order("1", amount="11", updated_at="2024-02-01"))
    assert (lead(services)["current_stage"], lead(services)["total_amount"]) == ("COLD", 11)


def test_open_leads_cool_down_after_the_days_that_are_set_and_only_then(services: Services) -> None:
    load(services, order("1"), order("2", customer="Ben", ordered_at=None))
    assert {row["current_stage"] for row in leads(services)} == {"OPEN"}
    settings = services.database.settings
    services.database.settings = settings.model_copy(update={"cold_after_days": 30})
    result = run_all(services)["leads"]
    stages = {row["last_order_at"] is None: row["current_stage"] for row in leads(services)}
    assert stages == {False: "COLD", True: "OPEN"}
    assert result.counts.updated == 1
    before = pipeline.snapshot(services)
    run_all(services)
    assert pipeline.snapshot(services) == before


def test_won_leads_do_not_cool_down(services: Services) -> None:
    services.database.settings = services.database.settings.model_copy(update={"cold_after_days": 1})
    land(services, [order("1")])
    for asset in ("shop", "orders", "order_items", "process_items", "customers"):
        run_asset(asset, services)
    services.database.settings = services.database.settings.model_copy(update={"cold_after_days": None})
    run_asset("leads", services)
    set_stage(services, "WON")
    services.database.settings = services.database.settings.model_copy(update={"cold_after_days": 1})
    run_all(services)
    assert lead(services)["current_stage"] == "WON"


def test_there_is_at_most_one_active_lead_of_a_customer(services: Services) -> None:
    load(services, order("1"))
    with pytest.raises(Exception, match="uq_business_leads_active_customer"):
        query(
            services,
            "INSERT INTO business_leads SELECT (jsonb_populate_record(l, jsonb_build_object("
            "'lead_id', gen_random_uuid(), 'current_stage', 'COLD', 'lead_no', 1))).* FROM business_leads l",
        )


def test_a_lead_that_people_made_is_used_and_counted(services: Services) -> None:
    load(services, order("1"))
    set_stage(services, "LOST")
    query(
        services,
        "INSERT INTO business_leads SELECT (jsonb_populate_record(l, jsonb_build_object("
        "'lead_id', gen_random_uuid(), 'current_stage', 'OPEN', 'lead_no', NULL, 'order_count', 0))).*"
        " FROM business_leads l",
    )
    load(services, order("2", 2))
    assert scalar(services, "SELECT count(*) FROM business_leads") == 2
    assert scalar(services, "SELECT order_count FROM business_leads WHERE current_stage = 'OPEN'") == 1
    set_stage(services, "WON")
    load(services, order("3", 3))
    newest = query(services, "SELECT * FROM business_leads WHERE current_stage = 'OPEN'")[0]
    assert newest["lead_id"] == lead_ids_of(services, newest["customer_global_id"], 3)[2]


# --- orders that change ---------------------------------------------------------------------------------------------


def test_an_order_that_moves_to_another_customer_leaves_the_old_lead(services: Services) -> None:
    load(services, order("1"), order("2", 2))
    load(services, order("2", 2, "Ben", updated_at="2024-02-01"))
    by_name = query(
        services,
        "SELECT customer_nickname, l.order_count, c.order_count AS orders, l.total_amount"
        " FROM business_leads l JOIN customers c USING (customer_global_id) ORDER BY 1",
    )
    assert [tuple(row.values()) for row in by_name] == [("Ann", 1, 1, Decimal(10)), ("Ben", 1, 1, Decimal(10))]


def test_a_customer_whose_only_order_moves_away_is_gone_with_its_untouched_lead(services: Services) -> None:
    load(services, order("1"))
    load(services, order("1", customer="Ben", updated_at="2024-02-01"))
    assert scalar(services, "SELECT string_agg(customer_nickname, ',') FROM customers") == "Ben"
    assert scalar(services, "SELECT count(*) FROM business_leads") == 1


def test_a_won_lead_stays_with_its_customer_when_its_only_order_moves_away(services: Services) -> None:
    load(services, order("1"))
    set_stage(services, "WON")
    load(services, order("1", customer="Ben", updated_at="2024-02-01"))
    won = query(services, "SELECT * FROM business_leads WHERE current_stage = 'WON'")[0]
    assert (won["order_count"], won["total_amount"], won["first_order_at"], won["currency"]) == (0, 0, None, None)
    ann = query(services, "SELECT * FROM customers WHERE customer_nickname = 'Ann'")[0]
    assert (ann["order_count"], ann["first_order_at"]) == (0, None)


@pytest.mark.slow
def test_an_order_cancelled_later_is_not_counted_any_more_and_counts_again_when_it_is_taken_up(
    services: Services,
) -> None:
    load(services, order("1"), order("2", 2, amount="5"))
    load(services, order("2", 2, amount="5", order_status="Cancelled", updated_at="2024-02-01"))
    assert (lead(services)["order_count"], lead(services)["total_amount"]) == (1, 10)
    customer = query(services, "SELECT * FROM customers")[0]
    assert (customer["order_count"], customer["last_order_at"].day) == (1, 1)
    load(services, order("2", 2, amount="5", updated_at="2024-02-02"))
    assert (lead(services)["order_count"], lead(services)["total_amount"]) == (2, 15)


def test_an_order_that_loses_its_customer_leaves_its_lead(services: Services) -> None:
    load(services, order("1"), order("2", 2))
    result = load(services, order("2", 2, "张**", updated_at="2024-02-01"))
    assert lead(services)["order_count"] == 1
    assert result["customers"].counts.anonymous_orders == 1
    assert result["leads"].counts.anonymous_orders == 1


def test_amounts_of_different_currencies_are_never_added(services: Services) -> None:
    load(
        services,
        order("1", 1, amount="10", currency="USD"),
        order("2", 2, amount="700", currency="CNY"),
        order("3", 3, amount="5", currency="usd"),
        order("4", 4, amount="3", currency=None),
    )
    figures = lead(services)
    assert (figures["currency"], figures["total_amount"], figures["bulk_amount"]) == ("USD", 15, 15)
    assert (figures["order_count"], figures["other_currency_count"]) == (4, 2)


def test_order_types_are_mapped_and_their_figures_kept_apart(services: Services) -> None:
    query(services, "INSERT INTO order_type_mappings VALUES ('打样', 'PROOF'), ('Sample', 'SAMPLE')")
    load(services, order("1", order_type=" 打样 "), order("2", order_type="SAMPLE"), order("3", order_type="大货"))
    figures = lead(services)
    assert [figures[f"{kind}_count"] for kind in ("sample", "proof", "bulk")] == [1, 1, 1]


def test_lines_that_are_gone_from_the_newest_version_are_deleted(services: Services) -> None:
    load(services, order("1", items="T恤*3;帽子*2", processes="刺绣:左胸:2"))
    assert scalar(services, "SELECT count(*) FROM order_items") == 2
    load(services, order("1", items="T恤*4", updated_at="2024-02-01"))
    assert query(services, "SELECT line_no, product, quantity FROM order_items") == [
        {"line_no": 1, "product": "T恤", "quantity": 4}
    ]
    assert scalar(services, "SELECT count(*) FROM process_items") == 0


# --- quarantine -----------------------------------------------------------------------------------------------------

BAD_ROWS: list[tuple[str, str, dict[str, str | None]]] = [
    ("orders", "MISSING_SHOP", {"shop": " \u3000"}),
    ("orders", "MISSING_SHOP", {"platform": None}),
    ("orders", "MISSING_ORDER_ID", {"order_id": '=""'}),
    ("orders", "BAD_AMOUNT", {"amount": "12.5元起"}),
    ("orders", "BAD_AMOUNT", {"amount": "100000000000000"}),
    ("orders", "BAD_TIMESTAMP", {"ordered_at": "2024-02-30 10:00:00"}),
    ("orders", "BAD_TIMESTAMP", {"updated_at": "45425.459"}),
    ("orders", "BAD_TEXT", {"remark": "\ufffd", "defect": "BAD_TEXT"}),
    ("order_items", "BAD_ITEMS", {"items": '[{"quantity": 2}]'}),
    ("order_items", "BAD_ITEMS", {"items": '[{"name": "T恤", "quantity": "many"}]'}),
    ("process_items", "BAD_PROCESSES", {"items": "T恤*3", "processes": '[{"pictures": 2}]'}),
]


@pytest.mark.slow
def test_each_bad_row_is_set_aside_once_and_its_neighbours_load(services: Services) -> None:
    rows: list[Row] = []
    for number, (_, _, fields) in enumerate(BAD_ROWS):
        bad = {**order(f"bad {number}", customer=f"Bad {number}"), **fields}
        rows += [order(f"good {number}", items="杯子"), bad]
    load(services, *rows)
    set_aside = (
        "SELECT raw_id, asset, reason_code, row->>'customer_name' AS name, resolution FROM quarantine ORDER BY 1"
    )
    expected = [
        {"raw_id": 2 * number + 2, "asset": asset, "reason_code": code, "name": f"Bad {number}", "resolution": None}
        for number, (asset, code, _) in enumerate(BAD_ROWS)
    ]
    assert query(services, set_aside) == expected
    assert scalar(services, "SELECT count(*) FROM quarantine WHERE import_id IS NULL") == 0
    loaded = {row["order_id"] for row in query(services, "SELECT order_id FROM orders")}
    assert loaded == {
        *(f"good {number}" for number in range(len(BAD_ROWS))),
        *(f"bad {number}" for number, (asset, *_) in enumerate(BAD_ROWS) if asset != "orders"),
    }
    lines = "SELECT count(*) FROM order_items WHERE order_id LIKE 'good%'"
    assert scalar(services, lines) == len(BAD_ROWS)
    run_all(services, full_refresh=True)
    assert query(services, set_aside) == expected


@pytest.mark.slow
def test_a_later_good_row_of_the_order_resolves_its_quarantine(services: Services) -> None:
    told = [(asset, code, fields) for asset, code, fields in BAD_ROWS if not code.startswith("MISSING")]
    rows = [
        {**order(f"{name} {number}"), **fields}
        for number, (_, _, fields) in enumerate(told)
        for name in ("later", "never")
    ]
    load(services, *rows)
    load(services, *(order(f"later {number}", updated_at="2024-02-01", items="杯子") for number in range(len(told))))
    found = query(services, "SELECT asset, reason_code, resolution FROM quarantine ORDER BY raw_id")
    assert [tuple(row.values()) for row in found] == [
        (asset, code, resolution) for asset, code, _ in told for resolution in ("superseded", None)
    ]


def test_the_batch_says_how_many_rows_were_set_aside(services: Services) -> None:
    result = load(services, order("1"), order("2", amount="x"), order("3"))["orders"]
    assert (result.status, result.counts.inserted, result.counts.quarantined) == ("partial_success", 2, 1)
    assert result.as_dict()["error_count"] == 1


# --- what the database refuses ---------------------------------------------------------------------------------------

NAME = "Ann-Secret"
REFUSALS: list[tuple[str, str, str]] = [
    ("orders", "orders", "customer_nickname IS DISTINCT FROM 'Ann-Secret'"),
    ("order_items", "order_items", "product IS DISTINCT FROM 'Ann-Secret'"),
    ("process_items", "process_items", "position IS DISTINCT FROM 'Ann-Secret'"),
    ("customers", "customers", "customer_nickname <> 'Ann-Secret'"),
    ("leads", "business_leads", "total_amount <> 77"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("asset", "table", "condition"), REFUSALS)
def test_what_the_database_refuses_is_set_aside_alone_without_its_values(
    services: Services, asset: str, table: str, condition: str
) -> None:
    query(services, f"ALTER TABLE {table} ADD CONSTRAINT only_good CHECK ({condition})")
    _load_one_refused(services)
    assert quarantine(services) == [(asset, "DB_REJECTED", None)]
    reason = scalar(services, "SELECT reason FROM quarantine")
    assert "23514" in reason
    assert "only_good" in reason
    assert NAME not in reason
    assert "77" not in reason
    _assert_the_others_are_loaded(services)
    run_all(services, full_refresh=True)
    assert quarantine(services) == [(asset, "DB_REJECTED", None)]
    query(services, f"ALTER TABLE {table} DROP CONSTRAINT only_good")
    run_all(services, full_refresh=True)
    assert quarantine(services) == [(asset, "DB_REJECTED", "replayed")]
    assert scalar(services, "SELECT count(*) FROM business_leads") == 5
    assert scalar(services, "SELECT count(*) FROM process_items") == 5


@pytest.mark.parametrize(("asset", "table", "condition"), [REFUSALS[0], REFUSALS[-1]])
def test_a_trigger_that_raises_sets_only_its_row_aside(
    services: Services, asset: str, table: str, condition: str
) -> None:
    query(
        services,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NOT (NEW.{condition}) THEN RAISE EXCEPTION 'not % here', NEW; END IF; RETURN NEW; END $$",
    )
    query(services, f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
    _load_one_refused(services)
    assert quarantine(services) == [(asset, "DB_REJECTED", None)]
    reason = scalar(services, "SELECT reason FROM quarantine")
    assert "P0001" in reason
    assert NAME not in reason
    _assert_the_others_are_loaded(services)


def _load_one_refused(services: Services) -> None:
    good = [order(str(number), customer=f"Customer {number}", items="杯子", processes="烫画") for number in range(4)]
    bad = order("bad", 2, NAME, amount="77", items=NAME, processes=f"刺绣:{NAME}")
    load(services, *good[:2], bad, *good[2:])


def _assert_the_others_are_loaded(services: Services) -> None:
    for table in ("orders", "order_items", "process_items", "lead_orders"):
        assert scalar(services, f"SELECT count(*) FROM {table} WHERE order_id <> 'bad'") == 4  # noqa: S608
    assert scalar(services, "SELECT count(*) FROM customers WHERE customer_nickname LIKE 'Customer%'") == 4


def test_a_customer_name_too_long_for_an_index_is_set_aside_alone(services: Services) -> None:
    letters = random.Random(2)  # noqa: S311  # not a secret; text that does not compress
    too_long = "".join(letters.choices(string.ascii_letters + string.digits, k=9000))
    load(services, order("1"), order("2", customer=too_long), order("3", customer="Ben"))
    assert quarantine(services) == [("customers", "DB_REJECTED", None)]
    assert scalar(services, "SELECT count(*) FROM orders") == 3
    assert scalar(services, "SELECT count(*) FROM customers") == 2


def test_values_at_the_ends_of_their_types_load(services: Services) -> None:
    rows: Sequence[Row] = (
        order(
            "1", amount="99999999999999.9999", items='[{"name": "a", "quantity": 2147483647, "unit_price": "-0.0001"}]'
        ),
        order("2", amount="99999999999999.9999", processes='[{"process": "p", "pictures": 2147483647}]'),
        order("3", ordered_at="0001-01-02 00:00:00", updated_at="9999-12-30 00:00:00"),
    )
    load(services, *rows)
    assert quarantine(services) == []
    assert lead(services)["total_amount"] == Decimal("200000000000009.9998")
