"""Bad rows and imports in a real browser: a row is corrected in place; a file looked at, imported and reverted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from etl_assets_tests.helpers.pipeline import scalar
from etl_assets_tests.helpers.web import served
from etl_assets_tests.test_browser import ARGUMENTS, CHROMIUM, MISSING
from etl_assets_tests.test_web_browser import shot, watch

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("ETL_TEST_REQUIRE_SERVERS"), reason=MISSING),
]

LEADS = "SELECT count(*) FROM business_leads"
UPLOAD = """platform,shop,order_id,customer_name,amount,currency,ordered_at,items
etsy,Maple,U1,<i>Ulla,19.90,EUR,2026-01-05 10:00,Mug*2
etsy,Maple,U2,Udo,twenty,EUR,2026-01-06 11:00,Cap
"""


def test_a_row_is_corrected_and_a_file_is_uploaded_imported_and_reverted(
    services_with_rows: Services, tmp_path: Path
) -> None:
    before = scalar(services_with_rows, LEADS)
    export = tmp_path / "may.csv"
    export.write_text(UPLOAD, encoding="utf-8")
    assert CHROMIUM is not None, MISSING
    with sync_playwright() as playwright, served(services_with_rows) as url:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page(locale="en-GB")
        faults = watch(page)

        page.goto(f"{url}/bad-rows")
        expect(page.locator("mark.bad-cell")).to_have_text("not a number")
        page.get_by_role("link", name="3", exact=True).click()
        shot(page, "bad-row")
        page.get_by_label("Amount", exact=True).fill("7.50")
        page.get_by_role("button", name="Correct and run again").click()
        expect(page.locator(".message--success")).to_contain_text("Loaded: the order is as this row says.")
        assert scalar(services_with_rows, LEADS) == before + 1
        page.get_by_role("link", name="Lead of Ben").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Ben")

        page.goto(f"{url}/imports")
        page.get_by_role("link", name="Upload a file").click()
        page.locator("input[type=file]").set_input_files(export)
        page.get_by_role("button", name="Upload and look at it").click()
        expect(page.get_by_role("heading", name="What the import would do")).to_be_visible()
        expect(page.locator("#preview")).to_contain_text("line 3: amount twenty")
        shot(page, "preview")
        assert scalar(services_with_rows, LEADS) == before + 1
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.locator(".message--success")).to_contain_text("1 order was imported. 1 row is bad")
        assert scalar(services_with_rows, LEADS) == before + 2

        page.get_by_role("link", name="Revert…").click()
        expect(page.locator("main")).to_contain_text("1 stored order comes from this import. It belongs to 1 lead.")
        page.get_by_label("Reason").fill("by mistake")
        page.get_by_role("button", name="Revert", exact=True).click()
        expect(page.locator(".message--success")).to_contain_text("Reverted")
        assert scalar(services_with_rows, LEADS) == before + 1
        assert faults == []
        browser.close()
