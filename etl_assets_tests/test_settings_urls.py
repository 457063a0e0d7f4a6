"""URL settings: no piece of a password is shown, however the URL is malformed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from typer.testing import CliRunner

from etl_assets.alerts.notifier import configured_channels
from etl_assets.cli.main import app
from etl_assets.database.database import Database
from etl_assets.database.migrate import find_deviation
from etl_assets.errors import EtlError, SettingsUrlError
from etl_assets.settings import Settings
from etl_assets.sources.config import load_sources, source_url
from etl_assets.urls import DAGSTER_URL, check_dagster_url, checked_url, database_url, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

LONGEST_PIECE: Final = 3
"""Pieces of a password that are longer are never shown."""
RESERVED: Final = "@/:?#%[]"
CLOSED: Final = "127.0.0.1:9"
"""Where nobody listens."""

PASSWORDS: Final = st.text(
    st.sampled_from(f"{RESERVED}{RESERVED}QXZJ7348+&= \\'\"é样$!~") | st.characters(exclude_categories=["Cs", "Cc"]),
    min_size=4,
    max_size=24,
)


def pieces_of(password: str) -> set[str]:
    length = LONGEST_PIECE + 1
    return {text[at : at + length] for text in (password, unquote(password)) for at in range(len(text) - length + 1)}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def message_of(act: Callable[[], object]) -> str:
    """Return the error message of a call, of a kind that is shown to users."""
    try:
        act()
    except EtlError as error:
        return str(error)
    return ""


@given(password=PASSWORDS, escaped=st.booleans())
@example(password="pa@ss/word", escaped=False)  # noqa: S106  # made up
@example(password="1234/56@7890", escaped=False)  # noqa: S106  # made up
@example(password="5432?sslmode=@x", escaped=False)  # noqa: S106  # made up
@example(password="99999999", escaped=False)  # noqa: S106  # made up
@example(password="[half", escaped=False)  # noqa: S106  # made up
@example(password="%zzPW%00", escaped=False)  # noqa: S106  # made up
def test_a_checked_url_is_unambiguous_or_refused_without_any_part_of_it(password: str, *, escaped: bool) -> None:
    form = "postgresql://user:password@host:5432/database"
    text = f"postgresql://etl:{quote(password, safe='') if escaped else password}@db.example.com:5433/orders"
    said = message_of(lambda: database_url(text, "ETL_DATABASE_URL", form, ["postgresql"]))
    if said:
        assert not escaped
        assert said == message_of(lambda: checked_url("", "ETL_DATABASE_URL", form, ["postgresql"]))
        assert "ETL_DATABASE_URL" in said
        assert "@ as %40" in said
    else:
        url = database_url(text, "ETL_DATABASE_URL", form, ["postgresql"])
        assert (url.host, url.port, url.database, url.username) == ("db.example.com", 5433, "orders", "etl")
        assert url.password == (password if escaped else unquote(password))
        assert shown(url) == "postgresql://etl:***@db.example.com:5433/orders"


@pytest.mark.parametrize("character", RESERVED)
def test_each_special_character_is_refused_as_it_is_and_taken_percent_encoded(character: str) -> None:
    for setting in ("smtp", "postgresql"):
        with pytest.raises(SettingsUrlError, match=r"^ETL_X is not a valid URL.*percent-encoded"):
            checked_url(f"{setting}://etl:xy{character}zz@host:25", "ETL_X", "…", [setting])
        checked_url(f"{setting}://etl:xy{quote(character, safe='')}zz@host:25", "ETL_X", "…", [setting])


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://",
        "postgresql:///orders?host=/run/postgresql",
        "postgresql://etl@/orders?host=/run/postgresql&options=-c%20work_mem%3D5MB",
        "postgresql+psycopg://[::1]:5432/orders",
        "postgresql://etl:pw@host/orders\n",
        "sqlite:////data/shop@home 7%.db",
        "https://outlook.example.com/webhook/1@2/x?y=z",
    ],
)
def test_usual_urls_are_taken(text: str) -> None:
    scheme = urlsplit(text).scheme.partition("+")[0]
    assert checked_url(text, "ETL_X", "…", [scheme]) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "host", "etl:secret@host/db", "postgres://h/db", "postgresql://h:0/db", "postgresql://h:65536/db",
     "postgresql://h:port/db", "postgresql://h:/db", "postgresql:///etl:secret@h/db", "postgresql://a:1,b:2/db"],
)  # fmt: skip
def test_an_invalid_url_is_refused(text: str) -> None:
    with pytest.raises(SettingsUrlError) as raised:
        checked_url(text, "ETL_X", "…", ["postgresql"])
    assert "secret" not in str(raised.value)


def test_a_password_among_the_parameters_is_not_shown() -> None:
    url = sa.make_url("postgresql://h/db?user=etl&password=hidden7&sslpassword=hidden8&sslmode=require")
    assert "hidden" not in shown(url)
    assert "sslmode=require" in shown(url)


SOURCES: Final = (
    "sources:\n  - {name: shop, url_env: SHOP_DB_URL, table: orders, key: [order_id],"
    " changes: {kind: xmin}, preset: generic}\n"
)


@pytest.mark.slow
@given(password=PASSWORDS, escaped=st.booleans())
@example(password="5432/Zq7@Xj9w", escaped=False)  # noqa: S106  # made up
@example(password="Zq7@Xj9w", escaped=False)  # noqa: S106  # made up
@example(password="Zq7：Xj9w", escaped=False)  # noqa: S106  # made up; a full-width colon
def test_no_reader_of_a_url_shows_a_piece_of_its_password(
    password: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    escaped: bool,
) -> None:
    said = said_by_readers(quote(password, safe="") if escaped else password, tmp_path, monkeypatch)
    harmless = said_by_readers("-", tmp_path, monkeypatch) + said_by_readers("@", tmp_path, monkeypatch)
    assert not {piece for piece in pieces_of(password) if piece in said and piece not in harmless}, said


def said_by_readers(password: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the messages of all readers of URLs; no host of these URLs exists."""
    monkeypatch.setenv("SHOP_DB_URL", f"postgresql://reader:{password}@{CLOSED}/shop")
    monkeypatch.setenv(DAGSTER_URL, f"postgresql+psycopg2://etl:{password}@{CLOSED}/dagster")
    (home / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    settings = Settings(
        home=home,
        database_url=SecretStr(f"postgresql://etl:{password}@{CLOSED}/orders"),
        smtp_url=SecretStr(f"smtp://etl:{password}@{CLOSED}"),
        notify_email_to="operator@example.com",
        notify_email_from="etl@example.com",
        sources=home / "sources.yaml",
    )
    by_webhook = settings.model_copy(update={"notify_webhook_url": SecretStr(f"https://etl:{password}@{CLOSED}/hook")})
    acts: list[Callable[[], object]] = [
        lambda: find_deviation(Database(settings)),
        lambda: configured_channels(settings),
        lambda: configured_channels(by_webhook),
        lambda: source_url(load_sources(settings)[0]),
        check_dagster_url,
    ]
    return "\n".join(map(message_of, acts))


COMMANDS: Final = (
    ("status",), ("run",), ("doctor",), ("db", "url"), ("db", "url", "--json"), ("db", "upgrade"), ("import", "x.csv"),
    ("quarantine", "list"), ("alerts", "test"), ("sources", "list"), ("sources", "check"), ("db", "stop"),
)  # fmt: skip


def said_of(password: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the output of all commands with this password in every URL."""
    monkeypatch.setenv("ETL_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    (home / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    monkeypatch.setenv("ETL_SOURCES", str(home / "sources.yaml"))
    monkeypatch.setenv("SHOP_DB_URL", f"postgresql://reader:{password}@{CLOSED}/shop")
    monkeypatch.setenv("ETL_DATABASE_URL", f"postgresql://etl:{password}@{CLOSED}/orders")
    monkeypatch.setenv("ETL_SMTP_URL", f"smtp://etl:{password}@{CLOSED}")
    monkeypatch.setenv("ETL_NOTIFY_EMAIL_TO", "operator@example.com")
    monkeypatch.setenv("ETL_NOTIFY_EMAIL_FROM", "etl@example.com")
    monkeypatch.setenv("ETL_NOTIFY_WEBHOOK_URL", f"https://etl:{password}@{CLOSED}/hook")
    monkeypatch.setenv("ETL_DAGSTER_DATABASE_URL", f"postgresql+psycopg2://etl:{password}@{CLOSED}/dagster")
    said = []
    for arguments in COMMANDS:
        result = call(*arguments)
        assert result.exit_code == 2 or "ETL_DATABASE_URL is not a valid URL" not in result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        said.append(result.output)
    return "\n".join(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    "password",
    ["Zq7@Xj9w", "5432/Zq7@Xj9w", "Zq7#Xj9w", "Zq7?Xj9w@Vk4b", "Zq7:Xj9w", "Zq7%Xj9w", "[Zq7Xj9w", "Zq7Xj9w"],
)
def test_no_command_shows_a_piece_of_a_password(password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(password, tmp_path, monkeypatch)
    for piece in ("Zq7", "Xj9w", "Vk4b"):
        assert piece not in said
    if password != "Zq7Xj9w":  # noqa: S105  # the one that has nothing to be escaped
        assert "ETL_DATABASE_URL is not a valid URL" in said
        assert "ETL_SMTP_URL is not a valid URL" in said or "ETL_NOTIFY_WEBHOOK_URL is not a valid URL" in said
        assert "ETL_DAGSTER_DATABASE_URL is not a valid URL" in said
