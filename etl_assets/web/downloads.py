"""Downloads that are made while they are sent, a few at once."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Receive, Scope, Send


TURNS: Final = BoundedSemaphore(4)
"""Downloads at once.

Hazard: each holds a connection for as long as its reader takes, and the pool has 15: readers that stand still could
take all, and no page could be shown.
"""


class Download(StreamingResponse):
    """File whose parts a generator yields; the caller has acquired one of `TURNS`, which this releases.

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
                try:
                    await run_in_threadpool(self._chunks.close)
                finally:
                    TURNS.release()
