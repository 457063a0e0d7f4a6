"""Guard of the UI: pages of other sites can't use it, by any kind of request; and it ends with its command."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from uuid import uuid4

import dagster as dg
import httpx
import psutil
import pytest
from playwright.sync_api import Error, sync_playwright

from etl_assets.orchestration.instance import open_instance
from etl_assets.settings import Settings
from etl_assets.ui.guard import PublicUrlError, allowed_hosts
from etl_assets_tests.helpers.alert_receivers import free_port
from etl_assets_tests.helpers.daemon import kill
from etl_assets_tests.helpers.deployment import PLAIN, graphql, wait_for_port
from etl_assets_tests.test_browser import ARGUMENTS, CHROMIUM, MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

BIN: Final = Path(sys.executable).parent
EVIL: Final = "evil.example"
STATIC: Final = "/favicon.png"
PATHS: Final = ("/", "/runs", STATIC, "/server_info", "/graphql", "/logs/x/out", "/download_debug/x", "/notebook")
CROSS_SITE: Final = (
    {"Origin": f"http://{EVIL}", "Sec-Fetch-Site": "cross-site"},
    {"Origin": f"http://{EVIL}"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)
UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "graphql-ws",
}
LINK: Final = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def delete(run_id: str) -> str:
    return f'mutation {{ deleteRun(runId: "{run_id}") {{ __typename }} }}'


class Ui:
    """A webserver that was started, and its instance."""

    def __init__(self, instance: dg.DagsterInstance, port: int) -> None:
        self.instance, self.port = instance, port
        self.host = f"127.0.0.1:{port}"
        self.address = f"http://{self.host}"

    def add_run(self) -> str:
        """Record a run that ended, for others to delete."""
        run = dg.DagsterRun(job_name="etl_pipeline", run_id=str(uuid4()), status=dg.DagsterRunStatus.SUCCESS)
        self.instance.add_run(run)
        return run.run_id

    def own(self) -> dict[str, str]:
        """Return the headers of a browser's request from the UI's own page."""
        return {"Origin": self.address, "Sec-Fetch-Site": "same-origin"}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.address}{path}", **PLAIN, **options)

    def socket_status(self, path: str = "/graphql", *, origin: str | None, host: str | None = None) -> int:
        """Return the status of a WebSocket handshake."""
        headers = {**UPGRADE, "Host": host or self.host, **({} if origin is None else {"Origin": origin})}
        with httpx.stream("GET", f"{self.address}{path}", headers=headers, **PLAIN) as answer:
            return answer.status_code


@contextmanager
def started(command: list[str], port: int, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of this project until the end of the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=file, stderr=file, cwd=log.parent)
    try:
        wait_for_port(port)
        yield process
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a Dagster instance, and a workspace without a code server, which no test here needs."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "workspace.yaml").write_text("load_from: []\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ETL_HOME", str(folder))
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        yield folder


@pytest.fixture(scope="module")
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(Settings(home=home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def full(home: Path, instance: dg.DagsterInstance) -> Iterator[Ui]:
    port = free_port()
    with started([str(BIN / "etl-assets"), "ui", "--port", str(port)], port, home / "full.log"):
        yield Ui(instance, port)


@pytest.fixture(scope="module")
def read_only(home: Path, instance: dg.DagsterInstance) -> Iterator[Ui]:
    port = free_port()
    command = [str(BIN / "etl-assets"), "ui", "--read-only", "--port", str(port)]
    with started(command, port, home / "read-only.log", ETL_PUBLIC_URL="https://etl.example.com/ui"):
        yield Ui(instance, port)


@pytest.fixture(params=["full", "read_only"])
def ui(request: pytest.FixtureRequest) -> Ui:
    found: Ui = request.getfixturevalue(request.param)
    return found


# --- names ---


@pytest.mark.parametrize("name", [EVIL, f"localhost.{EVIL}", "127.0.0.1.nip.io", "0.0.0.0", "10.0.0.1", ""])  # noqa: S104
def test_it_answers_to_no_other_name(ui: Ui, name: str) -> None:
    run_id = ui.add_run()
    host = {"Host": f"{name}:{ui.port}"}
    for path in PATHS:
        for method in ("GET", "POST", "HEAD"):
            query = f"?query={quote(delete(run_id))}" if path == "/graphql" else ""
            answer = ui.ask(method, path + query, headers=host)
            assert answer.status_code == 400, (method, path)
    assert graphql(ui.address, delete(run_id), headers=host).status_code == 400
    assert ui.socket_status(origin=f"http://{name or EVIL}:{ui.port}", host=f"{name or EVIL}:{ui.port}") == 400
    assert ui.instance.has_run(run_id)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_it_answers_to_the_names_of_this_machine(ui: Ui, name: str) -> None:
    for port in (ui.port, 8888):  # a tunnel ends in another port
        assert ui.ask("GET", "/", headers={"Host": f"{name}:{port}"}).status_code == 200


def test_it_answers_to_the_host_of_the_public_url_where_there_is_one(full: Ui, read_only: Ui) -> None:
    headers = {"Host": "etl.example.com", "Origin": "https://etl.example.com", "Sec-Fetch-Site": "same-origin"}
    assert graphql(read_only.address, "{ version }", headers=headers).status_code == 200
    assert graphql(full.address, "{ version }", headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://etl.example.com", "etl.example.com"),
        ("http://ETL.example.com:8080/x", "etl.example.com"),
        ("https://[fd00::1]:3000", "[fd00::1]"),
    ],
)
def test_the_host_of_the_public_url_is_allowed(url: str, host: str) -> None:
    assert allowed_hosts(url) == [*allowed_hosts(None), host]


@pytest.mark.parametrize("url", ["etl.example.com", "https://", "https://*", "https://*.example.com", "https://[x"])
def test_a_public_url_without_a_host_is_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(PublicUrlError, match=r"ETL_PUBLIC_URL names no host\. Write it as https://"):
        allowed_hosts(url)


# --- pages ---


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_a_mutation_from_another_page_is_refused(ui: Ui, headers: dict[str, str]) -> None:
    run_id = ui.add_run()
    in_url = f"/graphql?query={quote(delete(run_id))}"
    assert graphql(ui.address, delete(run_id), headers=headers).status_code == 403
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            answer = ui.ask(method, in_url, headers={**headers, "Content-Type": media_type}, content=b"x=y")
            assert answer.status_code == 403
    assert ui.ask("GET", in_url, headers={**LINK, "Accept": "text/html"}).status_code == 403
    if "Origin" in headers:
        assert ui.socket_status(origin=headers["Origin"]) == 403
    for path in PATHS:
        assert ui.ask("GET", path, headers=headers).status_code == 403
    assert ui.instance.has_run(run_id)


def test_a_page_of_another_port_of_this_machine_is_another_page(ui: Ui) -> None:
    for origin in (f"http://127.0.0.1:{ui.port + 1}", f"http://localhost:{ui.port}", "http://127.0.0.1"):
        assert graphql(ui.address, "{ version }", headers={"Origin": origin}).status_code == 403
        assert ui.socket_status(origin=origin) == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_graphql_is_executed_by_post_only(ui: Ui, method: str) -> None:
    run_id = ui.add_run()
    for headers in (ui.own(), {}):
        for path in ("//graphql", "/%67raphql", "/x/../graphql", "/graphql/"):
            answer = ui.ask(method, f"{path}?query={quote(delete(run_id))}", headers=headers)
            assert "json" not in answer.headers["Content-Type"]
        assert ui.ask(method, f"/graphql?query={quote(delete(run_id))}", headers=headers).status_code == 405
    assert ui.instance.has_run(run_id)


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "text/plain; application/json", "application/graphql", "application/x-www-form-urlencoded", ""],
)
def test_graphql_is_json_only(ui: Ui, media_type: str) -> None:
    run_id = ui.add_run()
    path = f"/graphql?query={quote(delete(run_id))}"
    for headers in (ui.own(), {}):
        answer = ui.ask("POST", path, headers={**headers, "Content-Type": media_type}, json={"query": delete(run_id)})
        assert answer.status_code == 415
    assert ui.instance.has_run(run_id)


def test_events_can_not_be_reported_over_http(ui: Ui) -> None:
    for kind in ("materialization", "check", "observation"):
        path = f"/report_asset_{kind}/orders"
        assert ui.ask("POST", path, json={"check_name": "x", "passed": True}, headers=ui.own()).status_code == 405
    assert ui.instance.get_latest_materialization_event(dg.AssetKey("orders")) is None


def test_its_own_page_and_programs_may_use_it(full: Ui) -> None:
    assert full.ask("GET", "/runs", headers=LINK).status_code == 200, "a link in a notice may lead here"
    assert full.ask("GET", STATIC, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    for headers in (full.own(), {}):
        run_id = full.add_run()
        answer = graphql(full.address, delete(run_id), headers=headers)
        assert answer.json() == {"data": {"deleteRun": {"__typename": "DeletePipelineRunSuccess"}}}
        assert not full.instance.has_run(run_id)


def test_the_read_only_ui_obeys_not_even_its_own_page(read_only: Ui) -> None:
    run_id = read_only.add_run()
    for headers in (read_only.own(), {}):
        answer = graphql(read_only.address, delete(run_id), headers=headers)
        assert answer.json() == {"data": {"deleteRun": {"__typename": "UnauthorizedError"}}}
    assert read_only.instance.has_run(run_id)


def test_web_sockets_are_for_its_own_page(ui: Ui) -> None:
    assert ui.socket_status(origin=ui.address) == 101
    assert ui.socket_status(origin=None) == 403, "no browser leaves it out, and no program needs it"
    assert ui.socket_status("/runs", origin=ui.address) == 403


def test_no_other_page_may_show_it_or_use_its_answers(ui: Ui) -> None:
    answers = [ui.ask("GET", path) for path in ("/", STATIC, "/server_info", "/graphql", "/logs/x/out")]
    for answer in answers:
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers.get_list("Content-Security-Policy")
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_refusal_is_logged_without_the_query(full: Ui, home: Path) -> None:
    path = f"/graphql?query={quote('mutation { secret4711 }')}"
    assert full.ask("GET", path, headers=CROSS_SITE[0]).status_code == 403
    log = (home / "full.log").read_text(encoding="utf-8")
    assert "Refused GET '/graphql': Pages of other sites may not use this UI." in log
    assert "4711" not in log


# --- a browser ---

ATTACKS: Final = """
async ([http, mutations]) => {
  const url = query => `${http}/graphql?query=${encodeURIComponent(query)}`;
  const type = 'application/json';
  const json = query => JSON.stringify({query});
  const form = (query, enctype) => new Promise(done => {
    const frame = document.createElement('iframe'), form = document.createElement('form');
    frame.name = 'f' + Math.random();
    form.method = 'POST'; form.enctype = enctype; form.action = url(query); form.target = frame.name;
    document.body.append(frame, form);
    frame.onload = done; setTimeout(done, 2000);
    form.submit();
  });
  const element = (tag, query) => new Promise(done => {
    const made = document.createElement(tag);
    made.onload = made.onerror = done; setTimeout(done, 2000);
    made[tag === 'link' ? 'href' : 'src'] = url(query);
    if (tag === 'link') made.rel = 'stylesheet';
    document.body.append(made);
  });
  const socket = query => new Promise(done => {
    const opened = new WebSocket(http.replace('http', 'ws') + '/graphql', 'graphql-ws');
    opened.onerror = opened.onclose = () => done('refused');
    opened.onopen = () => {
      opened.send(JSON.stringify({type: 'connection_init'}));
      opened.send(JSON.stringify({id: '1', type: 'start', payload: {query}}));
      setTimeout(() => done('opened'), 500);
    };
    setTimeout(() => done('silent'), 5000);
  });
  const ways = [
    query => fetch(url(query)),
    query => fetch(url(query), {mode: 'no-cors'}),
    query => fetch(`${http}/graphql`, {method: 'POST', headers: {'Content-Type': type}, body: json(query)}),
    query => fetch(`${http}/graphql`, {method: 'POST', mode: 'no-cors', body: json(query)}),
    query => fetch(url(query), {method: 'POST', mode: 'no-cors', body: 'x'}),
    query => navigator.sendBeacon(url(query), 'x'),
    query => form(query, 'text/plain'),
    query => form(query, 'application/x-www-form-urlencoded'),
    query => form(query, 'multipart/form-data'),
    query => element('img', query),
    query => element('script', query),
    query => element('link', query),
    query => element('iframe', query),
    query => socket(query),
  ];
  let last = null;
  for (const [way, query] of ways.map((way, at) => [way, mutations[at]])) {
    try { last = await way(query); } catch { last = 'failed'; }
  }
  await new Promise(done => setTimeout(done, 500));
  return last;
}
"""
WAYS: Final = 14


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and not os.environ.get("ETL_TEST_REQUIRE_SERVERS"):
        pytest.skip(MISSING)
    assert CHROMIUM is not None, MISSING
    with sync_playwright() as playwright:
        rebound = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, rebound])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_page() as opened:
        yield opened


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[int]:
    """Serve another site's page; yields its port."""
    (tmp_path / "index.html").write_text("<!DOCTYPE html><title>elsewhere</title><body></body>", encoding="utf-8")
    handler = partial(_Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def deleted_by(page: Page, ui: Ui) -> tuple[int, Any]:
    """Count the kinds of requests that deleted a run from the open page; also return the result of the WebSocket."""
    runs = [ui.add_run() for _ in range(WAYS)]
    socket = page.evaluate(ATTACKS, [ui.address, [delete(run_id) for run_id in runs]])
    return sum(not ui.instance.has_run(run_id) for run_id in runs), socket


def test_a_page_of_another_site_or_port_can_do_nothing_in_a_browser(page: Page, full: Ui, elsewhere: int) -> None:
    for name in ("127.0.0.1", "localhost", EVIL):
        page.goto(f"http://{name}:{elsewhere}/")
        assert deleted_by(page, full) == (0, "refused")
        page.evaluate("url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f) }",
                      full.address)  # fmt: skip
        page.wait_for_timeout(500)
        assert all("Dagster" not in frame.title() for frame in page.frames)


def test_a_name_that_was_made_to_point_here_can_do_nothing_in_a_browser(page: Page, full: Ui) -> None:
    answer = page.goto(f"http://{EVIL}:{full.port}/")
    assert answer is not None
    assert answer.status == 400
    rebound = Ui(full.instance, full.port)
    rebound.address = f"http://{EVIL}:{full.port}"
    assert deleted_by(page, rebound) == (0, "refused")


def test_its_own_page_can_in_a_browser(page: Page, full: Ui) -> None:
    page.goto(full.address)
    assert deleted_by(page, full) == (1, "opened"), "by a POST of JSON, and by nothing else"


def test_these_ways_lead_to_the_plain_webserver(
    page: Page, home: Path, instance: dg.DagsterInstance, elsewhere: int
) -> None:
    """Show the need for the guard: it can be removed once Dagster refuses these requests."""
    port = free_port()
    with started([str(BIN / "dagster-webserver"), "--port", str(port)], port, home / "plain.log"):
        plain = Ui(instance, port)
        page.goto(f"http://127.0.0.1:{elsewhere}/")
        deleted, socket = deleted_by(page, plain)
        assert deleted >= 5
        assert socket == "opened"
        run_id = plain.add_run()
        with suppress(Error):
            page.goto(f"http://{EVIL}:{port}/graphql?query={quote(delete(run_id))}")
        assert graphql(plain.address, delete(run_id), headers={"Host": EVIL}).status_code == 200
        assert not instance.has_run(run_id)


# --- the command that starts everything ---


def test_everything_that_dev_started_ends_with_a_part_of_it(settings: Settings, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "dev.log"
    command = [str(BIN / "etl-assets"), "dev", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=tmp_path)
    started: list[psutil.Process] = []
    try:
        wait_for_port(port)
        started = psutil.Process(process.pid).children(recursive=True)
        lines = {" ".join(one.cmdline()): one for one in started}
        parts = (
            "dagster code-server",
            "dagster api grpc",
            "dagster-daemon run",
            "etl-assets ui",
            "etl-assets web",
            "etl_assets.ui.ending",
        )
        assert [part for part in parts if not any(part in line for line in lines)] == []
        assert graphql(f"http://127.0.0.1:{port}", "{ version }", headers={"Host": EVIL}).status_code == 400
        next(one for line, one in lines.items() if "dagster-daemon run" in line).kill()
        assert process.wait(120) == 1
        assert [one for one in started if one.is_running()] == []
        assert f"The daemon has ended (code -{signal.SIGKILL:d})" in log.read_text(encoding="utf-8")
    finally:
        kill([*started, psutil.Process(process.pid)] if process.poll() is None else started)
        process.wait(60)


NEVER_ENDING: Final = """
import sys, time, uvicorn
from etl_assets.ui import server

async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    print("started", flush=True)
    await receive()
    time.sleep(600)

server.SECONDS_TO_EXIT = 0.5
server.Server(uvicorn.Config(app, port=0, log_level="critical")).run()
"""


@pytest.mark.slow
def test_the_ui_ends_after_a_signal_though_a_part_of_it_does_not() -> None:
    with subprocess.Popen([sys.executable, "-c", NEVER_ENDING], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.terminate()
        assert process.wait(60) == 1


def test_a_port_that_is_taken_is_reported_at_once(full: Ui, home: Path) -> None:
    arguments = [str(BIN / "etl-assets"), "dev", "--port", str(full.port)]
    result = subprocess.run(arguments, cwd=home, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"127.0.0.1:{full.port} can't be listened on" in result.stderr


def test_make_dev_starts_the_guarded_ui() -> None:
    make = shutil.which("make")
    assert make is not None
    project = Path(__file__).resolve().parents[1]
    command = [make, "--no-print-directory", "-n", "dev"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == ".venv/bin/etl-assets dev --port 3000"
