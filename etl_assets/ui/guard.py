"""Guards Dagster's UI, which obeys whatever page asks it: it answers to known names only, and to no page but its own.

A browser on the same machine is enough to reach a port of 127.0.0.1. A page that makes its own name point there is
stopped by the name (`Host`), any other by where it comes from (`Origin`, `Sec-Fetch-Site`). Programs that are no
browser send neither of the latter and pass. It asks for no password: that is for whoever lets other machines in.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
"""With any port, since a tunnel may end in another one; no foreign server says which address these are."""
GRAPHQL: Final = "/graphql"
"""The one path on which something can be changed."""
HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_LOG: Final = logging.getLogger("dagster.etl_assets.ui")

Refusal = tuple[int, str]


class PublicUrlError(EtlError):
    """ETL_PUBLIC_URL names no host."""


def guarded(app: ASGIApp, public_url: str | None) -> ASGIApp:
    """Put the guard before an application.

    Args:
        app: Dagster's webserver.
        public_url: where people reach it, if not on this machine only; its host is answered to as well.

    Raises:
        PublicUrlError: that URL names no host.
    """
    return TrustedHostMiddleware(OwnPagesOnly(app), allowed_hosts=allowed_hosts(public_url), www_redirect=False)


def allowed_hosts(public_url: str | None) -> list[str]:
    """The names that the UI answers to."""
    if not public_url:
        return list(LOOPBACK)
    try:
        host = urlsplit(public_url).hostname
    except ValueError:
        host = None
    if not host or "*" in host:
        msg = "ETL_PUBLIC_URL names no host. Write it as https://etl.example.com."
        raise PublicUrlError(msg)
    return [*LOOPBACK, f"[{host}]" if ":" in host else host]


class OwnPagesOnly:
    """Refuses what a page of another site may have sent, and whatever the UI itself does not need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed; answer anything else."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        refused = refusal(scope)
        if refused is None:
            await self.app(scope, receive, _with_headers(send))
            return
        status, reason = refused
        # Without its query, which may hold anything.
        _LOG.warning("Refused %s %.100r: %s", scope.get("method", "WebSocket"), scope["path"], reason)
        await PlainTextResponse(f"{reason}\n", status)(scope, receive, _with_headers(send))


def refusal(scope: Scope) -> Refusal | None:
    """The status and the reason to answer with; None where the request may pass."""
    headers = Headers(scope=scope)
    if _is_foreign(headers) and not _is_link_to_a_page(scope, headers):
        return 403, "The page of another site may not use this UI."
    is_graphql = scope["path"] == GRAPHQL
    if scope["type"] == "websocket":
        return None if is_graphql and "origin" in headers else (403, "A WebSocket is for this UI's own page only.")
    if not is_graphql:
        return None if scope["method"] in {"GET", "HEAD"} else (405, "This can only be read.")
    if scope["method"] != "POST":
        return 405, "GraphQL has to be sent by POST."
    # Dagster takes any other type for a query in the URL, which a form of any page could send.
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return None if media_type == "application/json" else (415, "GraphQL has to be sent as application/json.")


def _is_foreign(headers: Headers) -> bool:
    """Whether the browser says that the page of another host or port sent it, be it one of this machine."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
        return True
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}


def _is_link_to_a_page(scope: Scope, headers: Headers) -> bool:
    """Whether somebody follows a link, as those in notices, to what can only be read."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and scope["path"] != GRAPHQL
        and "origin" not in headers
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _with_headers(send: Send) -> Send:
    """No other page may show this one in a frame, or take its answers for scripts and pictures."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.append("Content-Security-Policy", "frame-ancestors 'none'")  # beside Dagster's own
        await send(message)

    return send_with_headers
