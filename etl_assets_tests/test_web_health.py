"""Page /health: what needs somebody, checks, assets, shops; order types and shops are set there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from etl_assets.orchestration.instance import open_instance
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar
from etl_assets_tests.helpers.web import WebClient, text_of

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services


@pytest.fixture
def troubled(services: Services) -> Services:
    """A shop with an unmapped order type; a refused file and bad rows; a failing check."""
    land(services, [raw_fields("1", customer_name="Ann", order_type="Weird <b>", currency="EUR")])
    run_all(services)
    query(
        services,
        "INSERT INTO import_tasks (import_id, source, status, error) VALUES"
        " (gen_random_uuid(), '/inbox/<script>may.csv', 'failed', 'its headers fit none')",
    )
    query(
        services,
        "INSERT INTO quarantine (asset, raw_id, reason_code, reason, row) VALUES ('orders', 1, 'BAD_TEXT', 'x', '{}')",
    )
    with open_instance(services.database.settings) as instance:
        failing = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("leads"),
            check_name="unique_keys",
            passed=False,
            blocking=False,
            metadata={"violation_count": 3},
        )
        instance.report_runless_asset_event(failing)
    return services


def test_the_page_names_what_needs_somebody_with_links_in_both_languages(troubled: Services, web: WebClient) -> None:
    page = web.get("/health")
    text = text_of(page)
    assert "3 things need somebody" in text
    assert "Refused: <script>may.csv." in text
    assert "<script>may" not in page.text
    import_id = scalar(troubled, "SELECT import_id FROM import_tasks WHERE status = 'failed'")
    assert f'href="/imports/{import_id}"' in page.text
    assert "The check unique_keys of leads fails." in text
    assert "It found 3 violations of its rule: (" in text
    assert "Unreadable characters (1)" in text
    assert "BAD_TEXT" not in text
    assert "Failing checks 1 Checks with warnings 0" in text
    assert 'href="/bad-rows"' in page.text
    assert text_of(WebClient(troubled, "zh").get("/health")).count("3 件事需要处理") == 1


def test_a_page_of_a_pipeline_without_trouble_says_so(web: WebClient) -> None:
    text = text_of(web.get("/health"))
    assert "Nothing needs anybody" in text
    assert "No check has been evaluated yet." in text


def test_order_types_are_set_on_the_page_and_recorded(troubled: Services, web: WebClient) -> None:
    assert "Weird <b> No mapping" in text_of(web.get("/health"))
    response = web.post("/health/order-types", {"order_type": "Weird <b>", "system_type": "SAMPLE"})
    assert "weird <b> counts as SAMPLE in new orders" in text_of(response)
    assert query(troubled, "SELECT * FROM order_type_mappings") == [
        {"raw_order_type": "weird <b>", "system_order_type": "SAMPLE"}
    ]
    assert query(troubled, "SELECT action, target, before, after FROM user_actions") == [
        {
            "action": "order-types set",
            "target": "weird <b>",
            "before": {"system_order_type": None},
            "after": {"system_order_type": "SAMPLE"},
        }
    ]
    refused = web.post("/health/order-types", {"order_type": "a", "system_type": "GIFT"})
    assert "There is no system order type 'GIFT'" in text_of(refused)
    assert scalar(troubled, "SELECT count(*) FROM order_type_mappings") == 1


def test_settings_of_a_shop_are_changed_on_the_page_and_its_orders_read_again(
    troubled: Services, web: WebClient
) -> None:
    assert 'href="/health/shops/p/s"' in web.get("/health").text
    form = web.get("/health/shops/p/s")
    assert '<option value="Asia/Shanghai" selected>' in form.text
    typed = {
        "platform": "p",
        "shop": "s",
        "timezone": "Europe/London",
        "default_currency": "nonsense",
        "shown_name": "",
    }
    refused = web.post("/health/shops/p/s", typed)
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text
    saved = web.post("/health/shops/p/s", typed | {"default_currency": "eur", "shown_name": "North"})
    assert "Saved. 1 order is read again in the next run." in text_of(saved)
    assert query(troubled, "SELECT timezone, default_currency, shown_name FROM shop_configs") == [
        {"timezone": "Europe/London", "default_currency": "EUR", "shown_name": "North"}
    ]
    assert scalar(troubled, "SELECT count(*) FROM user_actions WHERE action = 'shops set'") == 1
    same = web.post("/health/shops/p/s", typed | {"default_currency": "EUR", "shown_name": "North"})
    assert "The shop is as it was." in text_of(same)
    assert web.get("/health/shops/p/unknown").status_code >= 400
