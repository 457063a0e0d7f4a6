"""Leads in a real browser: one is found by name, its stage set, and seen in the table and in the history."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Final

import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

from etl_assets.web.app import create_app
from etl_assets.web.server import listening_socket
from etl_assets_tests.helpers.pipeline import land, raw_fields, run_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from etl_assets.pipeline.protocol import Services

CHROMIUM: Final = shutil.which("chromium")
MISSING: Final = "chromium is not installed (Debian: apt-get install chromium)"
PATIENCE_SECONDS: Final = 60
expect.set_options(timeout=PATIENCE_SECONDS * 1000)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("ETL_TEST_REQUIRE_SERVERS"), reason=MISSING),
]


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    """The web page of the test's database, served from a thread."""
    app = create_app(services.database.settings, services.database)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with listening_socket("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a new browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(locale="en-US")
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield context.new_page()
        browser.close()


def test_a_lead_is_found_by_name_and_its_stage_is_set(services: Services, address: str, page: Page) -> None:
    names = enumerate(("Ann Smith", "Bob", "张三丰"))
    land(services, [raw_fields(str(n), customer_name=name, amount="10", currency="CNY") for n, name in names])
    run_all(services)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(f"{address}/leads")
    page.get_by_label("Customer or order number").fill("ann")
    expect(page.get_by_text("1 lead", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Bob")).to_have_count(0)
    page.get_by_label("Select Ann Smith").check()
    page.get_by_role("button", name="Set stage").click()
    dialog = page.get_by_role("dialog", name="Set stage")
    dialog.get_by_label("New stage").select_option("Won")
    dialog.get_by_label("Note").fill("paid in full")
    dialog.get_by_role("button", name="Set stage").click()
    expect(page.get_by_text("1 lead was changed.")).to_be_visible()
    expect(page.get_by_role("row", name="Ann Smith")).to_contain_text("Won")
    page.get_by_role("link", name="Ann Smith").click()
    expect(page.get_by_text("set the stage: OPEN → WON (paid in full)")).to_be_visible()
    assert problems == []
