"""Guard of Dagster's UI: ASGI middleware against requests from other web pages (CSRF, DNS rebinding).

Hazard: Dagster's webserver executes requests of any page, and a browser on the same machine can reach 127.0.0.1. DNS
rebinding is stopped by the host name (`Host`), cross-site requests by their origin (`Origin`, `Sec-Fetch-Site`).
Programs that are no browsers send neither of the latter and pass. The guard does no authentication: that is the task of
the proxy that exposes the UI to other machines. See docs/decisions.md, "UI guard".
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
"""Allowed with any port, since a tunnel may use another one; no foreign DNS server resolves these names."""
GRAPHQL: Final = "/graphql"
"""Only path that accepts changes."""
HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_LOG: Final = logging.getLogger("dagster.etl_assets.ui")

Refusal = tuple[int, str]


class PublicUrlError(EtlError):
    """Raised if ETL_PUBLIC_URL names no host."""


def guarded(app: ASGIApp, public_url: str | None) -> ASGIApp:
    """Wrap an application into the guard.

    Args:
        app: Dagster's webserver.
        public_url: ETL_PUBLIC_URL, whose host is allowed as well.

    Raises:
        PublicUrlError: that URL names no host.
    """
    return TrustedHostMiddleware(OwnPagesOnly(app), allowed_hosts=allowed_hosts(public_url), www_redirect=False)


def allowed_hosts(public_url: str | None, setting: str = "ETL_PUBLIC_URL") -> list[str]:
    """Return the host names that a server answers to: those of this machine, and that of its setting."""
    if not public_url:
        return list(LOOPBACK)
    try:
        host = urlsplit(public_url).hostname
    except ValueError:
        host = None
    if not host or "*" in host:
        msg = f"{setting} names no host. Write it as https://etl.example.com."
        raise PublicUrlError(msg)
    return [*LOOPBACK, f"[{host}]" if ":" in host else host]


class OwnPagesOnly:
    """Middleware that refuses requests of other sites' pages, and methods that the UI itself does not use."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on allowed requests; answer others with an error."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        refused = refusal(scope)
        if refused is None:
            await self.app(scope, receive, _with_headers(send))
            return
        status, reason = refused
        # Logged without its query, which may hold secrets.
        _LOG.warning("Refused %s %.100r: %s", scope.get("method", "WebSocket"), scope["path"], reason)
        await PlainTextResponse(f"{reason}\n", status)(scope, receive, _with_headers(send))


def refusal(scope: Scope) -> Refusal | None:
    """Return status and reason of a refusal; None for an allowed request."""
    headers = Headers(scope=scope)
    if is_foreign(headers) and not _is_link_to_a_page(scope, headers):
        return 403, "Pages of other sites may not use this UI."
    is_graphql = scope["path"] == GRAPHQL
    if scope["type"] == "websocket":
        return None if is_graphql and "origin" in headers else (403, "WebSockets are for this UI's own pages only.")
    if not is_graphql:
        return None if scope["method"] in {"GET", "HEAD"} else (405, "This path is read-only.")
    if scope["method"] != "POST":
        return 405, "GraphQL has to be sent by POST."
    # Dagster takes any other type for a query in the URL, which a form of any page could send.
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return None if media_type == "application/json" else (415, "GraphQL has to be sent as application/json.")


def is_foreign(headers: Headers) -> bool:
    """Return whether a page of another host or port sent the request, according to the browser."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
        return True
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}


def _is_link_to_a_page(scope: Scope, headers: Headers) -> bool:
    """Return whether the request follows a link, such as those in alerts, to a read-only page."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and scope["path"] != GRAPHQL
        and "origin" not in headers
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _with_headers(send: Send) -> Send:
    """Add headers that keep other pages from framing the UI or embedding its responses."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.append("Content-Security-Policy", "frame-ancestors 'none'")  # beside Dagster's own
        await send(message)

    return send_with_headers
