"""Development services: starts code server, daemon, web page and guarded UI together, and ends them together.

If one of them ends, all do; and all end with this process, even if it is killed (see `ending`). Stands in for `dg dev`
(docs/decisions.md, "etl-assets dev"). Dagster's services: https://docs.dagster.io/deployment/oss/oss-deployment-architecture.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

import yaml

from etl_assets.errors import EtlError
from etl_assets.orchestration.instance import open_instance
from etl_assets.ui.ending import end_groups
from etl_assets.ui.server import ADDRESS, listening_socket

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from etl_assets.settings import Settings

LOCATION: Final = "etl_assets"
DEFINITIONS: Final = "etl_assets.definitions"
SECONDS_TO_START: Final = 120
_POLL_SECONDS: Final = 0.5


class DevError(EtlError):
    """Raised if a service can't be started or has ended by itself."""


def run_dev(settings: Settings, *, port: int, web_port: int, on_ready: Callable[[], None]) -> None:
    """Start the services and wait for Ctrl-C.

    Args:
        settings: where Dagster's instance is.
        port: of the UI.
        web_port: of the web page.
        on_ready: called once both answer.

    Raises:
        EtlError: a service can't be started or has ended; the others were stopped.
    """
    for one in (port, web_port):  # a taken port is reported at once, not when the code server is up
        listening_socket(one).close()
    open_instance(settings).dispose()  # created once; sets DAGSTER_HOME for the services
    _handle_signals()
    with suppress(KeyboardInterrupt), TemporaryDirectory(prefix="etl-assets-") as folder, Services() as services:
        code_socket, workspace = Path(folder) / "code.sock", Path(folder) / "workspace.yaml"
        location = {"socket": str(code_socket), "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
        services.start(
            "code server",
            *("dagster", "code-server", "start", "--log-level", "warning", "--socket", str(code_socket)),
            *("--module-name", DEFINITIONS, "--location-name", LOCATION),
        )
        services.wait_for(code_socket.exists, "code server")
        services.start("daemon", "dagster-daemon", "run", "--workspace", str(workspace))
        services.start("web page", "etl-assets", "web", "--port", str(web_port))
        services.start("UI", "etl-assets", "ui", "--port", str(port), "--workspace", str(workspace))
        for name, one in (("web page", web_port), ("UI", port)):
            services.wait_for(partial(_is_answered, one), name)
        on_ready()
        services.wait()


class Services:
    """Child processes, each in a process group of its own with its children (runs among them).

    Ctrl-C therefore reaches this process only, which ends the groups in order. A watchdog knows the groups and ends
    them if this process is killed.
    """

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "etl_assets.ui.ending"], stdin=subprocess.PIPE, text=True, process_group=0
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all services; another Ctrl-C leaves that to the watchdog."""
        processes = self._processes.values()
        end_groups([process.pid for process in processes], lambda: [process.poll() for process in processes])
        self._watchdog.communicate()
        for process in processes:
            process.wait()

    def start(self, name: str, program: str, *arguments: str) -> None:
        """Start a program of this environment."""
        command = [str(Path(sysconfig.get_path("scripts")) / program), *arguments]
        process = subprocess.Popen(command, process_group=0, text=True)  # noqa: S603  # our own programs
        self._processes[name] = process
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.write(f"{process.pid}\n")
            self._watchdog.stdin.flush()

    def wait_for(self, has_started: Callable[[], bool], name: str) -> None:
        """Wait until a service has started. Raises `DevError` after a time-out, or if a process has ended."""
        until = time.monotonic() + SECONDS_TO_START
        while not has_started():
            self._require_all()
            if time.monotonic() > until:
                msg = f"The {name} did not start within {SECONDS_TO_START} s; see its output above."
                raise DevError(msg)
            time.sleep(_POLL_SECONDS)

    def wait(self) -> None:
        """Wait until a process has ended, and raise `DevError`."""
        while True:
            self._require_all()
            time.sleep(_POLL_SECONDS)

    def _require_all(self) -> None:
        for name, process in [*self._processes.items(), ("watchdog", self._watchdog)]:
            code = process.poll()
            if code is not None:
                msg = f"The {name} has ended (code {code}); see its output above. All other services were stopped."
                raise DevError(msg)


def _is_answered(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


def _handle_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # shells make background processes ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # set by nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
