"""Local receivers of alerts: a web server and a mail server that keep their messages."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET: Final = "hook-5ecret"  # noqa: S105  # it stands for one


@dataclass
class Receiver:
    """Web server that keeps POSTed messages; replies with `answers` in turn, then with 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def web_server() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status = kept.answers.pop(0) if kept.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Mailbox:
    """Handler that keeps accepted mails; replies with `answers` in turn, then accepts all."""

    messages: list[Any] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        self.messages.append(envelope)
        return "250 OK"


class LocalController(Controller):  # type: ignore[misc, unused-ignore]  # aiosmtpd's types are partial
    """Mail server on a free port."""

    @property
    def bound_port(self) -> int:
        return int(self.port)


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    controller = LocalController(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.bound_port
    finally:
        controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
