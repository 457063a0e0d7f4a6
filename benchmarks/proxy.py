"""Stands between a client and the server and counts what passes: statements executed, and bytes each way.

It reads PostgreSQL's message headers of the client's side (a statement is a simple Query or an Execute). Ways are
counted in a run of their own, which is not timed.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass

_BLOCK = 1 << 16
_STARTUP = 196_608  # protocol 3.0, major number in the upper half
_HEADER = 5


@dataclass(slots=True)
class Traffic:
    """What has passed so far."""

    queries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def snapshot(self) -> dict[str, int]:
        """The counts as they are now."""
        return asdict(self)

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """What has been added to an earlier snapshot."""
        return {name: value - before[name] for name, value in self.snapshot().items()}


class CountingProxy:
    """Listens on a free port of 127.0.0.1 and connects each client to the server's socket."""

    def __init__(self, server_socket: str) -> None:
        self.traffic = Traffic()
        self._server_socket = server_socket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Pass on what one client and the server say, until both have ended."""
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server_socket)
            answers = threading.Thread(target=self._return, args=(server, client), daemon=True)
            answers.start()
            self._forward(client, server)
            answers.join()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        messages = _Messages()
        while block := _receive(client):
            queries = messages.count_queries(block)
            with self._lock:
                self.traffic.bytes_sent += len(block)
                self.traffic.queries += queries
            server.sendall(block)
        _end(server)

    def _return(self, server: socket.socket, client: socket.socket) -> None:
        while block := _receive(server):
            with self._lock:
                self.traffic.bytes_received += len(block)
            client.sendall(block)
        _end(client)


class _Messages:
    """Follows the boundaries of one client's messages from block to block."""

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0
        self._started = False

    def count_queries(self, block: bytes) -> int:
        queries, place = 0, 0
        while place < len(block):
            if self._skip:
                step = min(self._skip, len(block) - place)
                self._skip -= step
                place += step
                continue
            wanted = (_HEADER if self._started else 8) - len(self._head)
            self._head += block[place : place + wanted]
            place += wanted
            if self._started and len(self._head) == _HEADER:
                queries += self._head[:1] in (b"Q", b"E")
                self._skip = int.from_bytes(self._head[1:]) - 4
                self._head = b""
            elif not self._started and len(self._head) == 8:  # noqa: PLR2004  # length and code
                self._started = int.from_bytes(self._head[4:]) >> 16 == _STARTUP >> 16
                self._skip = int.from_bytes(self._head[:4]) - 8
                self._head = b""
        return queries


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(_BLOCK)
    except OSError:
        return b""


def _end(target: socket.socket) -> None:
    with suppress(OSError):  # it has gone already
        target.shutdown(socket.SHUT_WR)
