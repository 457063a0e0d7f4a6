"""Real `dagster-daemon` for tests, supervised like a service, with functions to kill it or parts of it.

Processes are recognised by their DAGSTER_HOME, which is the test's own: no other process is signalled.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import psutil
import yaml

from etl_assets.orchestration.instance import INSTANCE_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT: Final = Path(__file__).resolve().parents[2]


def write_instance(home: Path, **changes: Any) -> None:
    """Write the project's `dagster.yaml` into `home`, with some settings changed."""
    home.mkdir(parents=True, exist_ok=True)
    sections = {name: {**INSTANCE_SETTINGS[name], **values} for name, values in changes.items()}
    text = yaml.safe_dump({**INSTANCE_SETTINGS, **sections})
    (home / "dagster.yaml").write_text(text, encoding="utf-8")


class Daemon:
    """Supervisor of `dagster-daemon run`: restarts it whenever it has ended, in the environment of that moment."""

    def __init__(self, dagster_home: Path, log: IO[bytes]) -> None:
        self.dagster_home, self.log = str(dagster_home), log
        self.starts = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_running)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the daemon and all its processes."""
        self._stopped.set()
        self._thread.join()
        while victims := [*self.daemons(), *self.code_servers(), *self.workers()]:
            kill(victims)

    def daemons(self) -> list[psutil.Process]:
        return self._ours("dagster-daemon run", "dagster._daemon run")

    def code_servers(self) -> list[psutil.Process]:
        return self._ours("dagster api grpc")

    def workers(self) -> list[psutil.Process]:
        """Return the processes of runs, started by code servers and outliving them."""
        return self._ours("multiprocessing.spawn import spawn_main")

    def _ours(self, *commands: str) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            # Gone meanwhile, or of another user. A zombie has no command line.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                line = " ".join(process.cmdline())
                is_meant = any(command in line for command in commands)  # first: it spares reading each environment
                if is_meant and process.environ().get("DAGSTER_HOME") == self.dagster_home:
                    found.append(process)
        return found

    def _keep_running(self) -> None:
        while not self._stopped.is_set():
            self.starts += 1
            command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", "workspace.yaml"]
            process = subprocess.Popen(command, cwd=PROJECT, stdout=self.log, stderr=subprocess.STDOUT)
            while process.poll() is None and not self._stopped.wait(0.2):
                pass
            process.kill()
            process.wait()


@contextmanager
def running_daemon(dagster_home: Path, log: Path) -> Iterator[Daemon]:
    """Run a daemon until the end of the block."""
    with log.open("ab") as file:
        daemon = Daemon(dagster_home, file)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()


def kill(processes: list[psutil.Process]) -> int:
    """SIGKILL the processes. Returns how many were alive."""
    killed = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            killed += 1
    return killed
