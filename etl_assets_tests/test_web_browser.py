"""The web page in a real browser: log-in in each role, both languages, no serious fault of accessibility."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from etl_assets.web.app import page_routes
from etl_assets.web.permissions import PERMISSIONS_OF, Permission, Role
from etl_assets_tests.helpers.web import PASSWORD, served, set_up_user
from etl_assets_tests.test_browser import ARGUMENTS, CHROMIUM, MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from etl_assets.pipeline.protocol import Services

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("ETL_TEST_REQUIRE_SERVERS"), reason=MISSING),
]

AXE: Final = (Path(__file__).parent / "data" / "axe.min.js").read_text(encoding="utf-8")
SERIOUS: Final = {"serious", "critical"}
LOOKS: Final[tuple[tuple[str, Literal["light", "dark"], int], ...]] = (
    ("en-GB", "light", 1280),
    ("zh-CN", "dark", 1280),
    ("zh-CN", "light", 390),
)
"""Languages, colour schemes and widths of the window."""
LOG_OUT: Final = {"en-GB": "Log out", "zh-CN": "退出登录"}
HEADINGS: Final = {"en-GB": "Leads", "zh-CN": "商机"}


@pytest.fixture
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, MISSING
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


def test_each_role_logs_in_in_both_languages_and_sees_what_it_may(
    services_with_rows: Services, browser: Browser
) -> None:
    for role in Role:
        set_up_user(services_with_rows, role, role)
    with served(services_with_rows) as url:
        for number, role in enumerate(Role):
            language = ("en-GB", "zh-CN")[number % 2]
            page = browser.new_page(locale=language)
            faults = watch(page)
            page.goto(f"{url}/health")
            log_in(page, role)
            expect(page).to_have_url(f"{url}/health")
            page.goto(f"{url}/leads")
            expect(page.get_by_role("heading", level=1)).to_have_text(HEADINGS[language])
            page.locator("details.menu summary").click()
            is_admin = Permission.ADMINISTER in PERMISSIONS_OF[role]
            expect(page.locator("a[href='/actions']")).to_have_count(int(is_admin))
            page.get_by_role("button", name=LOG_OUT[language]).click()
            expect(page).to_have_url(f"{url}/login")
            page.goto(f"{url}/leads")
            expect(page.locator("input[name=password]")).to_be_visible()
            assert faults == []
            page.close()


def test_no_page_has_a_serious_fault_of_accessibility(services_with_rows: Services, browser: Browser) -> None:
    """Walks all pages: those of the routes, and of each route with parameters the first that a page links to."""
    patterns = [
        re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route.path))
        for route in page_routes()
        if "GET" in route.methods and "{" in route.path
    ]
    plain = [route.path for route in page_routes() if "GET" in route.methods and "{" not in route.path]
    set_up_user(services_with_rows, "admin", Role.ADMIN)
    with served(services_with_rows) as url:
        for language, scheme, width in LOOKS:
            context = browser.new_context(
                locale=language, color_scheme=scheme, viewport={"width": width, "height": 900}
            )
            page = context.new_page()
            faults = watch(page)
            page.goto(f"{url}/login")
            assert serious(page) == []
            log_in(page, "admin")
            walk(page, url, plain, patterns)
            assert faults == []
            context.close()


def test_a_serious_fault_would_be_noticed(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<html lang='en'><title>x</title><main><h1>x</h1><img src='data:,'><button></button></main>")
    assert {fault.partition(":")[0] for fault in serious(page)} == {"image-alt", "button-name"}


def walk(page: Page, url: str, paths: list[str], patterns: list[re.Pattern[str]]) -> None:
    """Look at all paths, and at the first link to each pattern."""
    waiting, left = list(paths), list(patterns)
    while waiting:
        path = waiting.pop(0)
        if page.request.head(f"{url}{path}").headers.get("content-type", "").startswith("text/html"):
            page.goto(f"{url}{path}")
            assert serious(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is too wide"
            shot(page, path)
            # At one moment: parts of a page are loaded, and replace others, after it.
            links = page.locator("main a[href^='/']").evaluate_all("links => links.map(a => a.getAttribute('href'))")
            for target in (urlsplit(link).path for link in links):
                for pattern in [one for one in left if one.fullmatch(target) and target not in paths]:
                    left.remove(pattern)
                    waiting.append(target)


def serious(page: Page) -> list[str]:
    """The serious faults that axe-core finds: rule and element."""
    page.evaluate(AXE)
    violations: list[dict[str, Any]] = page.evaluate("axe.run().then(result => result.violations)")
    return [f"{one['id']}: {node['html']}" for one in violations if one["impact"] in SERIOUS for node in one["nodes"]]


def log_in(page: Page, name: str) -> None:
    page.locator("input[name=name]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("form[action='/login'] button").click()


def watch(page: Page) -> list[str]:
    """What the browser complains of from now on: scripts that fail, and what the content security policy refuses."""
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    return faults


def shot(page: Page, path: str) -> None:
    """Keep a picture where `ETL_TEST_SCREENSHOTS` names a folder."""
    folder = os.environ.get("ETL_TEST_SCREENSHOTS")
    if folder:
        size, language = page.viewport_size, page.locator("html").get_attribute("lang")
        name = path.strip("/").replace("/", "-")[:60] or "home"
        page.screenshot(path=Path(folder) / f"{name}-{language}-{size and size['width']}.png", full_page=True)
