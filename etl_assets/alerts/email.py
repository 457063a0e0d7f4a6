"""E-mail channel of alerts, over SMTP. A password never crosses the network unencrypted."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from etl_assets.alerts.alert import AlertError, retrying
from etl_assets.errors import SettingsUrlError
from etl_assets.urls import checked_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from etl_assets.alerts.alert import Alert

ATTEMPTS: Final = 3
TIMEOUT_SECONDS: Final = 4.0
DEFAULT_PORTS: Final = {"smtp": 587, "smtps": 465}
PERMANENT: Final = 500


class EmailChannel:
    """Sends each alert to addresses: `smtp://` with STARTTLS where the server offers it, `smtps://` with TLS."""

    name = "e-mail"
    has_recipients = True

    def __init__(
        self,
        url: SecretStr,
        *,
        sender: str,
        recipients: Sequence[str],
        attempts: int = ATTEMPTS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Raises `AlertError` where the URL can't be used."""
        self._server = _split_url(url)
        self._sender = sender
        self._recipients = tuple(recipients)
        self._timeout_seconds = timeout_seconds
        self._retrying = retrying(attempts, _may_pass)

    def send(self, alert: Alert) -> None:
        """Send one message; lost connections and temporary refusals (4xx) are retried. Raises `AlertError`."""
        message = EmailMessage()
        message["Subject"] = f"[etl-assets] {alert.title}"
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Date"] = format_datetime(alert.at)
        message["Message-ID"] = make_msgid(domain="etl-assets.invalid")
        message.set_content(alert.body)
        try:
            self._retrying(self._send_once, message)
        except (smtplib.SMTPException, OSError) as error:
            # A server's text may quote addresses, so only its code is passed on.
            code = getattr(error, "smtp_code", None)
            kind = f"{type(error).__name__}, code {code}" if code else type(error).__name__
            msg = f"The e-mail could not be sent ({kind}): see ETL_SMTP_URL and ETL_NOTIFY_EMAIL_TO."
            raise AlertError(msg) from None

    def _send_once(self, message: EmailMessage) -> None:
        with self._connect() as client:
            if self._server.username:
                if not isinstance(client.sock, ssl.SSLSocket):
                    msg = "The mail server offers no TLS, and a password must not be sent without: see ETL_SMTP_URL."
                    raise AlertError(msg)
                client.login(unquote(self._server.username), unquote(self._server.password or ""))
            client.send_message(message)

    def _connect(self) -> smtplib.SMTP:
        host, port = self._server.hostname or "", self._server.port or DEFAULT_PORTS[self._server.scheme]
        context = ssl.create_default_context()
        if self._server.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=self._timeout_seconds, context=context)
        client = smtplib.SMTP(host, port, timeout=self._timeout_seconds)
        try:
            client.ehlo()
            if client.has_extn("starttls"):
                client.starttls(context=context)
        except BaseException:
            client.close()
            raise
        return client


def _split_url(url: SecretStr) -> SplitResult:
    form = "smtp://user:password@host:587, or smtps://"
    try:
        return urlsplit(checked_url(url.get_secret_value(), "ETL_SMTP_URL", form, list(DEFAULT_PORTS), needs_host=True))
    except SettingsUrlError as error:
        raise AlertError(str(error)) from None


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, ssl.SSLError | smtplib.SMTPNotSupportedError):
        return False
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code < PERMANENT
    return isinstance(error, OSError | smtplib.SMTPServerDisconnected)
