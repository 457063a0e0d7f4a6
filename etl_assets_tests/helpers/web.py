"""The web page in process: a client that keeps cookies, sends CSRF tokens, and reads pages as their users do."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any, Final

from starlette.testclient import TestClient

from etl_assets.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx import Response

    from etl_assets.pipeline.protocol import Services
    from etl_assets.web.language import Language

ADDRESS: Final = "http://127.0.0.1:3001"
_TOKEN: Final = re.compile(r'<meta name="csrf-token" content="([^"]+)"')
_UNSEEN: Final = re.compile(r"<(head|script|style)\b.*?</\1>|<[^>]+>", re.DOTALL)


class WebClient:
    """Browser of one user; without users set up, that is the administrator of this machine.

    Each test may change the database before a request: nothing is cached between requests.
    """

    def __init__(self, services: Services, language: Language = "en") -> None:
        app = create_app(services.database.settings, services.database)
        headers: dict[str, str] = {"Accept-Language": language}
        self.http = TestClient(app, ADDRESS, client=("127.0.0.1", 50000), headers=headers)

    def get(self, path: str, *, fragment: bool = False, **query: object) -> Response:
        """Load a page, or what htmx asks for; redirects are followed."""
        headers = {"HX-Request": "true"} if fragment else {}
        response: Response = self.http.get(path, params=_without_none(query), headers=headers)
        return response

    def post(
        self,
        path: str,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        *,
        fragment: bool = False,
    ) -> Response:
        """Send a form with the session's CSRF token; redirects are followed."""
        headers = {"HX-Request": "true"} if fragment else {}
        fields = {**(data or {}), "csrf_token": self.csrf_token}
        response: Response = self.http.post(path, data=fields, files=files, headers=headers)
        return response

    @property
    def csrf_token(self) -> str:
        """The token of the session, as a page has it."""
        found = _TOKEN.search(self.http.get("/health").text)
        assert found, "the page has no CSRF token"
        return found[1]


def text_of(response: Response) -> str:
    """What is to be read on a page: without tags, each run of white space as one blank."""
    return " ".join(unescape(_UNSEEN.sub(" ", response.text)).split())


def _without_none(query: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
