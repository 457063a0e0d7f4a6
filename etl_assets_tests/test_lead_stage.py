"""Stages that users set: recorded, shown in the history, refused where the lead is not as the user saw it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.leads.saved_views import MAX_VIEWS, SavedViewError, delete_view, list_views, save_view
from etl_assets.leads.stage import MAX_LEADS, StageError, set_stages, stage_of
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services


def load(services: Services, *orders: tuple[str, str]) -> None:
    rows = [
        raw_fields(number, customer_name=name, amount="10", currency="CNY", ordered_at="2024-01-01 10:00:00")
        for number, name in orders
    ]
    land(services, rows)
    run_all(services)


def leads(services: Services) -> dict[str, tuple[UUID, str]]:
    """Id and stage of each customer's lead, of its newest where it has several."""
    rows = query(
        services,
        "SELECT customer_nickname, lead_id, current_stage FROM business_leads JOIN customers USING (customer_global_id)"
        " ORDER BY lead_no",
    )
    return {row["customer_nickname"]: (row["lead_id"], row["current_stage"]) for row in rows}


def history(lead_id: UUID) -> list[tuple[str, str]]:
    result = CliRunner().invoke(app, ["explain", "lead", str(lead_id), "--json"])
    assert result.exit_code == 0, result.output
    told: list[dict[str, Any]] = json.loads(result.stdout)["history"]
    return [(row["what"], row["text"]) for row in told]


@pytest.mark.parametrize(
    ("text", "stage"),
    [(" won ", "WON"), ("Cold", "COLD"), ("VIP 等待", "VIP 等待"), ("Ｏpen", "OPEN")],
)
def test_a_stage_is_one_of_ours_in_any_case_or_the_users_own_word(text: str, stage: str) -> None:
    assert stage_of(text) == stage


@pytest.mark.parametrize("text", ["", "  ", "x" * 41, "a\x00b", "a\nb"])
def test_what_is_no_word_is_no_stage(text: str) -> None:
    with pytest.raises(StageError, match="at most 40 characters"):
        stage_of(text)


def test_stages_are_set_with_who_and_why_and_the_second_of_two_users_is_told(services: Services) -> None:
    load(services, ("1", "Ann"), ("2", "Bob"))
    ann, bob = (leads(services)[name][0] for name in ("Ann", "Bob"))
    outcome = set_stages(services.database, {ann: "OPEN", bob: "OPEN"}, "won", note=" paid ", user_name="Li")
    assert set(outcome.changed) == {ann, bob}
    assert outcome.refused == []
    second = set_stages(services.database, {ann: "OPEN"}, "LOST", user_name="Wu")
    (refused,) = second.refused
    assert (refused.customer, refused.reason, refused.stage, refused.changed_by) == ("Ann", "changed", "WON", "Li")
    assert leads(services)["Ann"] == (ann, "WON")
    assert history(ann)[-1] == ("stage_set", "Li set the stage: OPEN → WON (paid)")
    again = set_stages(services.database, {ann: "WON"}, "WON", user_name="Wu")
    assert (again.changed, again.unchanged) == ([], [ann])
    assert set_stages(services.database, {ann: "WON"}, "WON", note="call", user_name="Wu").changed == [ann]
    assert history(ann)[-1] == ("noted", "Wu noted: call")
    recorded = query(services, "SELECT user_name, action, target, before, after FROM user_actions ORDER BY action_id")
    assert recorded[0] == {
        "user_name": "Li",
        "action": "leads stage",
        "target": recorded[0]["target"],
        "before": {"current_stage": "OPEN"},
        "after": {"current_stage": "WON", "note": "paid"},
    }
    assert {row["target"] for row in recorded[:2]} == {"p:s:Ann", "p:s:Bob"}


def test_a_customer_has_one_active_lead_and_a_locked_or_deleted_one_is_not_touched(services: Services) -> None:
    load(services, ("1", "Ann"), ("2", "Bob"))
    old, bob = leads(services)["Ann"][0], leads(services)["Bob"][0]
    set_stages(services.database, {old: "OPEN"}, "WON")
    load(services, ("3", "Ann"))
    new = leads(services)["Ann"][0]
    assert new != old
    (refused,) = set_stages(services.database, {old: "WON"}, "COLD").refused
    assert refused.reason == "has_active_lead"
    set_stages(services.database, {new: "OPEN"}, "LOST")
    both = set_stages(services.database, {old: "WON", new: "LOST"}, "OPEN")
    assert [one.reason for one in both.refused] == ["has_active_lead"]
    assert len(both.changed) == 1
    gone = UUID(int=1)
    with services.database.transaction() as batch:
        batch.execute(sa.text("SELECT FROM business_leads WHERE lead_id = :id FOR UPDATE"), {"id": bob})
        outcome = set_stages(services.database, {bob: "OPEN", gone: "OPEN"}, "WON")
    assert {one.lead_id: one.reason for one in outcome.refused} == {bob: "busy", gone: "gone"}
    assert leads(services)["Bob"][1] == "OPEN"


def test_too_many_leads_at_once_and_too_long_notes_are_refused(services: Services) -> None:
    for seen, note in (
        ({UUID(int=n): "OPEN" for n in range(MAX_LEADS + 1)}, ""),
        ({UUID(int=1): "OPEN"}, "x" * 2001),
        ({}, ""),
    ):
        with pytest.raises(StageError):
            set_stages(services.database, seen, "WON", note=note)


def test_the_view_of_the_history_names_stages_notes_and_users(services: Services) -> None:
    load(services, ("1", "Ann"))
    columns = (
        "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'lead_history'::regclass"
    )
    assert query(services, columns)[0]["string_agg"].endswith("stage_before stage_after note user_name")
    assert [row["what"] for row in query(services, "SELECT what FROM lead_history ORDER BY step_no")] == [
        "opened",
        "attached",
    ]


def test_views_belong_to_their_user(services: Services) -> None:
    database = services.database
    assert save_view(database, "li", " big ", {"min": "500"}) == "big"
    save_view(database, "li", "big", {"min": "900"})
    save_view(database, "wu", "big", {})
    with database.transaction() as connection:
        (view,) = list_views(connection, "li")
    assert view["filters"] == {"min": "900"}
    assert delete_view(database, "wu", view["view_id"]) is None
    assert delete_view(database, "li", view["view_id"]) == "big"
    for name in ("", "x" * 61, "a\x00"):
        with pytest.raises(SavedViewError):
            save_view(database, "li", name, {})
    for number in range(MAX_VIEWS):
        save_view(database, "li", str(number), {})
    with pytest.raises(SavedViewError, match="delete one first"):
        save_view(database, "li", "one more", {})
    save_view(database, "li", "1", {"q": "ann"})


def test_the_command_sets_stages_and_exports_what_the_page_exports(services: Services, tmp_path: Path) -> None:
    load(services, ("1", "Ann"), ("2", "=Bob"))
    ann = leads(services)["Ann"][0]
    result = CliRunner().invoke(app, ["leads", "stage", "won", str(ann), "--note", "paid", "--json"])
    assert json.loads(result.stdout) == {"changed": [str(ann)], "unchanged": [], "refused": []}
    file = tmp_path / "leads.csv"
    assert CliRunner().invoke(app, ["leads", "export", str(file), "--stage", "OPEN", "--shop", "s"]).exit_code == 0
    assert file.read_text("utf-8-sig").splitlines()[1].startswith("'=Bob,s,p,OPEN,1,")
    for wrong in ([str(file)], [str(tmp_path / "x.txt")], [str(file), "--overwrite", "--sort", "x"],
                  [str(file), "--overwrite", "--orders", "x"]):  # fmt: skip
        assert CliRunner().invoke(app, ["leads", "export", *wrong]).exit_code == 2
    assert CliRunner().invoke(app, ["leads", "export", str(tmp_path / "y.csv"), "--shop", "nothing"]).exit_code == 1
    assert CliRunner().invoke(app, ["leads", "stage", "WON", str(UUID(int=1))]).exit_code == 2
