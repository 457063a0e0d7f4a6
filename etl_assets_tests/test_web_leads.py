"""Pages of leads and orders, in process: filters, stages, saved views, exports, one lead, one order; hostile texts."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import openpyxl
import pytest

from etl_assets.leads.stage import set_stages
from etl_assets.reporting import leads_list
from etl_assets.web.downloads import TURNS
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all
from etl_assets_tests.helpers.web import WebClient, text_of

if TYPE_CHECKING:
    from uuid import UUID

    from httpx import Response

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.conftest import Prepare

SCRIPT: Final = "<script>alert(1)</script>"
FORMULA: Final = '=HYPERLINK("http://x.example","pay")'
INJECTION: Final = "'; DROP TABLE orders; --"
ITEMS: Final = (
    '[{"name": "Mug", "variant": "white", "quantity": 2, "unit_price": 5, "personalisation": "<b>To Ann</b>",'
    ' "processes": [{"process": "print", "position": "front", "pictures": 3}]}]'
)


def order(order_id: str, customer: str, day: int = 1, **fields: str | None) -> dict[str, str | None]:
    usual = {"amount": "10", "currency": "CNY", "ordered_at": f"2024-01-{day:02} 10:00:00", "order_status": "paid"}
    return raw_fields(order_id, customer_name=customer, **{**usual, **fields})


@pytest.fixture
def leads(services: Services, prepare: Prepare) -> Services:
    """Leads of four customers, two of them with hostile names, one of a shop with a hostile name."""
    prepare(load_leads)
    return services


def load_leads(services: Services) -> None:
    query(services, "INSERT INTO order_type_mappings VALUES ('样品', 'SAMPLE')")
    rows = [
        order("A-1001", "Ann Smith", 1, items=ITEMS, order_type="样品", amount="20"),
        order("B-1002", SCRIPT, 3, amount="70"),
        order("C-1003", FORMULA, 4, amount="900", currency="EUR"),
        order("D/1004", "张三丰", 5, shop=INJECTION),
    ]
    land(services, rows)
    land(
        services,
        [order("A-1005", "Ann Smith", 2, amount="500"), order("A-1001", "Ann Smith", 1, items=ITEMS, amount="25")],
    )
    run_all(services)


def lead_of(services: Services, customer: str) -> UUID:
    statement = (
        "SELECT lead_id FROM business_leads JOIN customers USING (customer_global_id) WHERE customer_nickname = :name"
    )
    found: UUID = query(services, statement, name=customer)[0]["lead_id"]
    return found


def shop_of(services: Services, order_id: str) -> int:
    return int(query(services, "SELECT shop_id FROM orders WHERE order_id = :id", id=order_id)[0]["shop_id"])


def customers(response: Response) -> list[str]:
    """Names in the table of a page, in its order."""
    assert response.status_code == 200, response.text
    names = ("Ann Smith", SCRIPT, FORMULA, "张三丰")
    table = text_of(response).partition(" Last order Select ")[2]
    return sorted((name for name in names if f"{name} " in table), key=table.index)


def test_the_list_is_searched_filtered_and_sorted(leads: Services, web: WebClient) -> None:
    everyone = ["张三丰", FORMULA, SCRIPT, "Ann Smith"]
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({}, everyone),
        ({"sort": "largest"}, [FORMULA, "Ann Smith", SCRIPT, "张三丰"]),
        ({"sort": "oldest"}, everyone[::-1]),
        ({"q": "ann"}, ["Ann Smith"]),
        ({"q": "smith"}, ["Ann Smith"]),
        ({"q": "三"}, ["张三丰"]),
        ({"q": "B-10"}, [SCRIPT]),
        ({"q": "<SCRIPT"}, [SCRIPT]),
        ({"q": "%"}, []),
        ({"stage": "COLD"}, []),
        ({"stage": "active"}, everyone),
        ({"types": "sample"}, []),
        ({"types": "bulk", "currency": "EUR"}, [FORMULA]),
        ({"min": "70", "max": "600"}, [SCRIPT, "Ann Smith"]),
        ({"min": "1,0,00"}, []),
        ({"from": "2024-01-03", "to": "2024-01-04"}, [FORMULA, SCRIPT]),
        ({"silent": "14"}, everyone),
        ({"reopened": "7"}, []),
        ({"q": INJECTION}, []),
        ({"stage": INJECTION}, []),
    ]
    for fields, expected in cases:
        assert customers(web.get(f"/leads?{urlencode(fields)}")) == expected, fields
    shop_id = query(leads, "SELECT shop_id FROM shop_configs WHERE shop_name = :name", name=INJECTION)[0]["shop_id"]
    assert customers(web.get("/leads", shop=shop_id)) == ["张三丰"]
    for junk in ("x", "9" * 30, "-1", "1e9", INJECTION, "٣"):
        for name in ("shop", "min", "max", "silent", "reopened", "from", "to", "sort", "types", "page", "inside"):
            assert web.get(f"/leads?{urlencode({name: junk})}").status_code == 200, (name, junk)
    assert "Enter a number of days." in text_of(web.get("/leads", silent="soon"))
    assert '<option value="largest" selected>' in web.get("/leads", sort="largest").text
    mixed = web.get("/leads", sort="largest", q="")
    assert "several currencies. Only one: CNY EUR" in text_of(mixed)
    assert link_of(mixed, "EUR") == "/leads?sort=largest&currency=EUR"
    for plain in ({"sort": "oldest"}, {"sort": "largest", "currency": "EUR"}):
        assert "several currencies" not in text_of(web.get(f"/leads?{urlencode(plain)}"))
    assert query(leads, "SELECT count(*) FROM orders") == [{"count": 5}]


def test_texts_of_customers_and_shops_are_only_text_on_each_page(leads: Services, web: WebClient) -> None:
    script, ann = lead_of(leads, SCRIPT), lead_of(leads, "Ann Smith")
    set_stages(leads.database, {script: "OPEN"}, "<i>own</i>", note="<b>note</b>", user_name="<u>me</u>")
    web.post("/leads/views", {"name": "<em>view</em>", "next": "/leads?min=1"})
    of_order = f"/orders/{shop_of(leads, 'B-1002')}/B-1002"
    hostile = quote(SCRIPT)
    addresses = ("/leads", "/orders", f"/leads/{script}", f"/leads/{ann}", of_order, f"{of_order}?versions=1",
                 f"/leads?q={hostile}", f"/leads?min={hostile}", f"/orders?q={hostile}")  # fmt: skip
    pages = {address: web.get(address).text for address in addresses}
    for address, page in pages.items():
        for tag in (SCRIPT, "<b>To Ann", "<i>own", "<b>note", "<u>me", "<em>view"):
            assert tag not in page, address
    assert "&lt;u&gt;me&lt;/u&gt; set the stage" in pages[f"/leads/{script}"]
    assert "&lt;em&gt;view" in pages["/leads"]


def test_pages_of_the_list_lead_on_and_back(leads: Services, web: WebClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leads_list, "PAGE_SIZE", 2)
    for most in (leads_list.MAX_COUNTED, 1):  # all leads scanned, or the index walked
        monkeypatch.setattr(leads_list, "MAX_COUNTED", most)
        for sort, expected in (
            ("smallest", ["张三丰", SCRIPT, "Ann Smith", FORMULA]),
            ("oldest", ["Ann Smith", SCRIPT, FORMULA, "张三丰"]),
        ):
            first = web.get("/leads", sort=sort)
            assert customers(first) == expected[:2]
            second = web.get(link_of(first, "Next"))
            assert customers(second) == expected[2:]
            assert "Next" not in text_of(second)
            assert customers(web.get(link_of(second, "Previous"))) == expected[:2]
            assert "4 leads" in text_of(second) or most == 1
    assert "about" in text_of(second)


def link_of(response: Response, label: str) -> str:
    before, found, _ = response.text.partition(f">{label}</a>")
    assert found, text_of(response)
    return before.rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")


def test_stages_are_set_for_many_leads_and_shown_in_table_and_history(leads: Services, web: WebClient) -> None:
    ann, script = lead_of(leads, "Ann Smith"), lead_of(leads, SCRIPT)
    form = {
        "lead": [f"{ann}~OPEN", f"{script}~OPEN", "no lead"],
        "new_stage": "WON",
        "note": "paid",
        "next": "/leads?q=ann",
    }
    answer = web.post("/leads/stage", form, fragment=True)
    assert "2 leads were changed." in text_of(answer)
    assert customers(answer) == ["Ann Smith"]
    assert "Ann Smith s p Won" in text_of(answer)
    history = text_of(web.get(f"/leads/{ann}"))
    assert "set the stage: OPEN → WON (paid)" in history
    late = web.post("/leads/stage", {**form, "new_stage": "", "own_stage": "VIP", "next": f"/leads/{ann}"})
    assert late.url.path == f"/leads/{ann}"
    assert "Ann Smith is Won now: " in text_of(late)
    assert "changed it meanwhile" in text_of(late)
    set_again = web.post("/leads/stage", {"lead": f"{ann}~WON", "own_stage": "VIP", "next": "//evil.example/"})
    assert set_again.url.path == "/leads"
    assert "VIP" in text_of(web.get("/leads"))
    nothing = web.post("/leads/stage", {"new_stage": "", "next": "/leads"}, fragment=True)
    assert "Choose one stage" in text_of(nothing)
    both = {"lead": f"{script}~WON", "new_stage": "LOST", "own_stage": "VIP", "next": "/leads"}
    assert "Choose one stage" in text_of(web.post("/leads/stage", both, fragment=True))
    same = web.post("/leads/stage", {**both, "new_stage": "WON", "own_stage": ""}, fragment=True)
    assert "1 lead has that stage already." in text_of(same)
    assert len(query(leads, "SELECT FROM user_actions")) == 3


def test_views_are_saved_found_and_deleted(leads: Services, web: WebClient) -> None:
    saved = web.post("/leads/views", {"name": "rich", "next": "/leads?min=100&sort=largest&page=x&other=1"})
    assert "Saved: rich" in text_of(saved)
    assert saved.url.query == b"min=100&sort=largest"
    assert 'aria-current="page">rich</a>' in saved.text
    number = saved.text.partition('name="view_id" value="')[2].partition('"')[0]
    gone = web.post("/leads/views/delete", {"view_id": number})
    assert "Deleted: rich" in text_of(gone)
    assert "There is no such view." in text_of(web.post("/leads/views/delete", {"view_id": "9" * 40}))
    assert "A view needs a name" in text_of(web.post("/leads/views", {"name": " ", "next": "/leads"}))


def test_exports_hold_the_filtered_list_without_formulas(leads: Services, web: WebClient) -> None:
    table = web.get("/leads/export.csv", min="70", sort="largest")
    assert table.headers["content-disposition"] == 'attachment; filename="leads.csv"'
    rows = list(csv.DictReader(StringIO(table.content.decode("utf-8-sig"))))
    assert [row["Customer"] for row in rows] == [f"'{FORMULA}", "Ann Smith", SCRIPT]
    assert (rows[1]["Orders"], rows[1]["Currency"], rows[1]["Last order"]) == ("2", "CNY", "2024-01-02 02:00")
    assert float(rows[1]["Amount"]) == 525
    book = openpyxl.load_workbook(BytesIO(web.get("/leads/export.xlsx", sort="largest").content))
    sheet = book["leads"]
    cells = list(sheet.iter_rows(values_only=True))
    assert sheet.freeze_panes == "A2"
    assert [row[0] for row in cells[1:]] == [f"'{FORMULA}", "Ann Smith", SCRIPT, "张三丰"]
    assert cells[2][8] == 525
    assert str(cells[2][13]) == "2024-01-02 02:00:00"
    assert WebClient(leads, "zh").get("/leads/export.csv").content.decode("utf-8-sig").startswith("客户,店铺,平台,阶段")


def test_exports_leave_connections_to_the_pages(leads: Services, web: WebClient) -> None:
    turns = range(4)
    assert all(TURNS.acquire(blocking=False) for _ in turns)
    try:
        refused = web.get("/leads/export.csv", q="Ann")
        assert (refused.url.path, refused.url.params["q"]) == ("/leads", "Ann")
        assert "Other lists are being exported" in text_of(refused)
    finally:
        for _ in turns:
            TURNS.release()
    for _ in range(5):
        assert web.get("/leads/export.xlsx").headers["content-type"].startswith("application/")
        assert web.http.head("/leads/export.csv").headers["content-type"].startswith("text/csv")


def test_a_lead_shows_its_orders_with_their_lines(leads: Services, web: WebClient) -> None:
    page = text_of(web.get(f"/leads/{lead_of(leads, 'Ann Smith')}"))
    assert "A-1005" in page
    assert "2 × Mug white" in page
    assert "Personalisation <b>To Ann</b>" in page
    assert "print · front · 3 pictures, 6 prints" in page
    assert "order A-1001 (p, s) started this lead: the customer had no open or cold one" in page
    assert str(lead_of(leads, "Ann Smith")) not in page
    assert "CN¥10.00 CN¥5.00 each" in page
    assert "The lines add up to CN¥10.00. The order total is as the shop gives it" in page
    assert "nothing refunded" in page
    assert web.get("/leads/00000000-0000-0000-0000-000000000001").status_code == 404


def test_many_attachments_by_one_rule_are_one_entry_and_refunds_are_told(services: Services, web: WebClient) -> None:
    land(services, [order(f"X-{day}", "Ann Smith", day, refunded_amount="1") for day in range(1, 8)])
    run_all(services)
    page = text_of(web.get(f"/leads/{lead_of(services, 'Ann Smith')}"))
    assert "5 more orders by the same rule" in page
    assert "before refunds of CN¥7.00; net CN¥63.00" in page
    assert page.count("joined this lead") == 6


def test_a_lead_leads_back_to_the_list_as_it_was(leads: Services, web: WebClient) -> None:
    found = web.get("/leads", types="bulk", sort="largest", q="ann")
    page = web.get(link_of(found, "Ann Smith"))
    assert back_of(page) == "/leads?q=ann&types=bulk&sort=largest"
    here = f"{page.url.path}?{page.url.query.decode()}"
    form = {"lead": f"{lead_of(leads, 'Ann Smith')}~OPEN", "new_stage": "WON", "next": here}
    assert back_of(web.post("/leads/stage", form)) == "/leads?q=ann&types=bulk&sort=largest"
    for junk in ("//evil.example", "next=//evil.example&x=1", "q=%00"):
        assert back_of(web.get(page.url.path, back=junk)) == "/leads"


def back_of(response: Response) -> str:
    return response.text.partition('class="back-link" href="')[2].partition('"')[0].replace("&amp;", "&")


def test_orders_are_searched_and_one_shows_its_versions(leads: Services, web: WebClient) -> None:
    assert "A-1005" in text_of(web.get("/orders"))
    found = text_of(web.get("/orders", q="ann"))
    assert "2 orders" in found
    assert "B-1002" not in found
    assert "1 order " in text_of(web.get("/orders", q="D/1"))
    assert "No order matches" in text_of(web.get("/orders", q=INJECTION))
    for junk in ("x~y", "9" * 40, INJECTION):
        assert web.get("/orders", page=junk).status_code == 200
        assert web.get("/orders", page=junk, shop=shop_of(leads, "A-1001")).status_code == 200
        assert web.get("/orders", shop=junk, q=junk).status_code == 200
    address = f"/orders/{shop_of(leads, 'A-1001')}/A-1001"
    assert "Lead of Ann Smith" in text_of(web.get(address))
    versions = text_of(web.get(address, fragment=True, versions=1))
    assert "counts: " in versions
    assert "Amount 20 → 25" in versions
    assert "张三丰" in text_of(web.get(f"/orders/{shop_of(leads, 'D/1004')}/D%2F1004"))
    own = address.rpartition("/")[0]
    for missing in (f"{own}/nothing", f"/orders/{2**40}/A-1001", "/orders/9999/A-1001", f"{own}/{'9' * 600}"):
        assert web.get(missing).status_code == 404
