"""Webhook channel of alerts: JSON to a URL. Slack, Mattermost and the like show the field `text`.

The URL of a webhook is a secret, since it suffices to post: it is in no message and no log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import httpx
from pydantic import SecretStr

from etl_assets.alerts.alert import AlertError, retrying
from etl_assets.errors import SettingsUrlError
from etl_assets.urls import WEB_SCHEMES, checked_url

if TYPE_CHECKING:
    from etl_assets.alerts.alert import Alert

ATTEMPTS: Final = 3
TIMEOUT_SECONDS: Final = 4.0
TOO_MANY_REQUESTS: Final = 429
SERVER_ERROR: Final = 500

# httpx logs each request with its URL at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)


class WebhookChannel:
    """POSTs each alert to one URL."""

    name = "webhook"
    has_recipients = True

    def __init__(self, url: SecretStr, *, attempts: int = ATTEMPTS, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Raises `AlertError` where the URL can't be used."""
        form = "https://host/path"
        try:
            self._url = SecretStr(
                checked_url(url.get_secret_value(), "ETL_NOTIFY_WEBHOOK_URL", form, WEB_SCHEMES, needs_host=True)
            )
        except SettingsUrlError as error:
            raise AlertError(str(error)) from None
        self._timeout_seconds = timeout_seconds
        self._retrying = retrying(attempts, _may_pass)

    def send(self, alert: Alert) -> None:
        """POST the alert; refused connections, time-outs, 429 and 5xx are retried. Raises `AlertError`."""
        content = {"text": alert.body, **alert.model_dump(mode="json", exclude={"text"}), "detail": alert.text}
        try:
            self._retrying(self._post_once, content)
        except httpx.HTTPStatusError as error:
            msg = f"The webhook refused the alert with status {error.response.status_code}: see ETL_NOTIFY_WEBHOOK_URL."
            raise AlertError(msg) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            msg = f"The webhook can't be reached ({type(error).__name__}): see ETL_NOTIFY_WEBHOOK_URL and the network."
            raise AlertError(msg) from None

    def _post_once(self, content: dict[str, Any]) -> None:
        response = httpx.post(self._url.get_secret_value(), json=content, timeout=self._timeout_seconds)
        response.raise_for_status()


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status == TOO_MANY_REQUESTS or status >= SERVER_ERROR
    return isinstance(error, httpx.TransportError)
