"""Attacks on the web page, and who may do what: each is refused, and nothing is changed."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from typer.testing import CliRunner

from etl_assets.cli.main import app as commands
from etl_assets.database.database import sqlstate_of
from etl_assets.database.web_schema import web_login_attempts, web_sessions, web_users
from etl_assets.user_actions import record_user_action
from etl_assets.web.app import page_routes
from etl_assets.web.endpoint import PageEndpoint
from etl_assets.web.page import PageRoute, form_of
from etl_assets.web.permissions import PERMISSIONS_OF, Permission, Role
from etl_assets.web.security import log_in as log_in_module
from etl_assets.web.security.headers import HEADERS
from etl_assets.web.security.log_in import LIMIT_OF_ADDRESS, LIMIT_OF_NAME, LIMIT_OF_PAIR, Attempt, count_attempt
from etl_assets.web.security.proxies import ProxyAddressError
from etl_assets.web.security.sessions import COOKIE
from etl_assets.web.security.users import remove_user, set_password, set_role, start_session
from etl_assets.web.server import WebError, serve
from etl_assets_tests.helpers.web import PASSWORD, WebClient, password_hash, set_up_user, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings

PARAMETER: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
SAMPLES: Final = {"uuid": "00000000-0000-0000-0000-000000000000", "int": "1"}
MEGABYTE: Final = 1024 * 1024
WITHOUT_LOG_IN: Final = {("/language", "POST"), ("/login", "GET"), ("/login", "POST"), ("/logout", "POST")}


def all_routes() -> list[tuple[PageRoute, str, str]]:
    """Each route with one of its methods and a path that it answers to."""
    return [
        (route, method, PARAMETER.sub(lambda match: SAMPLES.get(match[2], "x"), route.path))
        for route in page_routes()
        for method in route.methods
    ]


def count(services: Services, table: sa.Table) -> int:
    with services.database.transaction() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_role_can_do_what_its_line_in_the_table_says_and_nothing_else(services: Services) -> None:
    """Walks all routes in all roles; forms are empty and lack their token, so that none changes anything."""
    routes = all_routes()
    assert len(routes) > 10
    for role in Role:
        client = WebClient(services, role=role)
        client.http.follow_redirects = False
        for route, method, path in routes:
            response = client.http.request(method, path)
            may = route.permission is None or route.permission in PERMISSIONS_OF[role]
            if may and method == "GET":
                assert response.status_code in {200, 303, 404}, f"{role} {path}: {response.text}"
            else:
                assert response.status_code == 403, f"{role}: {method} {path}"


def test_without_log_in_each_page_leads_to_the_form(services: Services) -> None:
    set_up_user(services, "ann", Role.ADMIN)
    client = WebClient(services)
    client.http.follow_redirects = False
    public = set()
    for route, method, path in all_routes():
        response = client.http.request(method, path)
        if route.permission is None:
            public.add((route.path, method))
        else:
            assert response.status_code == 303
            assert response.headers["location"].startswith("/login")
            assert response.content == b""
    assert public == WITHOUT_LOG_IN


def test_roles_are_a_ladder() -> None:
    viewer, sales, operator, admin = (PERMISSIONS_OF[role] for role in Role)
    assert viewer < sales < operator < admin == set(Permission)


def test_a_user_logs_in_and_returns_to_the_page_that_was_asked_for(services: Services) -> None:
    set_up_user(services, "安娜", "sales")
    client = WebClient(services)
    form = client.get("/orders", q="x")
    assert form.url.path == "/login"
    assert "Log in" in text_of(form)
    response = client.post("/login", {"name": "安娜", "password": PASSWORD, "next": "/orders?q=x"})
    assert (response.url.path, response.url.query) == ("/orders", b"q=x")
    assert "安娜" in text_of(response)
    assert "Log out" in text_of(response)
    assert "Log of actions" not in text_of(response)
    assert client.get("/login").url.path == "/leads"
    with services.database.transaction() as connection:
        row = connection.execute(
            sa.text("SELECT user_name, action, after FROM user_actions WHERE action = 'log in'")
        ).one()
    assert tuple(row) == ("安娜", "log in", {"address": "127.0.0.1"})


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong password"), ("ben", PASSWORD), ("viewer", ""), ("ann\0", PASSWORD), ("ann", "x" * 20_000)],
)
def test_a_wrong_name_or_password_is_refused_alike(services: Services, name: str, password: str) -> None:
    set_up_user(services, "ann", "sales")
    WebClient(services, role="viewer")  # a user without password
    response = WebClient(services).log_in(name, password)
    assert response.status_code in {400, 422}
    assert "Name or password is wrong." in text_of(response) or "\0" in name
    assert count(services, web_sessions) == 1


def test_a_log_in_leads_to_pages_of_this_site_only(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_module, "is_password", lambda *_: True)
    set_up_user(services, "ann", "sales")
    for target in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
    ):
        client = WebClient(services)
        client.http.follow_redirects = False
        response = client.post("/login", {"name": "ann", "password": PASSWORD, "next": target})
        assert response.headers["location"] == "/"


def test_a_session_starts_anew_at_log_in_and_is_worth_nothing_after_log_out(services: Services) -> None:
    set_up_user(services, "ann", "sales")
    client = WebClient(services)
    client.get("/login")
    before = client.http.cookies[COOKIE]
    client.log_in("ann")
    during = client.http.cookies[COOKIE]
    assert before != during
    assert client.post("/logout").url.path == "/login"
    for stolen in (before, during):
        thief = WebClient(services)
        thief.http.cookies.set(COOKIE, stolen, domain="127.0.0.1")
        assert thief.get("/leads").url.path == "/login"
    assert count(services, web_sessions) == 0


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(services: Services) -> None:
    assert "Secure" not in WebClient(services).get("/leads").headers["set-cookie"]
    settings = services.database.settings.model_copy(update={"web_trusted_proxies": "127.0.0.1"})
    set_up_user(services, "ann", "sales")
    client = WebClient(services, settings=settings)
    cookie = client.http.get("/login", headers={"X-Forwarded-Proto": "https"}).headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("change", ["removed", "password"])
def test_a_session_ends_when_its_user_is_removed_or_gets_another_password(services: Services, change: str) -> None:
    client = WebClient(services, role="sales")
    set_up_user(services, "another", "admin")
    token = client.csrf_token
    assert client.get("/leads").url.path == "/leads"
    with services.database.transaction() as connection:
        if change == "removed":
            remove_user(connection, "sales")
        else:
            set_password(connection, "sales", password_hash())
    assert client.get("/leads").url.path == "/login"
    client.http.follow_redirects = False
    assert client.http.post("/logout", data={"csrf_token": token}).headers["location"] == "/login"
    with services.database.transaction() as connection:
        if change == "removed":
            connection.execute(sa.insert(web_users).values(user_name="sales", role="admin"))
    assert client.get("/leads").headers["location"].startswith("/login"), "a new user of the name gets no old session"


def test_a_password_that_changes_during_a_log_in_leaves_no_session(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change waits for the log-in, and ends its session then."""
    set_up_user(services, "ann", "sales")
    client, waited = WebClient(services), []

    def change(*values: Any, **more: Any) -> None:
        start_session(*values, **more)
        with services.database.transaction() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(sa.exc.OperationalError) as error:
                set_password(connection, "ann", password_hash())
            connection.rollback()
        waited.append(sqlstate_of(error.value))

    monkeypatch.setattr(log_in_module, "start_session", change)
    assert client.log_in("ann").url.path == "/leads"
    assert waited == ["55P03"]


def test_another_role_counts_from_the_next_request_on(services: Services) -> None:
    client = WebClient(services, role="admin")
    assert client.get("/actions").status_code == 200
    with services.database.transaction() as connection:
        set_role(connection, "admin", Role.SALES)
    assert client.get("/actions").status_code == 403


def test_an_expired_session_is_no_session(services: Services) -> None:
    client = WebClient(services, role="sales")
    with services.database.transaction() as connection:
        connection.execute(sa.update(web_sessions).values(expires_at=sa.func.now()))
    assert client.get("/leads").url.path == "/login"


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "eyJhIjoxfQ.aaaa.bbbb"])
def test_a_forged_cookie_is_no_session(services: Services, cookie: str) -> None:
    client = WebClient(services, role="admin")
    genuine = client.http.cookies[COOKIE]
    client.http.cookies.set(COOKIE, cookie or genuine[:-1], domain="127.0.0.1")
    assert client.get("/leads").url.path == "/login"


def test_a_form_without_the_token_of_its_own_session_is_refused(services: Services) -> None:
    client, other = WebClient(services, role="sales"), WebClient(services, role="operator")
    form = {"language": "zh", "next": "/leads"}
    for token in (None, "", "x", "é", client.csrf_token[:-1], other.csrf_token):
        data = form if token is None else {**form, "csrf_token": token}
        response = client.http.post("/language", data=data)
        assert response.status_code == 403
        assert "etl_language" not in client.http.cookies
    assert client.http.post("/language", data=form, headers={"X-CSRF-Token": client.csrf_token}).status_code == 200
    assert client.http.cookies["etl_language"] == "zh"


def test_a_token_is_worth_nothing_without_its_cookie(services: Services) -> None:
    client = WebClient(services, role="sales")
    token = client.csrf_token
    client.http.cookies.clear()
    assert client.http.post("/language", data={"language": "zh", "csrf_token": token}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:3000"},
    ],
)
def test_a_form_of_another_site_is_refused_even_with_a_token(web: WebClient, headers: dict[str, str]) -> None:
    response = web.http.post("/language", data={"language": "zh", "csrf_token": web.csrf_token}, headers=headers)
    assert response.status_code == 403
    assert "etl_language" not in web.http.cookies


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:3001", "127.0.0.1@evil.example"]
)
def test_a_foreign_host_name_is_refused(web: WebClient, host: str) -> None:
    response = web.http.get("/leads", headers={"Host": host})
    assert response.status_code == 400
    assert "set-cookie" not in response.headers


def test_the_public_host_name_is_answered_to_when_there_are_users(services: Services) -> None:
    settings = services.database.settings.model_copy(update={"web_url": "https://leads.example.com"})
    client = WebClient(services, settings=settings, url="https://leads.example.com", client="203.0.113.5")
    response = client.get("/leads")
    assert response.status_code == 403
    assert "No users are set up" in text_of(response)
    set_up_user(services, "ann", "sales")
    assert client.get("/leads").url.path == "/login"
    assert client.log_in("ann").url.path == "/leads"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_without_users_nothing_that_a_proxy_passes_on_is_answered(web: WebClient, header: str) -> None:
    assert web.get("/leads").status_code == 200
    assert web.http.get("/leads", headers={header: "203.0.113.5"}).status_code == 403


def test_without_users_other_machines_are_not_answered(services: Services) -> None:
    client = WebClient(services, client="192.168.1.7")
    for _, method, path in all_routes():
        assert client.http.request(method, path).status_code == 403


def test_without_users_the_server_does_not_listen_for_other_machines(services: Services) -> None:
    with pytest.raises(WebError, match="etl-assets users add"):
        serve(services.database.settings, services.database, host="0.0.0.0", port=3001)  # noqa: S104  # that it is refused


def behind_proxy(services: Services, **update: object) -> Settings:
    values = {"web_trusted_proxies": "10.1.0.0/16", "web_user_header": "X-Remote-User", **update}
    return services.database.settings.model_copy(update=values)


def test_a_trusted_proxy_names_the_user(services: Services) -> None:
    set_up_user(services, "安娜", "operator")
    client = WebClient(services, settings=behind_proxy(services), client="10.1.2.3")
    page = client.http.get("/leads", headers={"X-Remote-User": "安娜".encode()})
    assert "安娜" in text_of(page)
    assert "Log out" not in text_of(page)
    unknown = client.http.get("/leads", headers={"X-Remote-User": "ben"})
    assert unknown.status_code == 403
    assert "ben" in text_of(unknown)


def test_the_header_of_any_other_sender_is_ignored(services: Services) -> None:
    set_up_user(services, "ann", "admin")
    for settings, client in (
        (behind_proxy(services), "10.2.0.1"),
        (behind_proxy(services, web_trusted_proxies=None), "127.0.0.1"),
        (behind_proxy(services, web_user_header=None), "10.1.2.3"),
    ):
        browser = WebClient(services, settings=settings, client=client)
        assert browser.http.get("/leads", headers={"X-Remote-User": "ann"}).url.path == "/login"
    twice = [("X-Remote-User", "ann"), ("X-Remote-User", "ben")]
    browser = WebClient(services, settings=behind_proxy(services), client="10.1.2.3")
    assert browser.http.get("/leads", headers=twice).url.path == "/login"


def test_attempts_count_for_the_client_that_a_trusted_proxy_reports(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_user(services, "ann", "admin")
    seen: list[object] = []

    def record(_: sa.Connection, subjects: object) -> bool:
        seen.append(subjects)
        return True

    monkeypatch.setattr(log_in_module, "is_password", lambda *_: False)
    monkeypatch.setattr(log_in_module, "count_attempt", record)
    client = WebClient(services, settings=behind_proxy(services), client="10.1.2.3")
    for address in ("203.0.113.5", "203.0.113.5, 10.1.9.9", "2001:db8::1", "2001:db8::2"):
        data = {"name": "ann", "password": "x", "csrf_token": client.csrf_token}
        client.http.post("/login", data=data, headers={"X-Forwarded-For": address})
    assert seen[0] == seen[1]
    assert seen[1] != seen[2] == seen[3], "hosts of IPv6 have networks of their own"


def test_an_unusable_list_of_proxies_is_refused_at_the_start(services: Services) -> None:
    with pytest.raises(ProxyAddressError, match="ETL_WEB_TRUSTED_PROXIES"):
        WebClient(services, settings=behind_proxy(services, web_trusted_proxies="localhost"))


def test_log_in_attempts_are_limited(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_user(services, "ann", "sales")
    hashed: list[str] = []

    def refuse(password: str, _: str | None) -> bool:
        hashed.append(password)
        return False

    monkeypatch.setattr(log_in_module, "is_password", refuse)
    client = WebClient(services)
    answers = [client.log_in("ann", f"guess {number}").status_code for number in range(LIMIT_OF_PAIR + 3)]
    assert answers == [422] * LIMIT_OF_PAIR + [429] * 3
    assert len(hashed) == LIMIT_OF_PAIR, "further passwords are not looked at"
    monkeypatch.undo()
    response = client.log_in("ann")
    assert response.status_code == 429, "the right one neither"
    assert "Too many attempts" in text_of(response)
    elsewhere = WebClient(services, client="192.168.1.9")
    assert elsewhere.log_in("ann").url.path == "/leads", "its user may log in from another address"


@pytest.mark.slow
def test_of_ten_thousand_attempts_few_reach_a_password(services: Services) -> None:
    """From one address with many names, and with one name from many addresses."""
    one_address = [Attempt(f"user {n}", "x", "203.0.113.5") for n in range(5000)]
    one_name = [Attempt("ann", "x", f"10.0.{n // 250}.{n % 250}") for n in range(5000)]
    for attempts, limit in ((one_address, LIMIT_OF_ADDRESS), (one_name, LIMIT_OF_NAME)):
        reached = 0
        for start in range(0, len(attempts), 100):  # a row that is updated often in one transaction becomes slow
            with services.database.transaction() as connection:
                part = attempts[start : start + 100]
                reached += sum(count_attempt(connection, one.subjects(b"key")) for one in part)
        assert reached == limit


def test_an_address_beyond_its_limit_adds_no_rows(services: Services) -> None:
    """Each name that is tried is a row: one address with endless names would fill the disk."""
    with services.database.transaction() as connection:
        for number in range(LIMIT_OF_ADDRESS + 50):
            count_attempt(connection, Attempt(f"user {number}", "x", "203.0.113.5").subjects(b"key"))
    assert count(services, web_login_attempts) == 1 + 2 * LIMIT_OF_ADDRESS


def test_attempts_are_forgotten_after_their_window(services: Services) -> None:
    set_up_user(services, "ann", "sales")
    subjects = Attempt("ann", "x", "127.0.0.1").subjects(b"key")
    with services.database.transaction() as connection:
        assert [count_attempt(connection, subjects) for _ in range(LIMIT_OF_PAIR + 1)][-1] is False
        connection.execute(sa.text("UPDATE web_login_attempts SET first_at = first_at - interval '16 minutes'"))
        assert count_attempt(connection, subjects)
        connection.execute(sa.text("UPDATE web_login_attempts SET first_at = first_at - interval '16 minutes'"))
    WebClient(services).log_in("ann")
    assert count(services, web_login_attempts) == 1, "that of the address, with none left"


def test_every_response_has_the_security_headers(services: Services) -> None:
    client = WebClient(services)
    for path in ("/leads", "/nowhere", "/static/app.css", "/login"):
        response = client.http.get(path)
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    policy = client.get("/leads").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert client.get("/leads").headers["cache-control"] == "no-store"


def test_no_page_has_inline_script_or_style(web: WebClient) -> None:
    for route, method, path in all_routes():
        if method == "GET" and route.path != "/":
            page = web.get(path).text
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle=|\son\w+=|javascript:", page), path


@pytest.fixture
def upload(web: WebClient) -> WebClient:
    """The web page with a route that takes files and reports their size."""

    def size(request: Request) -> Response:
        return PlainTextResponse(str(form_of(request)["file"].size))  # type: ignore[union-attr]  # it is a file

    route = PageRoute("/upload", size, Permission.MANAGE_IMPORTS, methods=("POST",), is_upload=True)
    web.app.router.routes.insert(0, Route("/upload", PageEndpoint(route), methods=["POST"]))
    return web


def parts(token: str, sizes: int) -> Iterator[bytes]:
    """A multipart form whose file has so many megabytes, as they are sent."""
    yield f'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n--b\r\n'.encode()
    yield b'Content-Disposition: form-data; name="file"; filename="x.csv"\r\nContent-Type: text/csv\r\n\r\n'
    for _ in range(sizes):
        yield b"x" * MEGABYTE
    yield b"\r\n--b--\r\n"


def test_an_upload_may_be_larger_than_a_form(upload: WebClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = upload.http.post("/upload", content=b"".join(parts(upload.csrf_token, 3)), headers=headers)
    assert response.text == str(3 * MEGABYTE)
    form = upload.http.post("/language", data={"next": "x" * (MEGABYTE + 1), "csrf_token": upload.csrf_token})
    assert form.status_code == 413


def test_a_huge_upload_is_refused_before_it_is_read(upload: WebClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(1024 * MEGABYTE)}
    response = upload.http.post("/upload", content=b"--b", headers=headers)
    assert response.status_code == 413
    assert "That is too large" in text_of(response)


def test_an_upload_that_hides_its_size_ends_at_the_limit(services: Services) -> None:
    """Each part is counted as it arrives: Content-Length is absent."""
    settings = services.database.settings.model_copy(update={"web_upload_mb": 2})
    client = WebClient(services, settings=settings)
    route = PageRoute("/upload", lambda _: PlainTextResponse("read"), Permission.SEE, methods=("POST",), is_upload=True)
    client.app.router.routes.insert(0, Route("/upload", PageEndpoint(route), methods=["POST"]))
    left = parts(client.csrf_token, 1024)
    answers: list[MutableMapping[str, Any]] = []
    cookies = "; ".join(f"{name}={value}" for name, value in client.http.cookies.items())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(left), "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        answers.append(message)

    headers = {"host": "127.0.0.1:3001", "content-type": "multipart/form-data; boundary=b", "cookie": cookies}
    scope = {
        "type": "http", "method": "POST", "path": "/upload", "query_string": b"", "scheme": "http",
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 3001), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(client.app(scope, receive, send))
    assert answers[0]["status"] == 413
    assert len(list(left)) > 1000, "the rest was not read"


def test_files_in_a_form_that_takes_none_are_refused(web: WebClient) -> None:
    assert web.post("/language", {"language": "zh"}, files={"file": ("x", b"y")}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/login?next=//[",
        "/leads?min=1e-20000",
        "/leads?max=0e-999999",
        f"/leads?sort=largest&page=٣~{'0' * 32}",
        f"/leads?page=2026-01-01 00:00:0٣%2B00~{'0' * 32}",
    ],
)
def test_an_address_that_makes_no_sense_is_no_failure_of_the_server(web: WebClient, path: str) -> None:
    assert web.http.get(path).status_code == 200


@pytest.mark.parametrize("to", ["//[", "/leads?q=客户"])
@pytest.mark.parametrize("is_fragment", [True, False])
def test_a_form_may_name_any_address_to_go_on(web: WebClient, to: str, is_fragment: bool) -> None:  # noqa: FBT001
    assert web.post("/language", {"next": to, "language": "zh"}, fragment=is_fragment).status_code in {200, 204}
    assert web.post("/leads/views", {"next": to, "name": "x"}, fragment=is_fragment).status_code in {200, 204}


@pytest.mark.parametrize("codec", ["punycode", "idna", "unicode_escape", "undefined"])
def test_a_form_that_names_an_encoding_is_refused_before_it_is_decoded(web: WebClient, codec: str) -> None:
    """Punycode takes quadratic time: a megabyte of it would stop the server for minutes, without a log-in."""
    body = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--x--\r\n'
    for kind in (
        f"multipart/form-data; boundary=x; charset={codec}",
        f"Multipart/Form-Data;CHARSET={codec};boundary=x",
    ):
        assert web.http.post("/login", content=body, headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize("path", ["/actions?action=%00", "/actions?user_name=a%00b", "/login?next=%00"])
def test_nul_is_refused_before_it_meets_the_database(web: WebClient, path: str) -> None:
    assert web.http.get(path).status_code == 400


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "' OR 1=1 --", "=HYPERLINK(1)", "{{ 7 * 7 }}", "%(name)s"]
)
def test_texts_from_outside_are_shown_as_texts(services: Services, text: str) -> None:
    set_up_user(services, text, "admin")
    client = WebClient(services)
    response = client.log_in(text)
    assert response.url.path == "/leads"
    assert text in text_of(response) or "<script>" in text
    assert "<script>alert" not in response.text
    log = client.get("/actions", user_name=text, action="log in")
    assert log.text.count("<tr>") == 2
    assert client.get("/actions", user_name=f"{text}x").text.count("<tr>") == 0
    assert client.get("/actions", below="1; DROP TABLE user_actions").status_code == 200


def test_the_log_of_actions_is_paged(services: Services) -> None:
    with services.database.transaction() as connection:
        for number in range(60):
            record_user_action(connection, "set stage", str(number), {"stage": "OPEN"}, {"stage": "WON"})
    client = WebClient(services)
    first = client.get("/actions")
    assert first.text.count("<tr>") == 51
    older = re.search(r'href="(/actions\?below=\d+)" rel="next"', first.text)
    assert older
    assert client.get(older[1]).text.count("<tr>") == 11


def test_commands_set_up_users(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    monkeypatch.setenv("ETL_USER_PASSWORD", PASSWORD)
    assert run(commands, ["users", "add", "ann", "--role", "sales"]).exit_code == 0
    assert run(commands, ["users", "add", "ann", "--role", "sales"]).exit_code == 1
    assert run(commands, ["users", "add", "ben", "--role", "viewer", "--no-password"]).exit_code == 0
    assert run(commands, ["users", "add", " x", "--role", "viewer", "--no-password"]).exit_code == 1
    assert run(commands, ["users", "add", "eve", "--role", "king"]).exit_code == 2
    client = WebClient(services)
    assert client.log_in("ann").url.path == "/leads"
    assert run(commands, ["users", "role", "ann", "operator"]).exit_code == 0
    listed: Any = json.loads(run(commands, ["users", "list", "--json"]).stdout)["users"]
    assert [(user["user_name"], user["role"], user["has_password"]) for user in listed] == [
        ("ann", "operator", True), ("ben", "viewer", False),
    ]  # fmt: skip
    monkeypatch.setenv("ETL_USER_PASSWORD", "another horse battery")
    assert run(commands, ["users", "password", "ann"]).exit_code == 0
    assert client.get("/leads").url.path == "/login"
    monkeypatch.setenv("ETL_USER_PASSWORD", "short")
    refused = run(commands, ["users", "password", "ann"])
    assert (refused.exit_code, "short" in refused.output.replace("too short", "")) == (1, False)
    monkeypatch.delenv("ETL_USER_PASSWORD")
    assert run(commands, ["users", "password", "ann"]).exit_code == 2
    assert run(commands, ["users", "remove", "ann"]).exit_code == 0
    last = run(commands, ["users", "remove", "ben"])
    assert "No users are left" in last.output
    assert run(commands, ["users", "remove", "ben"]).exit_code == 1
    with services.database.transaction() as connection:
        rows = connection.execute(sa.text("SELECT action, target, before, after FROM user_actions ORDER BY action_id"))
        actions = [tuple(row) for row in rows if row.action.startswith("users")]
    assert actions[2] == ("users role", "ann", {"role": "sales"}, {"role": "operator"})
    assert "argon2" not in str(actions)
