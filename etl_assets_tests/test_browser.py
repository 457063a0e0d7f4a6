"""Whole pipeline in a real browser: a file in the inbox becomes leads, and a bad row is corrected in the UI."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import psutil
import pytest
import sqlalchemy as sa
from playwright.sync_api import expect, sync_playwright

from etl_assets.asset_graph import TABLE_OF
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.run_requests import UNFINISHED
from etl_assets.quality.checks import CHECKS
from etl_assets_tests.helpers.alert_receivers import web_server
from etl_assets_tests.helpers.daemon import kill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.helpers.alert_receivers import Receiver

    Shot = Callable[[str], object]

PROJECT: Final = Path(__file__).resolve().parents[1]
CHROMIUM: Final = shutil.which("chromium")
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
MISSING: Final = "chromium is not installed (Debian: apt-get install chromium)"
PATIENCE_SECONDS: Final = 120
UNDER_WAY: Final = dg.RunsFilter(statuses=list(UNFINISHED))
expect.set_options(timeout=PATIENCE_SECONDS * 1000)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("ETL_TEST_REQUIRE_SERVERS"), reason=MISSING),
]

ORDERS: Final = """\
platform,shop,order_id,customer_name,order_status,order_type,amount,currency,ordered_at,items
etsy,North,1,Ann,paid,sample,10.50,EUR,2026-01-02 10:00:00,Mug*2
etsy,North,2,Ann,paid,proof,30,EUR,2026-01-03 10:00:00,Mug*5
etsy,North,3,Ann,paid,bulk,900,EUR,2026-01-09 10:00:00,Mug*200
taobao,刺绣厂,4,Ben,paid,sample,7,CNY,2026-01-03 11:00:00,Cap
taobao,刺绣厂,5,Cid,paid,bulk,not a number,CNY,2026-01-03 12:00:00,Cap*40
"""
MORE_ORDERS: Final = """\
platform,shop,order_id,customer_name,order_status,order_type,amount,currency,ordered_at,items
etsy,North,6,Dee,paid,bulk,55,EUR,2026-02-02 10:00:00,Mug*10
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The webhook that receives alerts."""
    with web_server() as receiver:
        monkeypatch.setenv("ETL_NOTIFY_WEBHOOK_URL", receiver.url)
        yield receiver


@pytest.fixture
def dagster_url(
    services: Services,
    receiver: Receiver,  # its address and the settings are in the environment
    tmp_path: Path,
) -> Iterator[str]:
    """An `etl-assets dev` of its own on the test's database, as `make dev` starts it; killed at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("etl-assets")), "dev", "--port", str(port)]
    with (tmp_path / "dagster.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(url), "the UI answers")
            yield url
        finally:
            started = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            _, left = psutil.wait_procs(started, PATIENCE_SECONDS)
            kill(left)
    assert [one.pid for one in left] == [], "it was killed, and what it started goes on"


@pytest.fixture
def shot(page: Page, tmp_path: Path) -> Shot:
    """Save a screenshot of the page under a name."""
    folder = Path(os.environ.get("ETL_TEST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: page.screenshot(path=folder / f"{name}.png")


@pytest.fixture
def page() -> Iterator[Page]:
    assert CHROMIUM is not None, MISSING
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1600, "height": 1300})
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield page
        browser.close()


def test_a_dropped_file_becomes_leads_and_a_bad_row_is_corrected_in_the_ui(
    services: Services, page: Page, dagster_url: str, receiver: Receiver, shot: Shot
) -> None:
    with services.database.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO order_type_mappings VALUES ('sample', 'SAMPLE'), ('proof', 'PROOF'), ('bulk', 'BULK')")
        )
    drop(services, "orders.csv", ORDERS)
    wait_until(lambda: leads_of(services) == {"Ann", "Ben"}, "the leads are there without a click")
    drop(services, "more.csv", MORE_ORDERS)
    wait_until(lambda: leads_of(services) == {"Ann", "Ben", "Dee"}, "the second file's lead is there")
    with open_instance(services.database.settings) as instance:
        wait_until(lambda: not instance.get_runs(UNDER_WAY), "the runs are over")

    the_graph_is_materialised(page, dagster_url, shot)
    leads_have_their_pictures(page, dagster_url, shot)
    the_checks_of_leads_have_passed(page, dagster_url, shot)
    the_bad_row_is_on_the_health_page(page, dagster_url, shot)

    bad = query(services, "SELECT quarantine_id FROM quarantine WHERE resolved_at IS NULL")[0]
    page.goto(f"{dagster_url}/locations/etl_assets/jobs/replay_quarantine/playground")
    correction = f'{{quarantine_id: {bad}, amount: "480"}}'
    type_configuration(page, f"ops:\n  replay_rows:\n    config:\n      corrections:\n        - {correction}\n")
    shot("correcting")
    page.get_by_role("button", name="Launch run").click()
    page.wait_for_url("**/runs/**")
    expect(page.get_by_text("RUN_SUCCESS")).to_be_visible()
    shot("corrected")
    wait_until(lambda: "Cid" in leads_of(services), "the corrected order's lead is there without another click")
    assert query(services, "SELECT resolution FROM quarantine") == ["replayed"]
    assert query(services, "SELECT CAST(amount AS int) FROM orders WHERE order_id = '5'") == [480]
    a_bad_file_turns_health_red_and_causes_an_alert(services, page, dagster_url, receiver, shot)


def a_bad_file_turns_health_red_and_causes_an_alert(
    services: Services, page: Page, url: str, receiver: Receiver, shot: Shot
) -> None:
    drop(services, "june.csv", "no,known,headers\n1,2,3\n")
    wait_until(lambda: "june.csv was refused" in [one["title"] for one in receiver.received], "an alert came")
    page.goto(f"{url}/assets/pipeline_health?view=checks")
    expect(page.get_by_text("imports_are_settled").first).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    shot("red-health")
    host, _, port = url.rpartition(":")
    page.goto(f"{host}:{int(port) + 1}/health")
    expect(page.get_by_role("heading", level=1)).to_contain_text("need")
    expect(page.get_by_text("Refused: june.csv.")).to_be_visible()
    shot("web-health")


def the_graph_is_materialised(page: Page, url: str, shot: Shot) -> None:
    page.goto(f"{url}/locations/etl_assets/asset-groups/order_to_lead")
    for asset in TABLE_OF:
        node = page.locator("foreignObject").filter(has=page.get_by_text(asset, exact=True))
        expect(node).to_contain_text("Materialized")
        expect(node).to_contain_text("Passed")
    shot("asset-graph")


def leads_have_their_pictures(page: Page, url: str, shot: Shot) -> None:
    page.goto(f"{url}/assets/leads")
    page.get_by_text("[Show Markdown]").first.click()
    funnel = page.locator("img[src^='data:image']").last
    expect(funnel).to_be_visible()
    assert funnel.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    shot("lead-funnel")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Plots").click()
    expect(page.locator("canvas").first).to_be_visible()
    page.locator("canvas").first.scroll_into_view_if_needed()
    shot("plots")


def the_checks_of_leads_have_passed(page: Page, url: str, shot: Shot) -> None:
    page.goto(f"{url}/assets/leads?view=checks")
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(sum(check.asset == "leads" for check in CHECKS))
    shot("checks")


def the_bad_row_is_on_the_health_page(page: Page, url: str, shot: Shot) -> None:
    page.goto(f"{url}/assets/pipeline_health")
    code, dialog = page.get_by_text("BAD_AMOUNT"), page.get_by_text("[Show Markdown]")
    expect(code.or_(dialog).first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^open_quarantine .* 1$"))).to_have_count(1)
    if dialog.count():  # a long page does not stand in the table
        dialog.first.click()
    expect(code.first).to_be_visible()
    shot("pipeline-health")


def type_configuration(page: Page, config: str) -> None:
    """Put a configuration into the launchpad's editor, which would indent keystrokes; wait until it is found valid."""
    editor = page.locator(".CodeMirror").first
    expect(editor).to_contain_text("replay_rows")
    editor.evaluate("(element, text) => element.CodeMirror.setValue(text)", config)
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.get_by_role("button", name="Launch run")).to_be_enabled()


def drop(services: Services, name: str, text: str) -> None:
    """Put a file into the inbox as a careful program does: under another name until it is complete."""
    folder = services.database.settings.inbox_folder
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    part.write_text(text, encoding="utf-8")
    part.rename(folder / name)


def leads_of(services: Services) -> set[str]:
    return set(
        query(services, "SELECT customer_nickname FROM business_leads JOIN customers USING (customer_global_id)")
    )


def query(services: Services, statement: str) -> list[Any]:
    with services.database.transaction() as connection:
        return list(connection.execute(sa.text(statement)).scalars())


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, f"not so after {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.25)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as response:  # noqa: S310  # our own
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
