"""Channels of alerts: what each sends, and its errors; the history of checks."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from etl_assets.alerts.alert import Alert, AlertError
from etl_assets.alerts.check_history import REMIND_AFTER_SECONDS, CheckHistory, Evaluation
from etl_assets.alerts.email import EmailChannel
from etl_assets.alerts.log import LogChannel
from etl_assets.alerts.notifier import Notifier, configured_channels
from etl_assets.alerts.webhook import WebhookChannel
from etl_assets.cli.main import app
from etl_assets.settings import Settings
from etl_assets_tests.helpers.alert_receivers import SECRET, Mailbox, Receiver, free_port, mail_server, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUSTOMER: Final = "Zhang San 13800138000"
ALERT: Final = Alert(
    kind="run_failed", title="Run 1 failed", text="orders: no disk", run_id="1", url="http://ui/runs/1"
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with web_server() as receiver:
        yield receiver


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for localhost that this test's clients trust."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    arguments = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *arguments, *names], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def email(port: int, *, login: str = "", host: str = "127.0.0.1", scheme: str = "smtp") -> EmailChannel:
    url = SecretStr(f"{scheme}://{login}{host}:{port}")
    return EmailChannel(url, sender="etl@example.com", recipients=["a@example.com", "b@example.com"], attempts=2)


# --- the webhook ---


def test_a_webhook_gets_the_alert_as_json_with_the_text_that_slack_shows(receiver: Receiver) -> None:
    WebhookChannel(SecretStr(receiver.url)).send(ALERT)
    (got,) = receiver.received
    assert got.pop("at").startswith("20")
    assert got == {
        "text": "Run 1 failed\norders: no disk\nhttp://ui/runs/1",
        "kind": "run_failed",
        "title": "Run 1 failed",
        "detail": "orders: no disk",
        "asset": None,
        "run_id": "1",
        "url": "http://ui/runs/1",
    }


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_webhook_that_is_busy_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [status, status]
    WebhookChannel(SecretStr(receiver.url)).send(ALERT)
    assert len(receiver.received) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("answers", "tries"), [([404], 1), ([302], 1), ([500] * 3, 3)])
def test_a_webhook_that_refuses_is_an_error_without_its_url(
    receiver: Receiver, answers: list[int], tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = answers.copy()
    with caplog.at_level(logging.DEBUG), pytest.raises(AlertError, match=f"status {answers[0]}") as caught:
        WebhookChannel(SecretStr(receiver.url)).send(ALERT)
    assert len(receiver.received) == tries
    assert caught.value.__suppress_context__
    assert SECRET not in str(caught.value) + caplog.text + repr(vars(caught.value))


def test_an_unreachable_webhook_is_an_error_without_its_url(caplog: pytest.LogCaptureFixture) -> None:
    channel = WebhookChannel(SecretStr(f"http://127.0.0.1:{free_port()}/{SECRET}"), attempts=2)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(AlertError, match=r"can't be reached \(ConnectError\)") as caught,
    ):
        channel.send(ALERT)
    assert SECRET not in str(caught.value) + caplog.text


def test_a_webhook_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(AlertError, match="ReadTimeout"):
            WebhookChannel(url, attempts=1, timeout_seconds=0.2).send(ALERT)


# --- e-mail ---


def test_an_email_goes_to_all_addresses() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        email(port).send(Alert(kind="check_failed", title="订单\nBcc: x@example.com", text="1 row"))
    (envelope,) = mailbox.messages
    assert envelope.rcpt_tos == ["a@example.com", "b@example.com"]
    text = envelope.content.decode()
    assert "From: etl@example.com" in text
    assert "\nBcc:" not in text, "a title is one line"


def test_an_email_is_encrypted_where_the_server_can_and_logs_in(tls: ssl.SSLContext) -> None:
    mailbox = Mailbox()

    def authenticate(server: object, session: object, envelope: object, mechanism: str, data: Any) -> AuthResult:
        mailbox.logins.append((data.login, data.password))
        return AuthResult(success=True)

    with mail_server(
        mailbox, tls_context=tls, require_starttls=True, auth_required=True, authenticator=authenticate
    ) as port:
        email(port, login="user:p%40ss@", host="localhost").send(ALERT)
    assert mailbox.logins == [(b"user", b"p@ss")]
    assert len(mailbox.messages) == 1


def test_a_server_with_a_foreign_certificate_gets_nothing(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    mailbox = Mailbox()
    with mail_server(mailbox, tls_context=tls) as port, pytest.raises(AlertError, match="SSLCertVerificationError"):
        email(port, login=f"user:{SECRET}@", host="localhost").send(ALERT)
    assert mailbox.messages == []


def test_a_password_is_never_sent_without_tls() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port, pytest.raises(AlertError, match="no TLS") as caught:
        email(port, login=f"user:{SECRET}@").send(ALERT)
    assert SECRET not in str(caught.value)
    assert mailbox.messages == []


def test_a_mail_server_that_is_busy_is_tried_again_and_one_that_refuses_is_not() -> None:
    mailbox = Mailbox(answers=["451 later"])
    with mail_server(mailbox) as port:
        email(port).send(ALERT)
        assert len(mailbox.messages) == 1
        mailbox.answers = [f"550 {CUSTOMER} unknown", "550 unknown"]
        with pytest.raises(AlertError, match="code 550") as caught:
            email(port).send(ALERT)
    assert mailbox.answers == ["550 unknown"]
    assert CUSTOMER not in str(caught.value)


# --- which channels ---


def configured(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def test_only_the_log_is_used_where_nothing_is_configured() -> None:
    assert [channel.name for channel in configured_channels(configured())] == ["log"]


def test_every_configured_channel_is_used() -> None:
    settings = configured(
        notify_webhook_url=f"http://host/{SECRET}",
        notify_email_to="a@example.com, b@example.com,",
        notify_email_from="etl@example.com",
        smtp_url=f"smtp://u:{SECRET}@host",
    )
    assert [channel.name for channel in configured_channels(settings)] == ["log", "webhook", "e-mail"]
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"notify_webhook_url": f"ftp://{SECRET}"}, "ETL_NOTIFY_WEBHOOK_URL"),
        ({"notify_email_to": "a@example.com"}, "ETL_SMTP_URL"),
        (
            {"notify_email_to": ",", "notify_email_from": "e@example.com", "smtp_url": "smtp://h"},
            "ETL_NOTIFY_EMAIL_TO",
        ),
        (
            {
                "notify_email_to": "a@example.com",
                "notify_email_from": "e@example.com",
                "smtp_url": f"smtp://h:{SECRET}",
            },
            "ETL_SMTP_URL",
        ),
    ],
)
def test_settings_that_can_not_be_used_are_named_and_not_quoted(values: dict[str, str], named: str) -> None:
    with pytest.raises(AlertError, match=named) as caught:
        configured_channels(configured(**values))
    assert SECRET not in str(caught.value)


class Broken:
    """Channel with a bug."""

    name = "broken"
    has_recipients = True
    calls = 0

    def send(self, alert: Alert) -> None:
        self.calls += 1
        raise ValueError(SECRET)


def test_a_channel_that_fails_does_not_stop_the_others_and_is_reported_at_the_end(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier([Broken(), WebhookChannel(SecretStr(receiver.url))])
    assert notifier.send(ALERT)
    with pytest.raises(AlertError, match="broken: failed with ValueError") as caught:
        notifier.raise_failures()
    assert len(receiver.received) == 1
    assert "not sent through broken" in caplog.text
    assert SECRET not in str(caught.value) + caplog.text


def test_a_channel_that_failed_is_left_alone_by_its_notifier() -> None:
    broken = Broken()
    notifier = Notifier([LogChannel(), broken])
    assert not notifier.send(ALERT), "the log has no recipients"
    assert not notifier.send(ALERT)
    assert broken.calls == 1
    assert Notifier([LogChannel()]).send(ALERT), "but suffices as the only channel"


def test_the_log_has_the_alert_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    LogChannel().send(ALERT)
    assert caplog.messages == ["run_failed: Run 1 failed | orders: no disk | http://ui/runs/1"]


def test_an_alert_has_a_title() -> None:
    with pytest.raises(ValidationError):
        Alert(kind="test", title="", text="")


# --- the command ---


def test_the_command_sends_a_test_through_each_channel(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_NOTIFY_WEBHOOK_URL", receiver.url)
    result = CliRunner().invoke(app, ["alerts", "test", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "ok": True,
        "channels": [{"channel": "log", "error": None}, {"channel": "webhook", "error": None}],
    }
    assert [one["kind"] for one in receiver.received] == ["test"]


def test_the_command_fails_with_a_channel_that_fails(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.answers = [404]
    monkeypatch.setenv("ETL_NOTIFY_WEBHOOK_URL", receiver.url)
    result = CliRunner().invoke(app, ["alerts", "test"])
    assert result.exit_code == 1
    assert "status 404" in result.stdout
    assert SECRET not in result.output


# --- when a check is worth an alert ---


def alerted_at(history: CheckHistory, *outcomes: tuple[float, bool]) -> list[float]:
    """Return the times of the evaluations that are worth an alert."""
    times = []
    for at, failed in outcomes:
        evaluation = Evaluation("orders:check", failed, at)
        assert history.is_new(evaluation)
        if history.should_notify(evaluation):
            times.append(at)
        history = CheckHistory.model_validate_json(history.after(evaluation).model_dump_json())
        assert not history.is_new(evaluation)
    return times


def test_a_check_that_goes_on_failing_causes_an_alert_once_a_day_and_after_it_passed() -> None:
    day = REMIND_AFTER_SECONDS
    history = CheckHistory(since=0)
    assert alerted_at(history, (1, False), (2, True), (3, True), (4, False), (5, True), (6, True)) == [2, 5]
    assert alerted_at(history, (1, True), (day, True), (day + 1, True), (day + 2, True), (2 * day + 1, True)) == [
        1,
        day + 1,
        2 * day + 1,
    ]


def test_a_cursor_that_was_stored_before_the_rename_is_understood() -> None:
    stored = '{"since": 1.0, "checks": {"orders:check": {"seen_at": 5.0, "told_at": 2.0}}}'
    history = CheckHistory.model_validate_json(stored)
    assert not history.should_notify(Evaluation("orders:check", failed=True, at=6)), "the alert of 2.0 still counts"
    assert history.should_notify(Evaluation("orders:check", failed=True, at=2 + REMIND_AFTER_SECONDS))
    renewed = history.after(Evaluation("orders:check", failed=True, at=6)).model_dump_json()
    assert json.loads(renewed)["checks"]["orders:check"] == {"seen_at": 6.0, "notified_at": 2.0}
