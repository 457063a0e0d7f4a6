"""Pages of imports: the list with bars, one import, uploads with their preview, reverts and dismissals."""

from __future__ import annotations

import io
import os
import re
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from etl_assets.errors import EtlError
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.load import record_failed_import
from etl_assets.run.at_once import RunAtOnce, run_at_once
from etl_assets.web import processing
from etl_assets.web import uploads as uploads_module
from etl_assets.web.pages import imports as page
from etl_assets.web.pages import uploads as uploads_page
from etl_assets.web.uploads import Options, UploadError, Uploads, safe_name
from etl_assets_tests.helpers.pipeline import query, scalar
from etl_assets_tests.helpers.web import text_of

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from httpx import Response

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.helpers.web import WebClient

HEADER = "platform,shop,order_id,customer_name,amount,updated_at,items\n"
HOSTILE = "<img src=x onerror=alert(1)>.csv"
GOOD = (HEADER + "etsy,Maple,A1,Ann,5,2026-01-01,Mug*2\netsy,Maple,A2,Bob,five,2026-01-01,Cap\n").encode()


def land(services: Services, path: Path, *rows: str) -> UUID:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return import_file(services.database, path, get_preset("generic"), overrides=Overrides()).import_id


def upload(web: WebClient, name: str, content: bytes, **options: str) -> Response:
    return web.post("/imports/upload", options, {"file": (name, content)})


def everything(services: Services) -> list[object]:
    tables = ("raw_orders", "orders", "quarantine", "import_tasks", "user_actions", "etl_work")
    return [query(services, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608


def test_imports_are_listed_with_what_became_of_their_rows(
    services: Services, web: WebClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nothing was imported yet" in text_of(web.get("/imports"))
    first = land(services, tmp_path / "may.csv", "p,s,1,kim,5,2026-01-01,Mug", "p,s,2,kim,x,2026-01-01,Mug")
    run_at_once(services.database)
    land(services, tmp_path / "june.csv", "p,s,1,kim,5,2026-01-01,Mug", "p,s,3,kim,5,2026-01-01,Mug")
    run_at_once(services.database)
    error = EtlError(f"{tmp_path / HOSTILE}: its headers fit none of the presets.")
    record_failed_import(services.database, tmp_path / HOSTILE, error)
    listed = web.get("/imports")
    shown = text_of(listed)
    assert "in force 1 same as before, or older 1" in shown
    assert "in force 1 bad rows 1" in shown
    assert f"{HOSTILE}: its headers fit none of the presets." in shown
    assert "<img src=x" not in listed.text
    assert str(tmp_path) not in shown
    assert "Refused 1" in shown
    refused = text_of(web.get("/imports", show="refused"))
    assert "1 imports" in refused
    assert "may.csv" not in refused
    assert "may.csv" in text_of(web.get("/imports", fragment=True, search="MAY"))
    monkeypatch.setattr(page, "PAGE_IMPORTS", 2)
    (before,) = re.findall(r'href="/imports\?before=([^"]+)"', web.get("/imports").text)
    assert "1 imports" in text_of(web.get("/imports", before=before.replace("%3A", ":").replace("%2B", "+")))
    for odd in ("x", "2026-01-01_", "2026-01-01T00:00_00000000-0000-0000-0000-000000000000"):
        assert web.get("/imports", before=odd, show=odd, search=odd[:1]).status_code == 200
    monkeypatch.setattr(page, "ROWS_OF_A_BAR", 1)
    later = web.get(f"/imports/{first}")
    assert f'hx-get="/imports/{first}/bar"' in later.text
    assert text_of(web.get(f"/imports/{first}/bar", fragment=True)).endswith("in force 1 bad rows 1")


def test_links_of_health_lead_to_the_imports_concerned(services: Services, web: WebClient) -> None:
    query(
        services,
        "INSERT INTO import_tasks (import_id, source, status, completed_at) VALUES"
        " (gen_random_uuid(), '/inbox/a.csv', 'completed', now()), (gen_random_uuid(), '/b.csv', 'completed', now())",
    )
    query(
        services,
        "INSERT INTO import_findings (import_id, code, subject, row_count) SELECT import_id, 'DISAGREEING_ROWS',"
        " 'amount', 1 FROM import_tasks WHERE source = '/inbox/a.csv'",
    )
    shown = text_of(web.get("/imports", show="disagreeing"))
    assert "Rows of one order disagree" in shown
    assert "a.csv" in shown
    assert "b.csv" not in shown
    assert "Rows of one order disagree" not in text_of(web.get("/imports"))
    for choice in ("columns", "statuses", "waiting"):
        assert "No such imports" in text_of(web.get("/imports", show=choice))


def test_one_import_shows_its_details(services: Services, web: WebClient, tmp_path: Path) -> None:
    one = land(services, tmp_path / "may.csv", "p,s,1,kim,5,2026-01-01,Mug", "p,s,2,kim,x,2026-01-01,Mug")
    waiting = text_of(web.get(f"/imports/{one}"))
    assert "not processed yet 2" in waiting
    run_at_once(services.database)
    shown = web.get(f"/imports/{one}")
    assert "Amount can't be read 1 0" in text_of(shown)
    assert "Correct bad rows" in text_of(shown)
    assert "Order number order_id" in text_of(shown)
    assert str(one) not in text_of(shown)
    assert web.get("/imports/00000000-0000-0000-0000-000000000000").status_code == 404
    assert web.get("/imports/x").status_code == 404


def test_an_upload_is_looked_at_first_then_imported_and_reverted(services: Services, web: WebClient) -> None:
    before = everything(services)
    uploaded = upload(web, "C:\\exports\\..\\may <b>.csv", GOOD)
    assert "The file is being read" in text_of(uploaded)
    preview = web.get(f"{uploaded.url.path}/preview", fragment=True)
    said = text_of(preview)
    assert "New orders 1" in said
    assert "Bad rows 1" in said
    assert "New shops: Maple (etsy)" in said
    assert "Amount can't be read 1 line 3: amount five" in said
    assert everything(services) == before
    done = web.post(f"{uploaded.url.path}/import")
    assert "1 order was imported. 1 row is bad, and waits for a correction." in text_of(done)
    assert done.url.path.startswith("/imports/")
    assert "may b.csv" in text_of(done)
    assert "in force 1 bad rows 1" in text_of(done)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 1
    assert web.post(f"{uploaded.url.path}/import").status_code == 404
    assert web.get(uploaded.url.path).status_code == 404
    import_id = done.url.path.rpartition("/")[2]
    effects = text_of(web.get(f"/imports/{import_id}/revert"))
    assert "1 stored order comes from this import. It belongs to 1 lead." in effects
    assert "1 order was new with it" in effects
    assert "Write a reason" in text_of(web.post(f"/imports/{import_id}/revert", {"reason": ""}))
    assert scalar(services, "SELECT count(*) FROM orders") == 1
    reverted = text_of(web.post(f"/imports/{import_id}/revert", {"reason": "by mistake"}))
    assert "Reverted: all figures are as if it had never come." in reverted
    assert (
        scalar(services, "SELECT count(*) FROM orders") + scalar(services, "SELECT count(*) FROM business_leads") == 0
    )
    (done_by,) = query(services, "SELECT user_name FROM user_actions WHERE action = 'imports revert'")
    assert f"Reverted by {done_by['user_name']}, " in reverted
    assert " – by mistake" in reverted
    log = web.get("/actions")
    assert "Import reverted" in text_of(log)
    assert f'<a href="/imports/{import_id}">may b.csv</a>' in log.text
    assert "somebody has done it before" in text_of(web.post(f"/imports/{import_id}/revert", {"reason": "again"}))
    assert "2 orders of the file count again." in text_of(web.get(f"/imports/{import_id}/restore"))
    web.post(f"/imports/{import_id}/restore", {"reason": "no mistake"})
    assert scalar(services, "SELECT count(*) FROM orders") == 1
    assert "somebody has done it before" in text_of(web.post(f"/imports/{import_id}/accept", {"reason": "x"}))
    actions = query(services, "SELECT action, after ->> 'reason' AS reason FROM user_actions ORDER BY action_id")
    assert [tuple(one.values()) for one in actions] == [
        ("import", None), ("imports revert", "by mistake"), ("imports restore", "no mistake"),
    ]  # fmt: skip


def test_a_preview_says_first_what_matters_and_folds_differences_from_other_files(
    services: Services, web: WebClient, tmp_path: Path
) -> None:
    land(services, tmp_path / "before.csv", "etsy,Maple,A1,Ann,5,2026-01-01,Mug*2")
    run_at_once(services.database)
    content = b"platform,shop,order_id,customer,amount,ordered_at\netsy,Maple,A2,Bob,5,2026-01-02\n"
    preview = web.get(f"{upload(web, 'may.csv', content).url.path}/preview", fragment=True)
    said = text_of(preview)
    assert "1 order has no customer, and belongs to no lead." in said
    assert "Columns that are not understood, and only kept: customer." in said
    assert preview.text.count("message--warning") == 2
    assert "Other columns than in the last import of this kind (" in said


def test_options_of_the_form_are_used(services: Services, web: WebClient) -> None:
    content = b"order_id,customer_name,amount,items\n1,kim,5,Mug\n"
    uploaded = upload(web, "a.csv", content)
    assert "shop" in text_of(web.get(f"{uploaded.url.path}/preview")).lower()
    assert "There is no time zone Mars" in text_of(web.post(f"{uploaded.url.path}/options", {"timezone": "Mars"}))
    assert "There is no currency bogus" in text_of(web.post(f"{uploaded.url.path}/options", {"currency": "bogus"}))
    options = {
        "shop": "<i>Oak",
        "platform": "etsy",
        "currency": "EUR",
        "preset": "generic",
        "timezone": "Asia/Shanghai",
    }
    changed = web.post(f"{uploaded.url.path}/options", options)
    preview = web.get(f"{changed.url.path}/preview")
    assert "New shops: <i>Oak (etsy)" in text_of(preview)
    assert "<i>Oak" not in preview.text
    assert "€5.00" in text_of(preview)
    web.post(f"{changed.url.path}/import")
    assert query(services, "SELECT platform, shop_name, timezone FROM shop_configs") == [
        {"platform": "etsy", "shop_name": "<i>Oak", "timezone": "Asia/Shanghai"}
    ]
    unknown = upload(web, "a.csv", content, preset="nonsense")
    assert "nonsense" in text_of(web.get(f"{unknown.url.path}/preview"))


def zipped(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.csv", content)
    return target.getvalue()


def test_every_file_of_an_archive_is_previewed_and_imported(services: Services, web: WebClient) -> None:
    bad = b"what,is\n1,2\n"
    uploaded = upload(web, "all.zip", zipped(may=GOOD, june=GOOD.replace(b"A1", b"B1"), odd=bad))
    said = text_of(web.get(f"{uploaded.url.path}/preview"))
    assert "all.zip/may.csv" in said
    assert "all.zip/odd.csv: its headers fit none of the presets" in said
    done = web.post(f"{uploaded.url.path}/import")
    assert "Not everything was imported: all.zip/odd.csv" in text_of(done)
    assert done.url.path == "/imports"
    assert scalar(services, "SELECT count(*) FROM import_tasks WHERE status = 'completed'") == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("a.exe", b"MZ", "This kind of file can't be read.", id="another kind"),
        pytest.param("a.csv", b"", "The file is empty.", id="empty"),
        pytest.param("", GOOD, "No file was chosen.", id="no name"),
    ],
)
def test_a_file_that_is_none_is_refused_at_once(
    services: Services, web: WebClient, name: str, content: bytes, said: str
) -> None:
    response = upload(web, name, content)
    assert said in text_of(response)
    assert not list((services.settings.home / "uploads").glob("*"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("a.zip", zipped(bomb=b"0" * (64 << 20)), "it unpacks to more than its size allows", id="zip bomb"),
        pytest.param("a.xlsx", b"\x00\x01\x02" * 99, "a.xlsx", id="no workbook"),
        pytest.param("a.csv", b"a,b\n<script>,2\n", "its headers fit none of the presets", id="other headers"),
        pytest.param("a.csv", b"quarantine_id,amount\n1,2\n", "it is an export of quarantine", id="corrections"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why_and_changes_nothing(
    services: Services, web: WebClient, name: str, content: bytes, said: str
) -> None:
    before = everything(services)
    uploaded = upload(web, name, content)
    preview = web.get(f"{uploaded.url.path}/preview", fragment=True)
    assert said in text_of(preview)
    assert "Import" not in re.findall(r"<button[^>]*>([^<]*)", preview.text)
    assert str(services.settings.home) not in preview.text
    assert everything(services) == before
    assert "was discarded" in text_of(web.post(f"{uploaded.url.path}/discard"))
    assert not list((services.settings.home / "uploads").glob("*"))


def test_an_upload_beyond_the_limit_is_refused(services: Services) -> None:
    from etl_assets_tests.helpers.web import WebClient  # noqa: PLC0415  # with other settings

    services.database.settings = services.settings.model_copy(update={"web_upload_mb": 1})
    response = upload(WebClient(services), "a.csv", GOOD + b" " * (1 << 20))
    assert response.status_code == 413
    assert "That is too large" in text_of(response)
    assert not (services.settings.home / "uploads").exists()


def test_uploads_belong_to_their_user_are_limited_and_removed_after_a_day(
    services: Services, web: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = upload(web, "a.csv", GOOD)
    token = uploaded.url.path.rpartition("/")[2]
    uploads = Uploads(services.settings.home)
    assert uploads.find(token, "somebody else") is None
    assert uploads.find("../" + token[:19], "root") is None
    monkeypatch.setattr(uploads_module, "MOST_WAITING", 1)
    assert "Too many uploads wait" in text_of(upload(web, "b.csv", GOOD))
    yesterday = time.time() - uploads_module.KEPT_SECONDS - 1
    os.utime(uploads.folder / token, (yesterday, yesterday))
    web.get("/imports")
    assert not (uploads.folder / token).exists()
    assert web.get(uploaded.url.path).status_code == 404


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("a file, no folder")
    with pytest.raises(UploadError, match="The file can't be kept: a part of the path is a file"):
        Uploads(tmp_path).add(None, "kim", Options(), (".csv",))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\temp\\订单 5月.xlsx", "订单 5月.xlsx"),
        (".hidden.csv", "hidden.csv"),
        ("a\0\nb|<>.csv", "ab.csv"),
        ("...", "file"),
        ("x" * 300 + ".csv", "x" * 146 + ".csv"),
        ("订" * 100 + ".csv", "订" * 48 + ".csv"),
    ],
)
def test_names_of_uploads_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_refused_file_is_dismissed_with_a_reason(services: Services, web: WebClient, tmp_path: Path) -> None:
    failed = record_failed_import(services.database, tmp_path / "a.csv", EtlError("It is broken."))
    address = f"/imports/{failed.import_id}"
    assert "Write a reason" in text_of(web.post(f"{address}/dismiss", {"reason": ""}))
    assert "Nothing of the file was imported" in text_of(web.post(f"{address}/dismiss", {"reason": "a test"}))
    assert "Dismissed: a test" in text_of(web.get(address))
    assert "somebody has done it before" in text_of(web.post(f"{address}/dismiss", {"reason": "a test"}))
    assert "No such imports" in text_of(web.get("/imports", show="refused"))


def test_a_held_import_is_accepted_once_its_effects_were_shown(
    services: Services, web: WebClient, tmp_path: Path
) -> None:
    services.database.settings = services.settings.model_copy(update={"brake_rows": 1, "brake_share": 0.1})
    rows = [f"p,s,{at},kim{at},5,2026-01-01,Mug" for at in range(5)]
    land(services, tmp_path / "a.csv", *rows)
    run_at_once(services.database)
    held = land(
        services, tmp_path / "b.csv", *(row.replace("kim", "").replace("2026-01-01", "2026-02-01") for row in rows)
    )
    query(services, "UPDATE raw_orders SET customer_name = NULL WHERE raw_id > 5")
    run_at_once(services.database)
    assert "b.csv" in text_of(web.get("/imports", show="held"))
    assert "5 of 5 orders lose customer, amount or time." in text_of(web.get(f"/imports/{held}/accept"))
    assert "Accepted: its orders count now." in text_of(web.post(f"/imports/{held}/accept", {"reason": "right"}))
    assert scalar(services, "SELECT count(*) FROM orders WHERE customer_nickname IS NULL") == 5


def test_much_work_is_left_to_a_run_that_is_started_on_request(
    services: Services, web: WebClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

        def poll(self) -> None:
            return None

        def wait(self) -> int:
            return 0

    land(services, tmp_path / "a.csv", "p,s,1,kim,5,2026-01-01,Mug")
    monkeypatch.setattr(processing, "ROWS_AT_ONCE", 0)
    monkeypatch.setattr(processing, "run_at_once", lambda _: RunAtOnce(1, is_left=True))
    monkeypatch.setattr(processing, "BACKGROUND_RUN", processing.BackgroundRun())
    monkeypatch.setattr("etl_assets.web.pages.import_changes.BACKGROUND_RUN", processing.BACKGROUND_RUN)
    monkeypatch.setattr("etl_assets.web.pages.imports.BACKGROUND_RUN", processing.BACKGROUND_RUN)
    monkeypatch.setattr("subprocess.Popen", Process)
    assert "1 rows are not processed yet" in text_of(web.get("/imports"))
    assert "A run was started." in text_of(web.post("/imports/run"))
    assert "A run is under way." in text_of(web.get("/imports"))
    assert "A run is under way already." in text_of(web.post("/imports/run"))
    assert [command[1:] for command in started] == [["run", "--json"]]


def test_while_other_files_are_read_an_upload_waits(web: WebClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_page, "_SECONDS_TO_WAIT", 0.01)
    monkeypatch.setattr(uploads_page._READING, "acquire", lambda timeout: False)
    uploaded = upload(web, "a.csv", GOOD)
    assert "Other files are being read" in text_of(web.get(f"{uploaded.url.path}/preview"))
