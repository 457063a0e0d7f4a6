"""Limits of request bodies: their size, counted as they arrive whatever Content-Length says, and their encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

FORM_BYTES: Final = 1024 * 1024
"""Limit of forms without files."""
TOO_LARGE: Final = 413
UNSUPPORTED: Final = 415
FORM_TYPE: Final = "application/x-www-form-urlencoded"


def limited(scope: Scope, receive: Receive, limit: int) -> Receive:
    """Return a `receive` that ends a body beyond `limit` bytes.

    Raises:
        HTTPException: 413, at once if Content-Length says so, else by the returned function.
    """
    declared = Headers(scope=scope).get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise HTTPException(TOO_LARGE)
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(TOO_LARGE)
        return message

    return receive_limited


def require_utf8(headers: Headers) -> None:
    """Refuse a form that names an encoding of its own, which no browser does for multipart.

    Hazard: Starlette decodes the parts by any codec of Python, in the event loop. `punycode` takes minutes for a
    megabyte, during which no request is answered; others yield texts that the database refuses.

    Raises:
        HTTPException: 415.
    """
    content_type = headers.get("content-type", "").strip().lower()
    # The encoding of a urlencoded form is never looked at.
    if "charset" in content_type and not content_type.startswith(FORM_TYPE):
        raise HTTPException(UNSUPPORTED)
