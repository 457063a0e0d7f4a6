"""Headers match without regard to case, blanks and full width, and a name that matches none is asked about."""

from __future__ import annotations

import pytest

from etl_assets.presets.headers import (
    AmbiguousHeaderError,
    did_you_mean,
    find_header,
    fit_to_headers,
    nearest,
    normal_header,
    show_headers,
)
from etl_assets.presets.model import Preset


@pytest.mark.parametrize(
    "header", ["Order no.", "  order NO. ", "ORDER\u00a0\tno.", "Ｏｒｄｅｒ　ｎｏ．", "order\n no."]
)
def test_case_blanks_and_full_width_do_not_matter(header: str) -> None:
    assert normal_header(header) == normal_header("Order no.")


@pytest.mark.parametrize("header", ["Order No", "Orderno.", "Order-no.", "Order no.:"])
def test_letters_and_punctuation_matter(header: str) -> None:
    assert normal_header(header) != normal_header("Order no.")


def test_a_header_keeps_its_own_spelling_and_an_exact_match_wins() -> None:
    assert find_header("order id", ["x", "Order  ID"]) == "Order  ID"
    assert find_header("order id", ["Order ID", "order id"]) == "order id"
    assert find_header("order id", ["x"]) is None


def test_two_headers_that_match_one_name_are_an_error_that_names_both() -> None:
    with pytest.raises(AmbiguousHeaderError, match="'Order ID' and 'ORDER ID' both match 'order id'"):
        find_header("order id", ["Order ID", "ORDER ID"])


def test_a_preset_takes_over_the_spelling_of_the_file() -> None:
    preset = Preset.model_validate(
        {
            "name": "x",
            "shape": "line_item",
            "columns": {
                "order_id": ["no", "Order ID"],
                "order_status": {"rules": [{"when": "Gone On", "matches": ".", "value": "cancelled"}]},
                "currency": {"constant": "EUR"},
            },
            "item": {"name": "Article"},
        }
    )
    fitted = fit_to_headers(preset, ["ORDER ID", "gone on", "ARTICLE"])
    assert fitted.columns["order_id"].columns == ("no", "ORDER ID")
    assert fitted.columns["order_status"].rules[0].when == ("gone on",)
    assert fitted.columns["currency"].constant == "EUR"
    assert fitted.item["name"].columns == ("ARTICLE",)


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("Order no.", ["Customer", "Order No"], "Order No"),
        ("customer_name", ["customer-name", "customer"], "customer-name"),
        ("custmer_name", ["order_id", "customer_name"], "customer_name"),
        ("订单编号", ["订单号", "买家"], "订单号"),
        ("amount", ["shop", "currency"], None),
        ("-", ["."], None),
    ],
)
def test_the_nearest_name_is_found(name: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(name, candidates) == expected


def test_a_question_names_the_nearest_candidate_or_is_empty() -> None:
    assert did_you_mean(["zzz", "Order no."], ["Order No"]) == "Did you mean 'Order No'?"
    assert did_you_mean(["zzz"], ["Order No"]) == ""


def test_headers_are_shown_and_long_lists_are_cut() -> None:
    assert show_headers(["Order ID", "Address 1", "column_1234"]) == "'Order ID', 'Address 1', 'column_1234'"
    shown = show_headers(["x" * 90] * 2000)
    assert shown is not None
    assert shown.endswith("and 1,970 more")
    assert len(shown) < 2000


@pytest.mark.parametrize(
    "row", [["1001", "Anna Muster"], ["#7", "Anna"], ["Anna", "12.50"], ["a@example.org"], ["Zhang-13800000000"]]
)
def test_a_row_that_looks_like_data_is_not_shown(row: list[str]) -> None:
    assert show_headers(row) is None
