"""Dagster on a developer's machine: the code server, the daemon and the guarded UI, started and ended together.

Where one of them ends, all do. They end with this process, too: the kernel tells them where it is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import yaml

from etl_assets.errors import EtlError
from etl_assets.orchestration.instance import dagster_home
from etl_assets.ui.server import listening_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_assets.settings import Settings

LOCATION: Final = "etl_assets"
DEFINITIONS: Final = "etl_assets.definitions"
SECONDS_TO_START: Final = 120
SECONDS_TO_END: Final = 20
_LOOK_SECONDS: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class DevError(EtlError):
    """One of the services can't be started, or has ended by itself."""


@dataclass(frozen=True, slots=True)
class Service:
    """A process in a group of its own, which holds whatever it starts, runs among them."""

    name: str
    process: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raise `DevError` where it has ended."""
        code = self.process.poll()
        if code is not None:
            msg = f"The {self.name} has ended (code {code}); see above why. Everything else was stopped."
            raise DevError(msg)

    def interrupt(self) -> None:
        """Tell the whole group to end, as Ctrl-C does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> None:
        """Wait until the whole group is gone; kill what has not gone in time."""
        until = time.monotonic() + SECONDS_TO_END
        with suppress(ProcessLookupError):
            while time.monotonic() < until:
                self.process.poll()  # one that has ended is of the group until it is asked for
                os.killpg(self.process.pid, 0)
                time.sleep(0.1)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run_dev(settings: Settings, *, port: int) -> None:
    """Start the services and wait for Ctrl-C.

    Raises:
        EtlError: one of them can't be started or has ended; the others were ended.
    """
    listening_socket(port).close()  # said at once, and not when the code server is up
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell that puts it into the background has it ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # that is what nohup does
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    with suppress(KeyboardInterrupt), TemporaryDirectory(prefix="etl-assets-") as folder:
        code_socket, workspace = Path(folder) / "code.sock", Path(folder) / "workspace.yaml"
        location = {"socket": str(code_socket), "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
        services: list[Service] = []
        with ExitStack() as stack:
            stack.callback(_end, services)
            services.append(_start("code server", *_code_server(code_socket)))
            _wait_for(code_socket, services[0])
            services.append(_start("daemon", "dagster-daemon", "run", "--workspace", str(workspace)))
            services.append(_start("UI", "etl-assets", "ui", "--port", str(port), "--workspace", str(workspace)))
            while True:
                for service in services:
                    service.require_alive()
                time.sleep(_LOOK_SECONDS)


def _code_server(code_socket: Path) -> list[str]:
    return [
        *("dagster", "code-server", "start", "--log-level", "warning", "--socket", str(code_socket)),
        *("--module-name", DEFINITIONS, "--location-name", LOCATION),
    ]


def _start(name: str, program: str, *arguments: str) -> Service:
    """Start a program of this environment. Ctrl-C in a terminal does not reach it: it is told once, by this process."""
    command = [str(Path(sysconfig.get_path("scripts")) / program), *arguments]
    process = subprocess.Popen(  # noqa: S603  # programs of ours
        command,
        process_group=0,
        preexec_fn=_before_exec(os.getpid()),  # noqa: PLW1509  # there is no other thread
    )
    return Service(name, process)


def _before_exec(parent: int) -> Callable[[], None]:
    """Prepare the new process: it heeds Ctrl-C, and is ended by the kernel where its parent dies without a word."""

    def before_exec() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before that call
                os._exit(1)

    return before_exec


def _wait_for(code_socket: Path, server: Service) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while not code_socket.exists():
        server.require_alive()
        if time.monotonic() > until:
            msg = f"The code server did not come up within {SECONDS_TO_START} s; see above why."
            raise DevError(msg)
        time.sleep(_LOOK_SECONDS)


def _end(services: Sequence[Service]) -> None:
    for service in services:
        service.interrupt()
    for service in services:
        service.wait()
