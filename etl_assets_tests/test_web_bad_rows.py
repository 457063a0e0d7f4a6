"""Pages of bad rows: found, corrected, run again, dismissed; workbook and corrected file; hostile texts."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import openpyxl
import pytest

from etl_assets.quarantine import bad_rows
from etl_assets.run.at_once import run_at_once
from etl_assets.web.pages import bad_rows as page
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, scalar
from etl_assets_tests.helpers.web import text_of

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.conftest import Prepare
    from etl_assets_tests.helpers.web import WebClient

USUAL = {"customer_name": "Ann", "amount": "5", "items": "Mug*2", "ordered_at": "2024-01-05 10:00"}
HOSTILE = "<script>alert(1)</script>"


def order(order_id: str | None, **fields: str | None) -> dict[str, str | None]:
    return raw_fields(order_id, **(USUAL | fields))


@pytest.fixture
def landed(prepare: Prepare) -> None:
    """Bad rows with the raw ids 2 to 5."""
    prepare(land_bad_rows)


def land_bad_rows(services: Services) -> None:
    land(
        services,
        [
            order("1"),
            order("2", amount="five", ordered_at="soon", customer_name=HOSTILE, extra='{"<b>gift": "<i>yes"}'),
            order("3", shop="t", items="[broken", remark='=HYPERLINK("http://x")\nline two'),
            order("4", shop=None),
            order(HOSTILE, amount="<img src=x onerror=alert(1)>"),
        ],
    )
    run_at_once(services.database)


def open_rows(services: Services) -> int:
    count: int = scalar(services, "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL")
    return count


def everything(services: Services) -> list[object]:
    tables = ("raw_orders", "orders", "quarantine", "import_tasks", "user_actions")
    return [query(services, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608


@pytest.mark.usefixtures("landed")
def test_rows_are_found_by_reason_shop_and_page(
    services: Services, web: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = text_of(web.get("/bad-rows"))
    assert "4 of 4 rows" in whole
    assert "Amount can't be read Amount five" in whole
    assert "Time can't be read Time of the order soon" in whole
    assert "Items can't be read (1)" in whole
    part = web.get("/bad-rows", fragment=True, reason="BAD_AMOUNT")
    assert "<html" not in part.text
    assert "2 of 2 rows" in text_of(part)
    (shop,) = query(services, "SELECT shop_id FROM shop_configs WHERE shop_name = 't'")
    of_shop = text_of(web.get("/bad-rows", shop=shop["shop_id"]))
    assert "1 of 1 rows" in of_shop
    assert "[broken" in of_shop
    assert "No bad rows of this filter" in text_of(web.get("/bad-rows", reason="'; DROP TABLE orders"))
    monkeypatch.setattr(page, "PAGE_ROWS", 3)
    first = web.get("/bad-rows")
    (older,) = re.findall(r'href="/bad-rows\?before=(\d+)"', first.text)
    assert "1 of 4 rows" in text_of(web.get("/bad-rows", before=older))
    for odd in ("x", "-1", "99999999999999999999999", "٣"):
        assert web.http.get("/bad-rows", params={"before": odd, "shop": odd, "import": odd}).status_code == 200
    assert web.get("/bad-rows/1").status_code == 404
    assert web.get("/bad-rows/99999999999999999999999").status_code == 404


@pytest.mark.usefixtures("landed")
def test_texts_of_rows_are_shown_as_texts(web: WebClient) -> None:
    for path in ("/bad-rows", "/bad-rows/2", "/bad-rows/3", "/bad-rows/5"):
        response = web.get(path)
        assert "<script>alert" not in response.text
        assert "<img src=x" not in response.text
        assert "<i>yes" not in response.text
    assert HOSTILE in text_of(web.get("/bad-rows"))


@pytest.mark.usefixtures("landed")
def test_a_row_corrected_in_place_is_loaded_and_leads_to_its_lead(services: Services, web: WebClient) -> None:
    shown = web.get("/bad-rows/2")
    assert text_of(shown).count("Write a number such as 1234.50") == 1
    assert 'aria-invalid="true"' in shown.text
    still = web.post("/bad-rows/2/correct", {"amount": "5.00", "ordered_at": "sooner"})
    assert "Still bad." in text_of(still)
    assert still.url.path == "/bad-rows/6"
    assert "Time can't be read" in text_of(still)
    assert "Amount can't be read" not in text_of(still).partition("History")[0]
    assert "line 2" in text_of(still), "of the file, not of the correction"
    done = web.post("/bad-rows/6/correct", {"ordered_at": "2024-01-06", "customer_name": HOSTILE})
    assert "Loaded: the order is as this row says." in text_of(done)
    lead = scalar(services, "SELECT lead_id FROM lead_orders WHERE order_id = '2'")
    assert f'href="/leads/{lead}"' in done.text
    assert f"Lead of {HOSTILE}" in text_of(done)
    assert "Show the corrected row" not in text_of(web.get("/bad-rows/2"))
    loaded = web.get("/bad-rows/2")
    assert "Loaded" in text_of(loaded)
    assert "Time of the order soon → 2024-01-06" in text_of(loaded)
    assert "Amount five → 5.00" in text_of(loaded)
    assert 'name="amount"' not in loaded.text, "it is read-only"
    (failed,) = query(services, "SELECT import_id FROM raw_orders WHERE raw_id = 6")
    assert "corrected 1" in text_of(web.get(f"/imports/{failed['import_id']}"))
    history = text_of(loaded).partition("History")[2]
    assert history.count("Corrected by") == 2
    assert "Time of the order sooner → 2024-01-06" in history
    again = web.post("/bad-rows/2/correct", {"amount": "7"})
    assert "This row is not open any more" in text_of(again)
    actions = query(services, "SELECT user_name, action FROM user_actions")
    assert [one["action"] for one in actions] == ["quarantine correct"] * 2
    assert scalar(services, "SELECT count(DISTINCT user_name) FROM import_tasks") == 1


@pytest.mark.usefixtures("landed")
def test_texts_of_several_lines_come_back_as_they_were(services: Services, web: WebClient) -> None:
    before = everything(services)
    same = {"items": "[broken", "remark": '=HYPERLINK("http://x")\r\nline two', "amount": "5", "customer_name": "Ann"}
    assert "Nothing was changed in the row" in text_of(web.post("/bad-rows/3/correct", same))
    assert everything(services) == before
    done = web.post("/bad-rows/3/correct", same | {"items": "Cap\r\nMug*2"})
    assert "Loaded" in text_of(done)
    assert scalar(services, "SELECT remark FROM raw_orders WHERE replaces_raw_id = 3") == same["remark"].replace(
        "\r", ""
    )
    assert scalar(services, "SELECT count(*) FROM order_items WHERE order_id = '3'") == 2


@pytest.mark.usefixtures("landed")
def test_rows_are_run_again_as_they_are(services: Services, web: WebClient) -> None:
    assert "Still bad." in text_of(web.post("/bad-rows/2/run"))
    query(services, "UPDATE raw_orders SET amount = '5', ordered_at = NULL WHERE raw_id = 2")
    ran = text_of(web.post("/bad-rows/run", {"row": ["2", "4", "x"], "reason": "BAD_AMOUNT"}))
    assert "2 entries were run again: 1 resolved, 1 still open." in ran
    assert open_rows(services) == 3
    actions = query(services, "SELECT action, target, after FROM user_actions ORDER BY action_id")
    assert [one["action"] for one in actions] == ["quarantine replay"] * 2
    assert (actions[0]["target"], actions[0]["after"]) == ("rows 1", {"rows": 1})


@pytest.mark.usefixtures("landed")
def test_ticked_rows_or_all_of_a_filter_are_dismissed_with_a_reason(services: Services, web: WebClient) -> None:
    assert "Write a reason" in text_of(web.post("/bad-rows/dismiss", {"row": ["2"], "note": " "}))
    assert open_rows(services) == 4
    done = web.post("/bad-rows/dismiss", {"row": ["2", "3"], "note": "tests", "scope": "ticked"})
    assert "2 entries dismissed." in text_of(done)
    done = web.post("/bad-rows/dismiss", {"scope": "all", "reason": "BAD_AMOUNT", "note": "all tests"})
    assert "1 entry dismissed." in text_of(done)
    assert open_rows(services) == 1
    assert "Resolved: dismissed – tests" in text_of(web.get("/bad-rows/2"))
    notes = query(services, "SELECT after ->> 'reason' AS reason FROM user_actions ORDER BY action_id")
    assert [one["reason"] for one in notes] == ["tests", "all tests"]


@pytest.mark.usefixtures("landed")
@pytest.mark.parametrize("part", [{"shop": "x1"}, {"import": "0"}, {"reason": "BAD_AMOUNT", "shop": str(2**40)}])
def test_a_filter_that_can_not_be_read_dismisses_nothing(
    services: Services, web: WebClient, part: dict[str, str]
) -> None:
    assert web.post("/bad-rows/dismiss", {"scope": "all", "note": "tests", **part}).status_code == 400
    assert open_rows(services) == 4


@pytest.mark.usefixtures("landed")
def test_a_workbook_is_downloaded_corrected_and_uploaded(services: Services, web: WebClient) -> None:
    download = web.get("/bad-rows/export.xlsx", reason="BAD_AMOUNT")
    assert download.headers["content-disposition"].endswith('.xlsx"')
    book = openpyxl.load_workbook(io.BytesIO(download.content))
    sheet = book.active
    assert sheet is not None
    assert sheet.max_row == 3
    column = {cell.value: at for at, cell in enumerate(sheet[1], start=1)}
    for row in range(2, 4):
        sheet.cell(row, column["amount"]).value = "7.50"
    changed = io.BytesIO()
    book.save(changed)
    done = web.post("/bad-rows/upload", files={"file": ("../../my rows.xlsx", changed.getvalue())})
    assert "2 rows corrected: 1 good now, 1 still bad." in text_of(done)
    assert scalar(services, "SELECT source FROM import_tasks ORDER BY created_at DESC LIMIT 1") == "my rows.xlsx"
    again = text_of(web.post("/bad-rows/upload", files={"file": ("rows.xlsx", changed.getvalue())}))
    assert "0 rows corrected" in again


@pytest.mark.usefixtures("landed")
@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "No file was chosen."),
        ({"file": ("rows.exe", b"MZ")}, "This kind of file can't be read. Upload one of: .csv, .xlsx."),
        ({"file": ("rows.csv", b"")}, "The file is empty."),
        ({"file": ("rows.csv", b"a,b\n1,2\n")}, "rows.csv: it has no column 'quarantine_id'"),
        ({"file": ("rows.xlsx", b"PK\x03\x04 no zip")}, "Nothing was changed."),
        ({"file": ("rows.csv", b"quarantine_id,amount\n9999,1\n")}, "1 id is unknown."),
    ],
)
def test_a_wrong_file_of_corrections_is_refused_and_changes_nothing(
    services: Services, web: WebClient, files: dict[str, tuple[str, bytes]] | None, said: str
) -> None:
    before = everything(services)
    response = web.post("/bad-rows/upload", files=files)
    assert said in text_of(response)
    assert "/tmp" not in text_of(response)  # noqa: S108  # a folder of the server
    assert everything(services) == before


@pytest.mark.usefixtures("landed")
def test_long_texts_are_shown_in_part_and_stay_as_they_are(
    services: Services, web: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    query(services, "UPDATE raw_orders SET remark = repeat('x', 60) WHERE raw_id = 2")
    monkeypatch.setattr(bad_rows, "SHOWN_CHARACTERS", 50)
    assert "The text is longer than is shown" in text_of(web.get("/bad-rows/2"))
    done = web.post("/bad-rows/2/correct", {"amount": "5", "ordered_at": "", "remark": "x" * 50})
    assert "Loaded" in text_of(done)
    assert scalar(services, "SELECT length(remark) FROM raw_orders WHERE replaces_raw_id = 2") == 60
