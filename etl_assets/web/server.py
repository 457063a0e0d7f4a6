"""Server of the web page: uvicorn on one port."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import uvicorn

from etl_assets.errors import EtlError
from etl_assets.web.app import create_app
from etl_assets.web.security.local import LOOPBACK_ADDRESSES
from etl_assets.web.security.users import list_users

if TYPE_CHECKING:
    from etl_assets.database.database import Database
    from etl_assets.settings import Settings

SECONDS_TO_END: Final = 5
"""Time for open connections to end."""


class WebError(EtlError):
    """Raised if the web page can't be started."""


def serve(settings: Settings, database: Database, *, host: str, port: int) -> None:
    """Serve the web page until it is stopped.

    Raises:
        EtlError: the port is taken, a setting can't be used, or other machines could reach the page without log-in.
    """
    if host not in LOOPBACK_ADDRESSES:
        with database.transaction() as connection:
            if not list_users(connection):
                msg = (
                    f"--host {host}: without users, the web page answers on this machine only. Add the first one:"
                    " etl-assets users add NAME --role admin"
                )
                raise WebError(msg)
    app = create_app(settings, database)
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), listening_socket(host, port) as listener:
        uvicorn.Server(config).run(sockets=[listener])


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen on an address. Raises `WebError` if that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        msg = f"{host}:{port} can't be listened on ({error.strerror}). Free the port, or choose another --port."
        raise WebError(msg) from None
