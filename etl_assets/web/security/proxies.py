"""Trusted proxies: the client's address, the scheme and, if so configured, the user that they report.

Headers of other senders are ignored. A proxy must set or remove these headers itself in each request that it passes on.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from etl_assets.settings import Settings

USER_OF_PROXY: Final = "etl_assets.user_of_proxy"
"""Key in the scope: the user that a trusted proxy reports."""
FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""Headers that proxies add."""


class ProxyAddressError(EtlError):
    """Raised if ETL_WEB_TRUSTED_PROXIES holds something other than addresses and networks."""


class TrustedProxies:
    """Middleware that takes reports of trusted proxies over into the scope."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        proxies = parse_networks(settings.web_trusted_proxies)
        self._networks = [ipaddress.ip_network(one) for one in proxies]
        self._user_header = settings.web_user_header
        self._direct = app
        self._forwarding = ProxyHeadersMiddleware(app, trusted_hosts=proxies)  # type: ignore[arg-type]  # its own ASGI types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the client that the proxy reports."""
        if scope["type"] != "http" or not self._is_trusted(scope):
            await self._direct(scope, receive, send)
            return
        if self._user_header is not None:
            reported = Headers(scope=scope).getlist(self._user_header)
            # Two of them: the proxy appends to what the browser sent, which therefore counts for nothing.
            scope[USER_OF_PROXY] = _decoded(reported[0]) if len(reported) == 1 else None
        await self._forwarding(scope, receive, send)  # type: ignore[arg-type]  # as above

    def _is_trusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        try:
            address = ipaddress.ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def parse_networks(text: str | None) -> list[str]:
    """Return the addresses and networks of the setting, each as a network."""
    try:
        return [str(ipaddress.ip_network(part.strip())) for part in (text or "").split(",") if part.strip()]
    except ValueError as error:
        example = "127.0.0.1, 10.0.0.0/8"
        msg = f"ETL_WEB_TRUSTED_PROXIES: {error}. Write addresses or networks, separated by commas: {example}."
        raise ProxyAddressError(msg) from None


def _decoded(name: str) -> str | None:
    """Return a header's text, which proxies send as UTF-8 and Starlette reads as Latin-1; None for an empty one."""
    try:
        return name.encode("latin-1").decode() or None
    except UnicodeDecodeError:
        return name
