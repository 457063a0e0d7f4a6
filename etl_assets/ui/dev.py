"""Dagster on a developer's machine: the code server, the daemon and the guarded UI, started and ended together.

Where one of them ends, all do, and they end with this process, however that ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

import yaml

from etl_assets.errors import EtlError
from etl_assets.orchestration.instance import open_instance
from etl_assets.ui.ending import end_groups
from etl_assets.ui.server import listening_socket

if TYPE_CHECKING:
    from types import TracebackType

    from etl_assets.settings import Settings

LOCATION: Final = "etl_assets"
DEFINITIONS: Final = "etl_assets.definitions"
SECONDS_TO_START: Final = 120
_LOOK_SECONDS: Final = 0.5


class DevError(EtlError):
    """One of the services can't be started, or has ended by itself."""


def run_dev(settings: Settings, *, port: int) -> None:
    """Start the services and wait for Ctrl-C.

    Raises:
        EtlError: one of them can't be started or has ended; the others were ended.
    """
    listening_socket(port).close()  # said at once, and not when the code server is up
    open_instance(settings).dispose()  # made once, and named to the services in DAGSTER_HOME
    _heed_signals()
    with suppress(KeyboardInterrupt), TemporaryDirectory(prefix="etl-assets-") as folder, Services() as services:
        code_socket, workspace = Path(folder) / "code.sock", Path(folder) / "workspace.yaml"
        location = {"socket": str(code_socket), "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
        services.start(
            "code server",
            *("dagster", "code-server", "start", "--log-level", "warning", "--socket", str(code_socket)),
            *("--module-name", DEFINITIONS, "--location-name", LOCATION),
        )
        services.wait_for(code_socket)
        services.start("daemon", "dagster-daemon", "run", "--workspace", str(workspace))
        services.start("UI", "etl-assets", "ui", "--port", str(port), "--workspace", str(workspace))
        services.wait()


class Services:
    """Processes, each in a group of its own with whatever it starts (runs among them): Ctrl-C reaches them by us only.

    A watchdog knows the groups and ends them where this process can't.
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
        """End them all; whoever does not want to wait leaves it to the watchdog by another Ctrl-C."""
        processes = self._processes.values()
        end_groups([process.pid for process in processes], lambda: [process.poll() for process in processes])
        self._watchdog.communicate()
        for process in processes:
            process.wait()

    def start(self, name: str, program: str, *arguments: str) -> None:
        """Start a program of this environment."""
        command = [str(Path(sysconfig.get_path("scripts")) / program), *arguments]
        process = subprocess.Popen(command, process_group=0, text=True)  # noqa: S603  # programs of ours
        self._processes[name] = process
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.write(f"{process.pid}\n")
            self._watchdog.stdin.flush()

    def wait_for(self, file: Path) -> None:
        """Wait until a file is there. Raises `DevError` where it does not come, or a process has ended."""
        until = time.monotonic() + SECONDS_TO_START
        while not file.exists():
            self._require_all()
            if time.monotonic() > until:
                msg = f"The code server did not come up within {SECONDS_TO_START} s; see above why."
                raise DevError(msg)
            time.sleep(_LOOK_SECONDS)

    def wait(self) -> None:
        """Wait until a process has ended, and raise `DevError`."""
        while True:
            self._require_all()
            time.sleep(_LOOK_SECONDS)

    def _require_all(self) -> None:
        for name, process in [*self._processes.items(), ("watchdog", self._watchdog)]:
            code = process.poll()
            if code is not None:
                msg = f"The {name} has ended (code {code}); see above why. Everything else was stopped."
                raise DevError(msg)


def _heed_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell that puts us into the background has us ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # that is what nohup does
        signal.signal(signal.SIGHUP, signal.default_int_handler)
