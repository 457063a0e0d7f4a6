"""Server of the UI: Dagster's webserver behind the guard, on 127.0.0.1 only.

Uses internals of Dagster: if a newer version has moved one, the server does not start, rather than start unguarded. See
https://docs.dagster.io/guides/operate/webserver.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import uvicorn
from dagster import __version__ as dagster_version
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context

from etl_assets.errors import EtlError
from etl_assets.orchestration.instance import open_instance
from etl_assets.ui.guard import allowed_hosts, guarded

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from etl_assets.settings import Settings

ADDRESS: Final = "127.0.0.1"
"""Only address to listen on, as there is no authentication; a proxy with passwords serves other machines."""
STATEMENT_SECONDS: Final = 15
POOL_RECYCLE_SECONDS: Final = 3600
MAX_OVERFLOW: Final = 20
POLL_MILLISECONDS: Final = 2000
SECONDS_TO_END: Final = 5
"""Time for open connections to end."""
SECONDS_TO_EXIT: Final = 15
"""Time for all of it to end."""


class UiError(EtlError):
    """Raised if the UI can't be started."""


class Server(uvicorn.Server):
    """Server that ends in time after a signal.

    Hazard: Dagster waits for its threads at the end; one that watches a code server may never come back.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; by force if that takes longer than `SECONDS_TO_EXIT`."""
        last = threading.Timer(SECONDS_TO_EXIT, os._exit, (1,))  # code servers of its own end without its heartbeat
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)


def serve(settings: Settings, workspace: Path, *, port: int, is_read_only: bool) -> None:
    """Serve the UI until it is stopped.

    Raises:
        EtlError: the file is missing, the port is taken, or ETL_PUBLIC_URL names no host.
    """
    if not workspace.is_file():
        msg = f"{workspace}: there is no such file. Name the workspace file that locates the code server."
        raise UiError(msg)
    names = allowed_hosts(settings.public_url)
    configure_loggers(formatter="colored", log_level="INFO")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that its own code servers are stopped with it
    with suppress(KeyboardInterrupt), listening_socket(port) as listener, open_instance(settings) as instance:
        instance.optimize_for_webserver(STATEMENT_SECONDS * 1000, POOL_RECYCLE_SECONDS, MAX_OVERFLOW)
        with WorkspaceProcessContext(
            instance, WorkspaceFileTarget(paths=[str(workspace)]), version=dagster_version, read_only=is_read_only
        ) as context:
            ui = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MILLISECONDS)
            config = uvicorn.Config(
                guarded(ui, settings.public_url),
                log_level="warning",
                proxy_headers=False,
                timeout_graceful_shutdown=SECONDS_TO_END,
            )
            logging.getLogger("dagster.etl_assets.ui").info(
                "The UI%s is on http://%s:%d (process %d). It answers to the names %s.",
                ", read-only," if is_read_only else "", ADDRESS, port, os.getpid(), ", ".join(names),
            )  # fmt: skip
            Server(config).run(sockets=[listener])


def listening_socket(port: int) -> socket.socket:
    """Listen on a port of this machine. Raises `UiError` if that is not possible."""
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        msg = f"{ADDRESS}:{port} can't be listened on ({error.strerror}). Free the port, or choose another --port."
        raise UiError(msg) from None
