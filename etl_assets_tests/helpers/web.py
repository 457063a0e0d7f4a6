"""The web page in process: a client that keeps cookies, sends CSRF tokens, and reads pages as their users do."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cache
from html import unescape
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.testclient import TestClient

from etl_assets.web.app import create_app
from etl_assets.web.permissions import Role
from etl_assets.web.security.passwords import hash_password
from etl_assets.web.security.sessions import COOKIE
from etl_assets.web.security.users import add_user, list_users, start_session
from etl_assets.web.server import listening_socket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from httpx import Response

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings
    from etl_assets.web.language import Language

ADDRESS: Final = "http://127.0.0.1:3001"
PASSWORD: Final = "correct horse battery"  # noqa: S105  # of users in tests
_TOKEN: Final = re.compile(r'<meta name="csrf-token" content="([^"]+)"')
_UNSEEN: Final = re.compile(r"<(head|script|style)\b.*?</\1>|<[^>]+>", re.DOTALL)


class WebClient:
    """Browser of one user; without users set up, that is the administrator of this machine.

    Args:
        services: lead to the test's database.
        language: the browser's.
        role: logs in a user of this role, who has its name; None: nobody is logged in.
        settings: other settings than those of `services`.
        client: the address that the requests come from.
        url: the address that they are sent to.
    """

    def __init__(
        self,
        services: Services,
        language: Language = "en",
        *,
        role: Role | str | None = None,
        settings: Settings | None = None,
        client: str = "127.0.0.1",
        url: str = ADDRESS,
    ) -> None:
        self.services = services
        self.app = create_app(settings or services.database.settings, services.database)
        headers: dict[str, str] = {"Accept-Language": language}
        self.http = TestClient(self.app, url, client=(client, 50000), headers=headers, raise_server_exceptions=False)
        if role is not None:
            self._start_session(Role(role))

    def get(self, path: str, *, fragment: bool = False, **query: object) -> Response:
        """Load a page, or what htmx asks for; redirects are followed."""
        headers = {"HX-Request": "true"} if fragment else {}
        response: Response = self.http.get(path, params=_without_none(query) or None, headers=headers)
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

    def log_in(self, name: str, password: str = PASSWORD) -> Response:
        """Log in by the form."""
        return self.post("/login", {"name": name, "password": password})

    @property
    def csrf_token(self) -> str:
        """The token of the session, as a page has it."""
        found = _TOKEN.search(self.http.get("/login").text)
        assert found, "the page has no CSRF token"
        return found[1]

    def _start_session(self, role: Role) -> None:
        sessions = self.app.state.web.sessions
        session_id = sessions.new_id()
        with self.services.database.transaction() as connection:
            if role not in {user["user_name"] for user in list_users(connection)}:
                add_user(connection, role, role, None)
            start_session(connection, session_id, role, hours=1)
        self.http.cookies.set(COOKIE, sessions.cookie(session_id), domain="127.0.0.1")


@contextmanager
def served(services: Services) -> Iterator[str]:
    """Serve the web page by uvicorn in a thread, for a real browser; yields its address."""
    with listening_socket("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            create_app(services.database.settings, services.database), lifespan="off", log_level="warning"
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@cache
def password_hash() -> str:
    """The hash of `PASSWORD`, computed once: it takes a tenth of a second."""
    return hash_password(PASSWORD)


def set_up_user(services: Services, name: str, role: Role | str) -> None:
    """Add a user with `PASSWORD`."""
    with services.database.transaction() as connection:
        add_user(connection, name, Role(role), password_hash())


def text_of(response: Response) -> str:
    """What is to be read on a page: without tags, each run of white space as one blank."""
    return " ".join(unescape(_UNSEEN.sub(" ", response.text)).split())


def _without_none(query: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
