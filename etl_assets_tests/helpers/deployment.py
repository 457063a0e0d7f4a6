"""Services of `deploy/`: runs them as their units specify, with other folders and ports only."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
from configparser import RawConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from etl_assets_tests.helpers.alert_receivers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
INSTALLED: Final = "/opt/etl-assets"
STATE: Final = "/var/lib/etl-assets"
USER, PASSWORD = "alice", "p4ssword"
WAIT_SECONDS: Final = 120


class UnitParser(RawConfigParser):
    """Parser of units: keeps the case of names, and all values of repeated ones."""

    def __init__(self) -> None:
        super().__init__(strict=False, dict_type=_Collecting)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


class _Collecting(dict[str, Any]):
    """Mapping that appends lines instead of replacing them."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, [*self[key], *value] if isinstance(value, list) and key in self else value)


def unit(name: str) -> dict[str, list[str]]:
    """Return the section [Service] of a unit, each name with its values."""
    parser = UnitParser()
    parser.read(DEPLOY / "systemd" / f"{name}.service", encoding="utf-8")
    return {key: value.splitlines() for key, value in parser["Service"].items()}


def find_nginx() -> str | None:
    """Find nginx; None if it is not installed. Raises if it is missing and the tests must be complete."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None and os.environ.get("ETL_TEST_REQUIRE_SERVERS"):
        pytest.fail("nginx is not installed, and ETL_TEST_REQUIRE_SERVERS is set")
    return found


@dataclass(frozen=True, slots=True)
class Host:
    """Folder in the role of the machine that the services run on."""

    folder: Path
    environment: Mapping[str, str]

    def commands(self, name: str) -> list[list[str]]:
        """Return the commands of the unit, within this folder."""
        return [shlex.split(self._here(line)) for line in unit(name)["ExecStart"]]

    def run_once(self, name: str) -> None:
        """Run the commands of a oneshot unit. Raises `CalledProcessError`."""
        for command in self.commands(name):
            subprocess.run(command, env=self.variables(name), cwd=self.folder, check=True, capture_output=True)

    def variables(self, name: str) -> dict[str, str]:
        """Return the variables of the unit and of the environment file."""
        pairs = (self._here(line).split("=", 1) for line in unit(name)["Environment"])
        return {**os.environ, **self.environment, **dict(pairs)}

    def _here(self, text: str) -> str:
        text = text.replace(f"{INSTALLED}/.venv/bin", str(Path(sys.executable).parent))
        text = text.replace(f"{INSTALLED}/deploy", str(self.folder))
        return text.replace("/run/etl-assets", str(self.folder)).replace(STATE, str(self.folder / "state"))

    @contextmanager
    def running(self, name: str, *, port: int | None = None) -> Iterator[None]:
        """Run the service of a unit."""
        (arguments,) = self.commands(name)
        if port is not None:
            arguments[arguments.index("--port") + 1] = str(port)
        log = self.folder / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(arguments, env=self.variables(name), cwd=self.folder, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


def prepare_host(folder: Path, environment: Mapping[str, str]) -> Host:
    """Create the folders and files that docs/production.md prescribes."""
    home = folder / "state" / "dagster"
    home.mkdir(parents=True)
    shutil.copy(DEPLOY / "dagster.yaml", home / "dagster.yaml")
    workspace = (DEPLOY / "workspace.yaml").read_text(encoding="utf-8").replace("/run/etl-assets", str(folder))
    (folder / "workspace.yaml").write_text(workspace, encoding="utf-8")
    example = (DEPLOY / "environment.example").read_text(encoding="utf-8")
    return Host(folder, {**dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE)), **environment})


@contextmanager
def proxy(folder: Path, program: str, ui: int, web: int) -> Iterator[tuple[str, str]]:
    """Run nginx with deploy/nginx.conf on ports of its own before UI and web page; yields its two addresses."""
    port, web_port = free_port(), free_port()
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout
    (folder / "passwords").write_text(f"{USER}:{hashed}", encoding="utf-8")
    site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for given, here in (
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ("127.0.0.1:8081", f"127.0.0.1:{web_port}"),
        ("127.0.0.1:3000", f"127.0.0.1:{ui}"),
        ("127.0.0.1:3001", f"127.0.0.1:{web}"),
        ("/var/log/nginx/access.log", str(folder / "access.log")),
        ("/etc/nginx/etl-assets.passwords", str(folder / "passwords")),
    ):
        assert given in site
        site = site.replace(given, here)
    (folder / "site.conf").write_text(site, encoding="utf-8")
    folders = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root root;\n" if os.geteuid() == 0 else ""
    configuration = folder / "nginx-main.conf"
    configuration.write_text(
        f"{user}pid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nworker_processes 1;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}include {folder}/site.conf;\n}}\n",
        encoding="utf-8",
    )
    arguments = [program, "-p", str(folder), "-e", f"{folder}/nginx.log", "-c", str(configuration)]
    subprocess.run([*arguments, "-t"], check=True, capture_output=True)
    process = subprocess.Popen([*arguments, "-g", "daemon off;"])
    try:
        wait_for_port(port)
        yield f"http://localhost:{port}", f"http://localhost:{web_port}"
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def wait_for_port(port: int) -> None:
    """Wait until a process listens."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"no process listens on port {port}")


def wait_for_file(path: Path) -> None:
    """Wait until a file (or socket) exists."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not created"
        time.sleep(0.1)


PLAIN: Final[dict[str, Any]] = {"timeout": 60, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""Options of a request by plain HTTP: with httpx's own, each reads all certificate authorities."""


def graphql(address: str, query: str, **options: Any) -> httpx.Response:
    """POST a query as the UI does."""
    return httpx.post(f"{address}/graphql", json={"query": query}, **PLAIN, **options)
