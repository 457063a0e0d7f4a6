"""Downloads that are made while they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Receive, Scope, Send


class Download(StreamingResponse):
    """File whose parts a generator yields.

    Hazard: a generator that reads from the database holds a connection and a transaction. It is closed when the browser
    goes away, too, rather than when its memory is freed; for HEAD it is not read at all.
    """

    def __init__(self, chunks: Generator[bytes], *, media_type: str, file_name: str) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        super().__init__(chunks, media_type=media_type, headers=disposition)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            if scope["method"] == "HEAD":
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b""})
            else:
                await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._chunks.close)
