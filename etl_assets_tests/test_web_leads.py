"""Pages of leads and orders, in process: filters, stages, saved views, exports, one lead, one order; hostile texts."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar
from etl_assets_tests.helpers.web import text_of

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.helpers.web import WebClient

SCRIPT = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://x.example","pay")'


def order(order_id: str, customer: str, day: int = 1, **fields: str | None) -> dict[str, str | None]:
    usual = {"amount": "10", "currency": "CNY", "ordered_at": f"2024-01-{day:02} 10:00:00", "order_status": "paid"}
    return raw_fields(order_id, customer_name=customer, **{**usual, **fields})


@pytest.fixture
def leads(services: Services) -> Services:
    """Leads of four customers, two of them with hostile names."""
    items = '[{"name": "Mug", "variant": "white", "quantity": 2, "unit_price": 5, "personalisation": "<b>To Ann</b>"}]'
    land(
        services,
        [
            order("A-1001", "Ann Smith", 1, items=items, order_type="样品"),
            order("A-1002", "Ann Smith", 2, amount="500"),
            order("B-1", SCRIPT, 3, amount="70"),
            order("C-1", FORMULA, 4, amount="900", currency="EUR"),
            order("D-1", "张三丰", 5, shop="'; DROP TABLE orders; --"),
        ],
    )
    run_all(services)
    return services


def lead_of(services: Services, customer: str) -> str:
    found = query(services, "SELECT lead_id FROM business_leads JOIN customers USING (customer_global_id)"
                  " WHERE customer_nickname = :name", name=customer)
    return str(found[0][0])


def test_smoke(leads: Services, web: WebClient) -> None:
    r = web.get("/leads")
    assert r.status_code == 200, r.text[:3000]
    print(text_of(r))
    for path in ("/leads?stage=active&types=sample_without_bulk&silent=14", "/leads?q=ann", "/leads?q=A-1001", "/leads?q=三丰", "/leads?min=x", "/orders", "/orders?q=ann", "/orders?q=B-", "/orders?shop=1", "/orders/1/A-1001", "/orders/1/A-1001?versions=1", "/leads/" + lead_of(leads, "Ann Smith")):
        r = web.get(path)
        assert r.status_code == 200, (path, r.text[:3000])
        print(path, text_of(r))
