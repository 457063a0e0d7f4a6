"""The web page's frame: navigation, languages, static files, messages, error pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from etl_assets.web.downloads import TURNS, Download
from etl_assets_tests.helpers.web import text_of

if TYPE_CHECKING:
    from collections.abc import Generator, MutableMapping

    from etl_assets_tests.helpers.web import WebClient

PAGES = ("/leads", "/orders", "/bad-rows", "/imports", "/health")


def test_the_first_page_shows_the_leads(web: WebClient) -> None:
    response = web.get("/")
    assert response.status_code == 200
    assert response.url.path == "/leads"


def test_each_page_of_the_navigation_is_there_and_marked_as_current(web: WebClient) -> None:
    for path in PAGES:
        response = web.get(path)
        assert response.status_code == 200
        assert f'href="{path}" aria-current="page"' in response.text


def test_the_chosen_language_is_kept(web: WebClient) -> None:
    assert "商机" not in text_of(web.get("/leads"))
    response = web.post("/language", {"language": "zh", "next": "/leads?stage=OPEN"})
    assert response.url.path == "/leads"
    assert response.url.query == b"stage=OPEN"
    assert "商机" in text_of(response)
    assert '<html lang="zh-Hans">' in web.get("/orders").text


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("en-GB,zh;q=0.5", "en"),
        ("fr,zh;q=0.1", "zh-Hans"),
        ("fr", "en"),
        (";q=x", "en"),
    ],
)
def test_the_browsers_first_known_language_is_taken(web: WebClient, accepted: str, language: str) -> None:
    response = web.http.get("/leads", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in response.text


def test_static_files_have_addresses_that_change_with_their_content(web: WebClient) -> None:
    page = web.get("/leads").text
    address = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    response = web.http.get(address)
    assert response.headers["content-type"].startswith("text/css")
    assert "immutable" in response.headers["cache-control"]


def test_a_page_that_does_not_exist_says_so(web: WebClient) -> None:
    response = web.get("/nowhere")
    assert response.status_code == 404
    assert "There is no such page" in text_of(response)


@pytest.mark.parametrize("end", ["read", "head", "disconnect"])
def test_a_download_gives_back_what_it_holds_however_it_ends(end: str) -> None:
    events: list[str] = []
    gone = anyio.Event()

    def chunks() -> Generator[bytes]:
        events.append("begun")
        try:
            for _ in range(3):
                yield b"x"
        finally:
            events.append("closed")

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message.get("body") == b"x":
            events.append("sent")
            if end == "disconnect":
                gone.set()
                await anyio.sleep_forever()

    parts = chunks()
    if end == "head":
        next(parts)  # as a query that begins before the response
    assert TURNS.acquire(blocking=False), "each download before has released its turn"
    download = Download(parts, media_type="text/csv", file_name="x.csv")
    scope = {"type": "http", "method": "HEAD" if end == "head" else "GET", "asgi": {"spec_version": "2.3"}}
    anyio.run(download, scope, receive, send)
    assert events == ["begun", *{"read": ["sent"] * 3, "head": [], "disconnect": ["sent"]}[end], "closed"]


def test_an_unforeseen_error_is_a_page_and_its_text_reaches_no_log(
    web: WebClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        msg = "Failing row contains (Anna Keller)."
        raise ValueError(msg)

    monkeypatch.setattr("etl_assets.web.pages.orders.render", fail)
    response = web.get("/orders")
    assert response.status_code == 500
    assert "Look whether it was done" in text_of(response)
    logged = "".join(record.getMessage() + str(record.exc_info) for record in caplog.records)
    assert "ValueError" in logged
    assert "orders.py" in logged
    assert "Anna" not in logged + response.text
