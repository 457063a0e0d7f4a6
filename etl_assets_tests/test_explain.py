"""Why a lead is as it is: what the history notes, how it is told, and that people's deletions do no harm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.database.schema import metadata
from etl_assets.lead_figures import FIGURES
from etl_assets.leads.explanations import figures_text
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar, with_batch_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.pipeline.protocol import Services

pytestmark = pytest.mark.slow

Row = dict[str, str | None]


def order(order_id: str, day: int = 1, customer: str | None = "Ann", **fields: str | None) -> Row:
    values = {"customer_name": customer, "ordered_at": f"2024-01-{day:02} 10:00:00", "amount": "10", "currency": "CNY"}
    return raw_fields(order_id, **{**values, **fields})


def load(services: Services, *rows: Row) -> None:
    land(services, rows)
    run_all(services)


def lead_id(services: Services, where: str = "true") -> str:
    return str(scalar(services, f"SELECT lead_id FROM business_leads WHERE {where}"))  # noqa: S608


def explain(lead: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["explain", "lead", lead, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def told(lead: str) -> list[tuple[str, str]]:
    return [(row["what"], row["text"]) for row in explain(lead)["history"]]


def history_tables(services: Services) -> list[Any]:
    return [
        query(services, f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608
        for table in ("lead_changes", "detached_orders")
    ]


def violations(services: Services, *names: str) -> list[str]:
    checks = [check for check in CHECKS if check.asset == "leads" and check.name in names]
    assert len(checks) == len(names)
    return [check.name for check in checks if not run_check(services.database, check).passed]


def test_a_first_load_notes_nothing_and_says_which_batch_made_and_attached(services: Services) -> None:
    load(services, order("1"), order("2", 2))
    assert history_tables(services) == [[], []]
    batch = scalar(services, "SELECT batch_id FROM etl_batches WHERE asset = 'leads'")
    assert scalar(services, "SELECT batch_id FROM business_leads") == batch
    assert told(lead_id(services)) == [
        ("opened", "the lead was made"),
        ("attached", "order 1 (p, s) started this lead: the customer had no open or cold one"),
        ("attached", "order 2 (p, s) joined this lead: an earlier order of the customer had just started it"),
    ]


def test_each_change_of_a_lead_is_told_with_its_batch(services: Services) -> None:
    load(services, order("1"))
    load(services, order("2", 2, amount="15.50"))
    query(services, "UPDATE business_leads SET current_stage = 'COLD'")
    load(services, order("3", 3))
    load(services, order("2", 2, amount="15.50", order_status="Cancelled", updated_at="2024-02-01"))
    found = explain(lead_id(services))
    (first, *_), reopening = (
        [row for row in found["history"] if row["what"] == what] for what in ("figures", "reopened")
    )
    assert "orders 1 → 2, total 10 → 25.5" in first["text"]
    assert first["figures_before"]["order_count"] == 1
    assert first["figures_after"]["order_count"] == 2
    assert "sample_count" not in first["figures_before"]
    assert [row["text"] for row in reopening] == ["COLD → OPEN because order 3 (p, s) came"]
    assert [(row["what"], row["order_id"]) for row in found["history"] if row["what"] != "figures"] == [
        ("opened", None), ("attached", "1"), ("attached", "2"), ("reopened", "3"), ("attached", "3"), ("left", "2"),
    ]  # fmt: skip
    attached = [row["text"].partition(") ")[2] for row in found["history"] if row["what"] == "attached"]
    assert attached[1:] == [
        "joined this lead: it was the customer's open one",
        "joined this lead: it was the customer's cold one, and is open again",
    ]
    last = found["history"][-1]
    assert "orders 3 → 2, total 35.5 → 20" in last["text"]
    known = {row["batch_id"] for row in query(services, "SELECT batch_id FROM etl_batches WHERE asset = 'leads'")}
    assert {row["batch_id"] for row in found["history"]} == known
    assert [row["order_id"] for row in found["orders"]] == ["1", "3"]


def test_an_order_that_moves_is_in_the_history_of_both_leads(services: Services) -> None:
    load(services, order("1"), order("2", 2))
    ann = lead_id(services)
    load(services, order("2", 2, "Ben", updated_at="2024-02-01"))
    ben = lead_id(services, f"lead_id <> '{ann}'")
    assert [text for what, text in told(ann) if what == "left"] == [
        "order 2 (p, s) left: it belongs to another customer now"
    ]
    assert [what for what, _ in told(ben)] == ["opened", "attached"]
    load(services, order("2", 2, "张**", updated_at="2024-02-02"))
    assert [what for what, _ in told(ben)] == ["attached", "left", "withdrawn"]
    assert told(ben)[1][1].endswith("it names no customer any more")


def test_a_withdrawn_lead_can_still_be_explained(services: Services) -> None:
    load(services, order("1"))
    gone = lead_id(services)
    load(services, order("1", order_status="cancelled", updated_at="2024-02-01"))
    found = explain(gone)
    assert (found["lead"], found["orders"]) == (None, [])
    assert [row["what"] for row in found["history"]] == ["attached", "left", "withdrawn"]
    assert found["history"][-1]["figures_before"]["total_amount"] == 10
    shown = CliRunner().invoke(app, ["explain", "lead", gone])
    assert shown.exit_code == 0
    assert "deleted by the pipeline" in shown.stdout


def test_cooling_down_is_told(services: Services) -> None:
    load(services, order("1"))
    services.database.settings = services.database.settings.model_copy(update={"cold_after_days": 30})
    run_all(services)
    assert told(lead_id(services))[-1][0] == "cooled"
    before = history_tables(services)
    run_all(services, full_refresh=True)
    assert history_tables(services) == before


def test_a_run_with_nothing_new_notes_nothing(services: Services) -> None:
    load(services, order("1"), order("2", 2))
    load(services, order("1", amount="11", updated_at="2024-02-01"))
    before = history_tables(services)
    assert [len(rows) for rows in before] == [1, 0]
    load(services, order("1", amount="11", updated_at="2024-02-01"))
    run_all(services, full_refresh=True)
    assert history_tables(services) == before


def test_a_change_that_the_database_refuses_is_not_noted(services: Services) -> None:
    load(services, order("1"), order("2", customer="Ben"))
    query(services, "ALTER TABLE business_leads ADD CONSTRAINT only_good CHECK (total_amount <> 77)")
    rows = [order(number, customer=name, amount=amount, updated_at="2024-02-01") for number, name, amount in
            (("1", "Ann", "77"), ("2", "Ben", "78"))]  # fmt: skip
    load(services, *rows)
    assert [row["total_amount"] for row in history_tables(services)[0]] == [10]


def test_the_command_tells_people_what_happened(services: Services) -> None:
    load(services, order("1"))
    load(services, order("2", 2))
    shown = CliRunner().invoke(app, ["explain", "lead", lead_id(services)])
    assert shown.exit_code == 0
    for text in ("OPEN", "joined this lead: it was the customer's open one", "total 10 → 20"):
        assert text in " ".join(shown.stdout.split())
    assert "Ann" not in shown.stdout


@pytest.mark.parametrize("digits", [8, 20, 32])
def test_the_first_digits_of_an_id_are_enough(services: Services, digits: int) -> None:
    load(services, order("1"))
    lead = lead_id(services)
    assert explain(lead.replace("-", "").upper()[:digits])["lead_id"] == lead


@pytest.mark.parametrize(
    ("lead", "code", "message"),
    [
        ("00000000-0000-0000-0000-000000000000", 1, "no lead"),
        ("1234567", 2, "first 8 digits"),
        ("not-a-lead", 2, "no lead id"),
        ("0" * 33, 2, "no lead id"),
    ],
)
def test_what_is_no_lead_is_refused(services: Services, lead: str, code: int, message: str) -> None:
    result = CliRunner().invoke(app, ["explain", "lead", lead, "--json"])
    assert result.exit_code == code
    assert message in json.loads(result.stdout)["error"]


def test_digits_that_two_leads_begin_with_are_refused(services: Services) -> None:
    load(services, order("1"), order("2", customer="Ben"))
    for number in (1, 2):
        query(
            services,
            "UPDATE business_leads SET lead_id = CAST(:new AS uuid) WHERE lead_id = CAST(:old AS uuid)",
            new=f"aaaaaaaa-0000-0000-0000-00000000000{number}",
            old=lead_id(services, "lead_id::text NOT LIKE 'aaaaaaaa%' LIMIT 1"),
        )
    result = CliRunner().invoke(app, ["explain", "lead", "aaaaaaaa"])
    assert result.exit_code == 2
    assert "more digits" in result.stderr


def test_the_texts_name_every_figure_of_the_view(services: Services) -> None:
    load(services, order("1"))
    load(services, order("1", order_status="cancelled", updated_at="2024-02-01"))
    before = scalar(services, "SELECT figures_before FROM lead_history WHERE what = 'withdrawn'")
    assert set(before) == set(FIGURES)
    assert str(figures_text({"currency": "CNY"}, {"currency": None})) == "currency CNY → none"


def test_the_tables_have_a_column_for_every_figure_and_no_other() -> None:
    of_a_change = {"change_id", "lead_id", "batch_id", "changed_at", "what", "shop_id", "order_id"}
    assert [one.name for one in metadata.tables["lead_changes"].columns if one.name not in of_a_change] == [*FIGURES]
    assert [one.name for one in metadata.tables["business_leads"].columns if one.name in FIGURES] == [*FIGURES]


# --- leads that people deleted --------------------------------------------------------------------------------------


def _load_deleted(services: Services, kept: Sequence[str]) -> None:
    """Two leads of one customer (orders 1 and 2 in the WON one, 3 and 4 in the other); people delete all but `kept`."""
    load(services, order("1"), order("2", 2))
    query(services, "UPDATE business_leads SET current_stage = 'WON'")
    load(services, order("3", 3), order("4", 4))
    query(services, "DELETE FROM business_leads WHERE NOT current_stage = ANY (:kept)", kept=list(kept))


@pytest.mark.parametrize(
    ("kept", "changed", "batch_size"),
    [  # each pair of values
        ((), "1", 1), ((), "3", 1000), ((), "5", 1),
        (("OPEN",), "1", 1000), (("OPEN",), "3", 1), (("OPEN",), "5", 1000),
        (("WON",), "1", 1), (("WON",), "3", 1), (("WON",), "5", 1000),
    ],
)  # fmt: skip
def test_orders_of_a_lead_that_people_deleted_are_attached_anew(
    services: Services, kept: tuple[str, ...], changed: str, batch_size: int
) -> None:
    with_batch_size(services, batch_size)
    _load_deleted(services, kept)
    rows_before = scalar(services, "SELECT count(*) FROM business_leads")
    land(services, [order(changed, 5, amount="12", updated_at="2024-02-01")])
    results = run_all(services)["leads"].counts
    rows_after = scalar(services, "SELECT count(*) FROM business_leads")
    assert rows_after - rows_before == results.inserted - results.deleted
    assert violations(services, "figures_equal_orders") == []
    run_all(services, full_refresh=True)
    assert violations(services, "figures_equal_orders", "no_orphans_of_business_leads") == []
    assert scalar(services, "SELECT count(*) FROM lead_orders") == scalar(services, "SELECT count(*) FROM orders")
    before = pipeline.snapshot(services)
    run_all(services, full_refresh=True)
    assert pipeline.snapshot(services) == before


def test_leads_that_the_pipeline_withdraws_are_not_noted_as_deleted(services: Services) -> None:
    load(services, order("1"))
    load(services, order("1", order_status="cancelled", updated_at="2024-02-01"))
    assert scalar(services, "SELECT count(*) FROM business_leads") == 0
    assert scalar(services, "SELECT count(*) FROM deleted_leads") == 0


@pytest.mark.parametrize("statement", ["DELETE FROM business_leads", "TRUNCATE business_leads"])
def test_a_lead_that_comes_again_under_its_id_has_all_its_orders(services: Services, statement: str) -> None:
    load(services, order("1"), order("2", 2))
    lead = lead_id(services)
    query(services, statement)
    load(services, order("3", 3))
    assert lead_id(services) == lead
    assert scalar(services, "SELECT order_count FROM business_leads") == 3
    assert [text for what, text in told(lead) if what == "left"] == [
        f"order {number} (p, s) left: the lead had been deleted by hand, so it was attached anew" for number in (1, 2)
    ]
    assert scalar(services, "SELECT count(*) FROM deleted_leads") == 0


def test_an_order_cancelled_after_its_lead_was_deleted_leaves_nothing_behind(services: Services) -> None:
    load(services, order("1"))
    query(services, "DELETE FROM business_leads")
    load(services, order("1", order_status="cancelled", updated_at="2024-02-01"))
    assert scalar(services, "SELECT count(*) FROM business_leads") == 0
    assert scalar(services, "SELECT count(*) FROM lead_orders") == 0


def test_leads_from_before_the_history_was_kept_are_explained_without_their_batch(services: Services) -> None:
    load(services, order("1"))
    query(services, "UPDATE business_leads SET batch_id = NULL")
    query(services, "UPDATE lead_orders SET batch_id = NULL")
    assert [(row["what"], row["batch_id"]) for row in explain(lead_id(services))["history"]] == [
        ("opened", None), ("attached", None),
    ]  # fmt: skip
