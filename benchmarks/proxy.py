"""Proxy between a client and the server; one kind counts the statements executed and the bytes in each direction.

It reads PostgreSQL's message headers of the client's side (a statement is a simple Query or an Execute). Ways are
counted in a run of their own, which is not timed. The other kind (`etl_assets_tests.chaos.proxy`) injects faults.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 1 << 16
_STARTUP = 196_608  # protocol 3.0, major number in the upper half
_HEADER = 5


@dataclass(slots=True)
class Traffic:
    """Counts of the traffic so far."""

    queries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def snapshot(self) -> dict[str, int]:
        """The counts as they are now."""
        return asdict(self)

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """Return the traffic since an earlier snapshot."""
        return {name: value - before[name] for name, value in self.snapshot().items()}


class Observer(Protocol):
    """Observes the traffic of one connection, and may have it cut."""

    def sent(self, block: bytes) -> bool:
        """Bytes that the client sent; False cuts the connection before the server has them."""
        ...

    def received(self, block: bytes) -> bool:
        """Bytes that the server sent; False cuts the connection before the client has them."""
        ...


class Proxy:
    """Listens on a free port of 127.0.0.1 and connects each client to the server's socket."""

    def __init__(self, server_socket: str, observe: Callable[[], Observer]) -> None:
        """Listen; `observe` is called for each connection and returns its observer."""
        self._server_socket, self._observe = server_socket, observe
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        with suppress(OSError):  # accept() is awoken by this, not by close()
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Forward the traffic of one client and the server until both have ended."""
        observer = self._observe()
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(self._server_socket)
            except OSError:  # it is not there: neither are we, then
                return
            answers = threading.Thread(target=_pass_on, args=(server, client, observer.received), daemon=True)
            answers.start()
            _pass_on(client, server, observer.sent)
            answers.join()


class CountingProxy(Proxy):
    """Counts the traffic of all clients and the server."""

    def __init__(self, server_socket: str) -> None:
        self.traffic = Traffic()
        self._lock = threading.Lock()
        super().__init__(server_socket, lambda: _Counter(self.traffic, self._lock))


class _Counter:
    """Adds the traffic of one connection to that of all."""

    def __init__(self, traffic: Traffic, lock: threading.Lock) -> None:
        self._traffic, self._lock, self._messages = traffic, lock, _Messages()

    def sent(self, block: bytes) -> bool:
        queries = self._messages.count_queries(block)
        with self._lock:
            self._traffic.bytes_sent += len(block)
            self._traffic.queries += queries
        return True

    def received(self, block: bytes) -> bool:
        with self._lock:
            self._traffic.bytes_received += len(block)
        return True


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


def _pass_on(source: socket.socket, target: socket.socket, observe: Callable[[bytes], bool]) -> None:
    """Forward one direction until it ends or the observer stops it; then both directions are cut."""
    while block := _receive(source):
        if not observe(block):
            _end(source, socket.SHUT_RDWR)
            _end(target, socket.SHUT_RDWR)
            return
        try:
            target.sendall(block)
        except OSError:  # it has gone: so is what came from it
            _end(source, socket.SHUT_RDWR)
            return
    _end(target, socket.SHUT_WR)


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(_BLOCK)
    except OSError:
        return b""


def _end(one: socket.socket, how: int) -> None:
    with suppress(OSError):  # it has gone already
        one.shutdown(how)
