"""Requests of this machine: the only ones that are answered while no users are set up.

Hazards: DNS rebinding (a foreign host name that resolves to this machine), and a proxy on this machine that passes on
requests of others. See docs/decisions.md, "Page without users".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.ui.guard import LOOPBACK
from etl_assets.web.security.proxies import FORWARDED

if TYPE_CHECKING:
    from starlette.requests import Request

LOOPBACK_ADDRESSES: Final = ("127.0.0.1", "::1", "localhost")


def is_local(request: Request) -> bool:
    """Return whether a browser on this machine sent the request: by address, host name, and without a proxy."""
    address = request.client.host if request.client else ""
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    is_forwarded = any(header in request.headers for header in FORWARDED)
    return address in LOOPBACK_ADDRESSES and name in LOOPBACK and not is_forwarded
