"""Browser sessions: a random id in a signed cookie, and the CSRF token that belongs to it.

Every browser has a session, before log-in too, since the log-in form needs a CSRF token as well.
"""

from __future__ import annotations

import secrets
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from itsdangerous import BadSignature, Signer, TimestampSigner

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

COOKIE: Final = "etl_session"
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"


class Sessions:
    """Sessions signed with one key."""

    def __init__(self, key: bytes, *, hours: int) -> None:
        self._seconds = hours * 3600
        self._cookie_signer = TimestampSigner(key, salt="session")
        self._csrf_signer = Signer(key, salt="csrf")

    def read(self, request: Request) -> str | None:
        """Return the id of the request's session; None if there is none, or its cookie is forged or too old."""
        cookie = request.cookies.get(COOKIE)
        if cookie is None:
            return None
        try:
            return self._cookie_signer.unsign(cookie, max_age=self._seconds).decode()
        except BadSignature:
            return None

    def new_id(self) -> str:
        """Return a random id."""
        return secrets.token_urlsafe(32)

    def cookie(self, session_id: str) -> str:
        """Return the cookie of a session."""
        return self._cookie_signer.sign(session_id).decode()

    def write(self, request: Request, response: Response, session_id: str) -> None:
        """Set the cookie of a session."""
        response.set_cookie(
            COOKIE,
            self.cookie(session_id),
            max_age=self._seconds,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )

    def csrf_token(self, session_id: str) -> str:
        """Return the CSRF token of a session."""
        return self._csrf_signer.get_signature(session_id).decode()

    def is_csrf_token(self, session_id: str, token: str) -> bool:
        """Return whether a token belongs to a session; compares in constant time."""
        return compare_digest(self.csrf_token(session_id).encode(), token.encode())
