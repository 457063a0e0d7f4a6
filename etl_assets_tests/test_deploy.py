"""Services of `deploy/` work as described, and no other web page can use them."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

import dagster as dg
import httpx
import pytest
import sqlalchemy as sa
import yaml

from etl_assets_tests.helpers.alert_receivers import free_port
from etl_assets_tests.helpers.deployment import (
    DEPLOY,
    PASSWORD,
    PLAIN,
    ROOT,
    UNITS,
    USER,
    Host,
    find_nginx,
    graphql,
    prepare_host,
    proxy,
    unit,
    wait_for_file,
    wait_for_port,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIL: Final = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
LINK: Final = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
LOGIN: Final = (USER, PASSWORD)
LAUNCH: Final = (
    'mutation { launchRun(executionParams: {mode: "default", runConfigData: {}, selector: {repositoryLocationName:'
    ' "etl_assets", repositoryName: "__repository__", jobName: "etl_pipeline"}}) { __typename } }'
)
VERSION: Final = "{ version }"


def delete(run_id: str) -> str:
    return f'mutation {{ deleteRun(runId: "{run_id}") {{ __typename }} }}'


@dataclass(frozen=True, slots=True)
class Deployment:
    """The services of the units, on their own database.

    `proxied` is the proxy before the UI that may launch runs, `web` the one before the web page.
    """

    instance: dg.DagsterInstance
    read_only: str
    full: str
    proxied: str | None
    web: str | None

    def add_run(self) -> str:
        """Record a run that ended, for others to delete."""
        run = dg.DagsterRun(job_name="etl_pipeline", run_id=str(uuid4()), status=dg.DagsterRunStatus.SUCCESS)
        self.instance.add_run(run)
        return run.run_id


@pytest.fixture(scope="module")
def databases(server_url: sa.URL) -> Iterator[dict[str, str]]:
    """Two empty databases, and the settings that name them."""
    engine = sa.create_engine(server_url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("deployed_orders", "deployed_dagster"):
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
    orders = server_url.set(database="deployed_orders")
    dagster = server_url.set(drivername="postgresql+psycopg2", database="deployed_dagster")
    yield {
        "ETL_DATABASE_URL": orders.render_as_string(hide_password=False),
        "ETL_DAGSTER_DATABASE_URL": dagster.render_as_string(hide_password=False),
    }
    with engine.connect() as connection:
        for name in ("deployed_orders", "deployed_dagster"):
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(scope="module")
def host(databases: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Host prepared as in docs/production.md, up to the tables."""
    host = prepare_host(tmp_path_factory.mktemp("h"), databases)
    host.run_once("etl-assets-upgrade")
    return host


@pytest.fixture(scope="module")
def instance(host: Host) -> Iterator[dg.DagsterInstance]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in host.variables("etl-assets-daemon").items():
            patch.setenv(name, value)
        with dg.DagsterInstance.from_config(str(host.folder / "state" / "dagster")) as opened:
            yield opened


@pytest.fixture(scope="module")
def deployment(host: Host, instance: dg.DagsterInstance) -> Iterator[Deployment]:
    read_only, full, web = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(host.running("etl-assets-code"))
        wait_for_file(host.folder / "code.sock")
        stack.enter_context(host.running("etl-assets-ui-readonly", port=read_only))
        stack.enter_context(host.running("etl-assets-ui", port=full))
        stack.enter_context(host.running("etl-assets-web", port=web))
        wait_for_port(read_only)
        wait_for_port(full)
        wait_for_port(web)
        nginx = find_nginx()
        proxied = stack.enter_context(proxy(host.folder, nginx, full, web)) if nginx else (None, None)
        yield Deployment(instance, f"http://127.0.0.1:{read_only}", f"http://127.0.0.1:{full}", *proxied)


@pytest.fixture
def proxied(deployment: Deployment) -> str:
    if deployment.proxied is None:
        pytest.skip("nginx is not installed here")
    return deployment.proxied


# --- the instance ---


@pytest.mark.slow
def test_the_instance_uses_postgresql_and_has_the_limits_of_the_file(
    instance: dg.DagsterInstance,
) -> None:
    assert type(instance.run_storage).__name__ == "PostgresRunStorage"
    assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_runtime_seconds == 6 * 3600
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert instance.telemetry_enabled is False
    assert instance.get_concurrency_config().pool_config.default_pool_limit == 1


@pytest.mark.slow
def test_a_run_and_its_output_are_recorded_there(instance: dg.DagsterInstance, host: Host) -> None:
    @dg.asset
    def thing() -> None:
        print("printed by the run")  # noqa: T201  # it is what compute logs are about

    result = dg.materialize([thing], instance=instance)
    assert instance.get_run_by_id(result.run_id).is_success  # type: ignore[union-attr]
    logs = [path.read_text() for path in (host.folder / "state" / "compute_logs").rglob("*.out")]
    assert "printed by the run\n" in logs
    kept_in_files = {path.name for path in (host.folder / "state" / "dagster").iterdir()}
    assert not kept_in_files & {"storage", "history", "schedules"}, "the folders of an instance without PostgreSQL"


# --- the UI ---


@pytest.mark.slow
def test_the_ui_of_the_units_shows_the_code_location(deployment: Deployment) -> None:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    for address in (deployment.read_only, deployment.full):
        data = graphql(address, query).json()["data"]["repositoriesOrError"]
        assert data == {"nodes": [{"name": "__repository__", "location": {"name": "etl_assets"}}]}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_read_only_ui_launches_and_deletes_nothing(deployment: Deployment, method: str) -> None:
    run_id = deployment.add_run()
    before = deployment.instance.get_runs_count()
    for query in (LAUNCH, delete(run_id)):
        if method == "GET":
            answer = httpx.get(f"{deployment.read_only}/graphql", params={"query": query}, **PLAIN)
            assert answer.status_code == 405
        else:
            (field,) = graphql(deployment.read_only, query).json()["data"].values()
            assert field == {"__typename": "UnauthorizedError"}
    assert deployment.instance.get_runs_count() == before
    assert deployment.instance.has_run(run_id)


@pytest.mark.slow
def test_without_the_proxy_no_ui_obeys_another_page_or_answers_to_another_name(deployment: Deployment) -> None:
    run_id = deployment.add_run()
    for address in (deployment.read_only, deployment.full):
        for headers in (EVIL, {"Sec-Fetch-Site": "same-site"}):
            answer = httpx.get(
                f"{address}/graphql",
                params={"query": delete(run_id)},
                headers=headers,
                **PLAIN,
            )
            assert answer.status_code == 403
            assert graphql(address, delete(run_id), headers=headers).status_code == 403
        assert graphql(address, VERSION, headers={"Host": "evil.example"}).status_code == 400
        assert graphql(address, VERSION, headers={"Host": "etl.example.com"}).status_code == 200, "ETL_PUBLIC_URL"
    assert deployment.instance.has_run(run_id)


# --- the proxy ---


def own(address: str) -> dict[str, str]:
    """Return the headers of a browser's request from the UI's own page."""
    return {"Origin": address, "Sec-Fetch-Site": "same-origin"}


def first_line(address: str, request_line: str, **headers: str) -> str:
    """The first line of the answer to a request that no client library has tidied up, sent with the password."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    fields = {"Host": urlsplit(address).netloc, "Authorization": f"Basic {login}", **headers}
    lines = [f"{request_line} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    with socket.create_connection(("127.0.0.1", urlsplit(address).port or 80), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return connection.recv(4096).decode(errors="replace").split("\r\n")[0]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/graphql", "//graphql", "/%67raphql", "/x/../graphql", "/graphql/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_the_proxy_refuses_a_mutation_by_any_other_method(
    deployment: Deployment, proxied: str, path: str, method: str
) -> None:
    run_id = deployment.add_run()
    for headers in (EVIL, own(proxied), {}):
        line = first_line(proxied, f"{method} {path}?query={quote(delete(run_id))}", **headers)
        assert line.startswith("HTTP/1.1 405 ")
    assert deployment.instance.has_run(run_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        EVIL,
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_the_proxy_refuses_a_post_from_another_site(
    deployment: Deployment, proxied: str, headers: dict[str, str]
) -> None:
    run_id = deployment.add_run()
    assert graphql(proxied, delete(run_id), headers=headers, auth=LOGIN).status_code == 403
    assert deployment.instance.has_run(run_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/plain; application/json", "application/graphql", "application/x-www-form-urlencoded", ""],
)
def test_the_proxy_takes_json_only(deployment: Deployment, proxied: str, content_type: str) -> None:
    run_id = deployment.add_run()
    headers = {"Content-Type": content_type}
    assert graphql(proxied, delete(run_id), headers=headers, auth=LOGIN).status_code == 405
    assert deployment.instance.has_run(run_id)


@pytest.mark.slow
def test_the_proxy_takes_no_reports_of_events(proxied: str) -> None:
    answer = httpx.post(
        f"{proxied}/report_asset_materialization/orders",
        json={},
        auth=LOGIN,
        headers=own(proxied),
        **PLAIN,
    )
    assert answer.status_code == 405


@pytest.mark.slow
def test_the_proxy_answers_to_its_own_names_only(proxied: str) -> None:
    for name in ("evil.example", "etl.example.com.evil.example", "127.0.0.1"):
        assert graphql(proxied, VERSION, headers={"Host": name}, auth=LOGIN).status_code == 421
    assert graphql(proxied, VERSION, headers={"Host": "etl.example.com"}, auth=LOGIN).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("login", [None, (USER, "wrong"), ("bob", PASSWORD)], ids=str)
def test_the_proxy_asks_for_a_password(proxied: str, login: tuple[str, str] | None) -> None:
    for path in ("/", "/server_info", "/runs"):
        assert httpx.get(f"{proxied}{path}", auth=login, **PLAIN).status_code == 401
    assert graphql(proxied, VERSION, auth=login).status_code == 401


@pytest.mark.slow
def test_through_the_proxy_the_ui_works(deployment: Deployment, proxied: str) -> None:
    page = httpx.get(f"{proxied}/runs", auth=LOGIN, **PLAIN, headers=LINK)
    assert page.status_code == 200, "a link in a notice may lead here"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers.get_list("Content-Security-Policy")
    answer = graphql(proxied, VERSION, headers=own(proxied), auth=LOGIN)
    assert answer.json() == {"data": {"version": dg.__version__}}
    for headers in (own(proxied), {}):
        run_id = deployment.add_run()
        answer = graphql(proxied, delete(run_id), headers=headers, auth=LOGIN)
        assert answer.json() == {"data": {"deleteRun": {"__typename": "DeletePipelineRunSuccess"}}}
        assert not deployment.instance.has_run(run_id)


@pytest.mark.slow
def test_the_proxy_opens_web_sockets_to_its_own_page_only(proxied: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    assert first_line(proxied, "GET /graphql", **upgrade, **own(proxied)).startswith("HTTP/1.1 101 ")
    for headers in (EVIL, {"Origin": "http://evil.example"}, {"Origin": "null"}, {}):
        assert first_line(proxied, "GET /graphql", **upgrade, **headers).startswith("HTTP/1.1 403 ")


@pytest.mark.slow
def test_the_web_page_answers_through_the_proxy_when_it_has_users(deployment: Deployment, host: Host) -> None:
    if deployment.web is None:
        pytest.skip("nginx is not installed here")
    with httpx.Client(base_url=deployment.web, follow_redirects=True, **PLAIN) as browser:
        refused = browser.get("/leads", headers={"X-Forwarded-For": "127.0.0.1", "X-Remote-User": "root"})
        assert refused.status_code == 403
        assert "No users are set up" in refused.text
        environment = {**host.variables("etl-assets-web"), "ETL_USER_PASSWORD": PASSWORD * 2}
        command = [str(Path(sys.executable).with_name("etl-assets")), "users", "add", USER, "--role", "sales"]
        subprocess.run(command, env=environment, cwd=host.folder, check=True, capture_output=True)
        form = browser.get("/leads")
        token = re.search(r'name="csrf_token" value="([^"]+)"', form.text)
        assert token, form.text
        fields = {"name": USER, "password": PASSWORD * 2, "csrf_token": token[1], "next": "/orders"}
        page = browser.post("/login", data=fields, headers={"X-Forwarded-For": "203.0.113.5", **own(deployment.web)})
        assert (page.status_code, page.url.path) == (200, "/orders")
        assert browser.get("/", headers={"Host": "evil.example"}).status_code == 421
        browser.get("/leads?q=Customer", headers={"Referer": f"{deployment.web}/leads?q=Customer"})
    log = (host.folder / "access.log").read_text(encoding="utf-8")
    assert '"GET /leads" 200' in log
    assert "Customer" not in log, "what users search for is not logged"
    engine = sa.create_engine(sa.make_url(host.environment["ETL_DATABASE_URL"]).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        after = connection.execute(sa.text("SELECT after FROM etl.user_actions WHERE action = 'log in'")).scalar_one()
    engine.dispose()
    assert after == {"address": "127.0.0.1"}, "the client is what the proxy says, not what the client says"


# --- the files ---


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_hardened_and_opens_no_port_to_others(path: Path) -> None:
    service = unit(path.stem)
    assert service["User"] == ["etl-assets"]
    assert service["EnvironmentFile"] == ["/etc/etl-assets/environment"]
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == (["yes"], ["strict"])
    assert service["CapabilityBoundingSet"] == []
    command = "\n".join(service["ExecStart"])
    assert "dagster-webserver" not in command, "it is started by `etl-assets ui`, which listens on 127.0.0.1 only"
    assert ("/etl-assets ui " in command) == ("-ui" in path.stem)
    assert "0.0.0.0" not in command  # noqa: S104  # it is what must not be
    assert ("--read-only" in command) == (path.stem == "etl-assets-ui-readonly")


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed here")
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/etl-assets/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    command = [analyze, "verify", "--man=no", *(str(tmp_path / path.name) for path in UNITS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in result.stderr.splitlines() if "etl-assets" in line] == []


def test_the_containers_are_made_of_files_and_commands_that_exist() -> None:
    containerfile = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?:--chown=\S+ )?(?!--from)(.+) \S+$", containerfile, re.MULTILINE)
    assert len(copied) == 4
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"postgres", "migrate", "code", "daemon", "ui", "web", "proxy"}
    for mounted in (volume for service in services.values() for volume in service["volumes"]):
        source = mounted.split(":")[0]
        assert not source.startswith("./") or source == "./passwords" or (DEPLOY / source).exists(), mounted
    for name in ("code", "daemon", "ui", "web"):
        assert (Path(sys.executable).parent / services[name]["command"][0]).exists()
    assert "--read-only" in services["ui"]["command"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8080:8080", "127.0.0.1:8081:8081"]
    assert services["proxy"]["command"][2].count("listen 127.0.0.1:") == 1


def test_the_services_get_their_settings_by_the_same_names_everywhere() -> None:
    example = (DEPLOY / "environment.example").read_text(encoding="utf-8")
    wanted = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")))
    given = set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    in_image = set(re.findall(r"(\w+)=/var/lib", (DEPLOY / "Containerfile").read_text(encoding="utf-8")))
    assert wanted <= given | in_image
    assert "\nETL_SAMPLE_ROWS=masked\n" in example
    for path in UNITS:
        assert wanted <= given | {line.split("=")[0] for line in unit(path.stem)["Environment"]}
