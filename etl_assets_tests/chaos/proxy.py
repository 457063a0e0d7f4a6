"""Stands between a process and the server, counts the statements that pass, and does something at one of them.

A statement is what a client sends until the server is ready for more: a query with its parameters, or the data of a
COPY. So its boundaries are the moments at which a connection can be lost between two things that the server does.
"""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from benchmarks.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

Side = Literal["before", "after"]
Fate = Literal["go on", "cut"]

COPY_DATA: Final = "data of a COPY"
SIDES: Final[tuple[Side, ...]] = ("before", "after")
_HEADER: Final = 5
_CANCEL_REQUEST: Final = (80_877_102).to_bytes(4)
_READY, _WANTS_COPY, _BACKEND_KEY = b"Z", b"G", b"K"
_LABEL_LENGTH: Final = 70


@dataclass(frozen=True, slots=True)
class Statement:
    """One that has passed: the number of its connection, and the beginning of its text."""

    connection: int
    label: str


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A statement boundary: before the server has the statement, or after it is done and nobody has heard of that."""

    number: int
    side: Side


class FaultyProxy(Proxy):
    """Numbers the statements of all its clients in the order in which they come, and acts at one point."""

    def __init__(
        self, server_socket: str, point: Point | None = None, act: Callable[[int], Fate] | None = None
    ) -> None:
        """`act` is called once, at `point`, with the process id of the backend; the connection waits for it."""
        self.statements: list[Statement] = []
        self.reached = False
        self._point, self._act, self._lock = point, act, threading.Lock()
        connections = itertools.count()
        super().__init__(server_socket, lambda: _Watcher(self, next(connections)))

    def number(self, statement: Statement) -> int:
        """Give the next statement its number."""
        with self._lock:
            self.statements.append(statement)
            return len(self.statements) - 1

    def passes(self, point: Point, backend: int) -> bool:
        """Whether what is at the point may pass, after what was to be done there has been done."""
        with self._lock:
            if self._point != point or self.reached:
                return True
            self.reached = True
        return self._act is None or self._act(backend) == "go on"


class _Watcher:
    """Finds the statements of one connection."""

    def __init__(self, proxy: FaultyProxy, connection: int) -> None:
        self._proxy, self._connection, self._messages = proxy, connection, _Messages()
        self._names: dict[bytes, str] = {}
        self._is_idle, self._number = True, 0

    def sent(self, block: bytes) -> bool:
        is_statement = not (block[:1] == b"X" or block[4:8] == _CANCEL_REQUEST)  # those get no answer
        if self._is_idle and is_statement:
            self._is_idle = False
            self._number = self._proxy.number(Statement(self._connection, self._label(block)))
            return self._proxy.passes(Point(self._number, "before"), self._messages.backend)
        return True

    def received(self, block: bytes) -> bool:
        if self._messages.make_ready(block) and not self._is_idle:
            self._is_idle = True
            return self._proxy.passes(Point(self._number, "after"), self._messages.backend)
        return True

    def _label(self, block: bytes) -> str:
        """The beginning of the statement's text. Values are not in it: they are sent as parameters."""
        match block[:1]:
            case b"\0":
                return "connect"
            case b"d" | b"c" | b"f":
                return COPY_DATA
            case b"B":  # a prepared statement's parameters: portal, name of the statement
                name = block[_HEADER:].split(b"\0", 2)[1]
                return self._names.get(name, "prepared statement")
            case b"P":
                name, text, *_ = block[_HEADER:].split(b"\0", 2)
                self._names[name] = _shorten(text)
                return self._names[name]
            case _:
                return _shorten(block[_HEADER:].split(b"\0", 1)[0])


class _Messages:
    """Follows the boundaries of the server's messages from block to block."""

    def __init__(self) -> None:
        self.backend = 0
        self._rest = b""

    def make_ready(self, block: bytes) -> bool:
        """Whether with this block the server is ready for the next statement, or for the data of a COPY."""
        text, place, is_ready = self._rest + block, 0, False
        while len(text) - place >= _HEADER:
            kind, end = text[place : place + 1], place + 1 + int.from_bytes(text[place + 1 : place + _HEADER])
            if end > len(text):
                break
            if kind == _BACKEND_KEY:
                self.backend = int.from_bytes(text[place + _HEADER : place + _HEADER + 4])
            is_ready = is_ready or kind in (_READY, _WANTS_COPY)
            place = end
        self._rest = text[place:]
        return is_ready


def _shorten(text: bytes) -> str:
    return re.sub(r"\s+", " ", text.decode(errors="replace")).strip()[:_LABEL_LENGTH]
