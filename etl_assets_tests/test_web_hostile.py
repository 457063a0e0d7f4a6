"""Hostile texts in every field of every form: what the pages offer is found by walking them, later pages included."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from etl_assets.database.schema import metadata
from etl_assets.web.app import page_routes
from etl_assets_tests.helpers.web import WebClient

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

pytestmark = pytest.mark.slow

HOSTILE: Final = (
    "<script>alert('x')</script>",
    "\"'; DROP TABLE orders; --",
    "%' OR '1'='1",
    '=HYPERLINK("http://evil.example")',
    "99999999999999999999",
    "NaN",
    "-1",
    "2026-02-31",
    "\u202e\ud7ff😀" * 50,
    "../../etc/passwd",
)
LATER: Final = {"/login", "/logout", "/language"}
"""Forms of every page, tried by tests of their own."""


class Offers(HTMLParser):
    """Forms and links of a page: fields by the address that they are sent to."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.gets: dict[str, set[str]] = {}
        self.posts: dict[str, dict[str, str]] = {}
        self.links: set[str] = set()
        self._form: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = (values.get("method", "get").lower(), urlsplit(values.get("action") or self.path).path)
        elif tag == "a" and values.get("href", "").startswith("/"):
            link = urlsplit(values["href"])
            self.links.add(link.path)
            self.gets.setdefault(link.path, set()).update(parse_qs(link.query))
        elif tag in {"input", "select", "textarea", "button"} and values.get("name"):
            method, action = values.get("formmethod", self._form and self._form[0]), self._form and self._form[1]
            action = values.get("formaction", action) or self.path
            if method == "post":
                self.posts.setdefault(action, {})[values["name"]] = values.get("value", "")
            else:
                self.gets.setdefault(action, set()).add(values["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None


def offers(web: WebClient) -> Offers:
    """What all pages offer together: those of routes, and one of each kind that they link to."""
    paths = [route.path for route in page_routes() if "GET" in route.methods and "{" not in route.path]
    kinds = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route.path)) for route in page_routes() if "{" in route.path]
    found = Offers("/")
    while paths:
        found.path = paths.pop()
        response = web.get(found.path)
        if response.headers.get("content-type", "").startswith("text/html"):
            found.feed(response.text)
            for kind in [one for one in kinds if any(one.fullmatch(link) for link in found.links)]:
                kinds.remove(kind)
                paths.append(next(link for link in sorted(found.links) if kind.fullmatch(link)))
    return found


@pytest.fixture
def web_with_rows(services_with_rows: Services) -> WebClient:
    return WebClient(services_with_rows)


def test_hostile_texts_in_each_filter_find_nothing_and_break_nothing(web_with_rows: WebClient) -> None:
    fields = {(path, name) for path, names in offers(web_with_rows).gets.items() for name in names}
    assert ("/actions", "user_name") in fields
    for path, name in sorted(fields):
        for text in HOSTILE:
            response = web_with_rows.get(f"{path}?{urlencode({name: text})}")
            assert response.status_code < 500, (path, name, text)
            assert "<script>alert" not in response.text, (path, name)


def test_hostile_texts_in_each_form_break_nothing(web_with_rows: WebClient) -> None:
    forms = offers(web_with_rows).posts
    for path, fields in sorted(forms.items()):
        if path not in LATER:
            for name in sorted(fields.keys() - {"csrf_token"}):
                for text in HOSTILE:
                    response = web_with_rows.post(path, {**fields, name: text})
                    assert response.status_code < 500, (path, name, text)
                    assert "<script>alert" not in response.text, (path, name)
    with web_with_rows.services.database.transaction() as connection:
        assert set(metadata.tables) <= set(sa.inspect(connection).get_table_names(schema="etl"))
