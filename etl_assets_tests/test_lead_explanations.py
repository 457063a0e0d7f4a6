"""What the history of a lead says, as tables of cases: which rule attached an order, and which figures changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from etl_assets.leads.explanations import (
    ATTACH_REASONS,
    DETACH_REASONS,
    EVENT_TEXTS,
    figures_text,
    history_texts,
    rule_text,
    with_texts,
)


def happening(what: str, batch_id: int | None = 1, **values: object) -> dict[str, Any]:
    columns = (
        "strategy",
        "reason",
        "figures_before",
        "figures_after",
        "stage_before",
        "stage_after",
        "note",
        "user_name",
    )
    usual = dict.fromkeys(columns)
    of_order = {"platform": "p", "shop_name": "s", "order_id": "7"}
    return {"what": what, "batch_id": batch_id, **of_order, **usual, **values}


def last_text(*history: dict[str, Any]) -> str:
    return str(with_texts(history)[-1]["text"])


@pytest.mark.parametrize(
    ("history", "rule"),
    [
        pytest.param([happening("opened"), happening("attached", strategy="new")], "new", id="it made the lead"),
        pytest.param(
            [happening("opened"), happening("attached", strategy="reuse")], "reuse_same_batch",
            id="the lead was made in the same batch",
        ),
        pytest.param(
            [happening("opened"), happening("attached", 2, strategy="reuse")], "reuse", id="the lead was OPEN"
        ),
        pytest.param(
            [happening("opened"), happening("reopened", 2), happening("attached", 2, strategy="reuse")],
            "reuse_reopened", id="the lead was COLD",
        ),
        pytest.param(
            [happening("opened"), happening("reopened", 2), happening("attached", 3, strategy="reuse")], "reuse",
            id="it had been reopened in an earlier batch",
        ),
        pytest.param(
            [happening("opened", None), happening("attached", None, strategy="reuse")], "reuse",
            id="of a time when batches were not noted",
        ),
    ],
)  # fmt: skip
def test_with_texts_says_which_rule_attached_an_order(history: list[dict[str, Any]], rule: str) -> None:
    assert last_text(*history) == f"order 7 (p, s) {rule_text(rule)}"


@pytest.mark.parametrize(
    ("of_lead", "text"),
    [
        *(
            pytest.param(happening("left", reason=reason), f"order 7 (p, s) left: {text}", id=f"left: {reason}")
            for reason, text in DETACH_REASONS.items()
        ),
        pytest.param(happening("reopened"), "COLD → OPEN because order 7 (p, s) came", id="reopened"),
        pytest.param(
            happening("figures", figures_before={"order_count": 1}, figures_after={"order_count": 2}), "orders 1 → 2",
            id="figures",
        ),
        *(pytest.param(happening(what), text, id=what) for what, text in EVENT_TEXTS.items()),
        pytest.param(
            happening("stage_set", stage_before="OPEN", stage_after="WON", note="paid {all}", user_name="Li"),
            "Li set the stage: OPEN → WON (paid {all})", id="a stage that a user set, with a note",
        ),
        pytest.param(
            happening("stage_set", stage_before="OPEN", stage_after="WON", note=None, user_name="Li"),
            "Li set the stage: OPEN → WON", id="without a note",
        ),
        pytest.param(happening("noted", note="call", user_name="Li"), "Li noted: call", id="a note alone"),
    ],
)  # fmt: skip
def test_with_texts_says_what_happened(of_lead: dict[str, Any], text: str) -> None:
    assert last_text(of_lead) == text


def test_with_texts_keeps_the_rows_as_they_are_besides() -> None:
    row = happening("opened")
    (told,) = with_texts([row])
    assert {**row, "text": told["text"]} == told
    assert "text" not in row


@pytest.mark.parametrize("rule", ATTACH_REASONS)
def test_rule_text_says_how_an_order_came_to_its_lead(rule: str) -> None:
    assert str(rule_text(rule)) == ATTACH_REASONS[rule]


def test_rule_text_of_a_rule_that_is_no_more_says_so() -> None:
    assert str(rule_text("guess")) == "joined this lead by a rule of an earlier version"


def test_amounts_of_the_history_are_told_in_the_currency_of_their_time() -> None:
    changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"total_amount": 5}, {"total_amount": 10}),
        ({"currency": "EUR", "refunded_amount": 1}, {"currency": "USD", "refunded_amount": 2}),
        ({"total_amount": 20, "order_count": 1}, {"total_amount": 30, "order_count": 2}),
    ]
    rows = [happening("figures", figures_before=before, figures_after=after) for before, after in changes]
    assert [str(text) for text in history_texts(rows, "USD")] == [
        "total 5 EUR → 10 EUR",
        "currency EUR → USD, refunded 1 EUR → 2 USD",
        "orders 1 → 2, total 20 USD → 30 USD",
    ]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        pytest.param({"order_count": 1}, {"order_count": 2}, "orders 1 → 2", id="one"),
        pytest.param(
            {"total_amount": 10, "order_count": 1}, {"total_amount": 25, "order_count": 2},
            "orders 1 → 2, total 10 → 25", id="the most telling first",
        ),
        pytest.param({"total_amount": 1234.5}, {"total_amount": Decimal("1234567.80")}, "total 1,234.5 → 1,234,567.8",
                     id="amounts with thousands, without zeros at the end"),
        pytest.param({"currency": None}, {"currency": "EUR"}, "currency none → EUR", id="from nothing"),
        pytest.param(
            {"first_order_at": "2024-01-02T03:04:05+00:00"}, {"first_order_at": None},
            "first order 2024-01-02 03:04:05 → none", id="a time, to nothing",
        ),
        pytest.param({}, {"order_count": 2}, "its figures were worked out again", id="none that is told"),
    ],
)  # fmt: skip
def test_figures_text_names_the_figures_that_changed(before: dict[str, Any], after: dict[str, Any], text: str) -> None:
    assert str(figures_text(before, after)) == text
