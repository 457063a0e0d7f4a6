"""Notifier: builds the configured channels and sends alerts through all; a failed one never stops the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from etl_assets.alerts.alert import AlertError
from etl_assets.alerts.email import EmailChannel
from etl_assets.alerts.log import LogChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.alerts.alert import Alert, Channel
    from etl_assets.settings import Settings

logger = logging.getLogger(__name__)


def configured_channels(settings: Settings) -> list[Channel]:
    """Return the log channel, and those of webhook and e-mail if configured. Raises `AlertError` for bad settings."""
    found: list[Channel] = [LogChannel()]
    if settings.notify_webhook_url is not None:
        from etl_assets.alerts.webhook import WebhookChannel  # noqa: PLC0415  # httpx takes 0.1 s of each run's start

        found.append(WebhookChannel(settings.notify_webhook_url))
    if settings.notify_email_to is not None:
        recipients = [address.strip() for address in settings.notify_email_to.split(",") if address.strip()]
        if settings.smtp_url is None or settings.notify_email_from is None or not recipients:
            msg = "E-mail needs ETL_NOTIFY_EMAIL_TO, ETL_NOTIFY_EMAIL_FROM and ETL_SMTP_URL: set all three."
            raise AlertError(msg)
        found.append(EmailChannel(settings.smtp_url, sender=settings.notify_email_from, recipients=recipients))
    return found


class Notifier:
    """Sends alerts through channels.

    A channel that failed once is left out from then on, so that it can't use up the time of the others. `failures`
    holds its problem by its name.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = list(channels)
        self.failures: dict[str, str] = {}

    def send(self, alert: Alert) -> bool:
        """Send an alert. Returns whether a channel with recipients took it; without any such, the log suffices."""
        sent = [channel.has_recipients for channel in self._channels if self._send_through(channel, alert)]
        return any(sent) or not any(channel.has_recipients for channel in self._channels)

    def raise_failures(self) -> None:
        """Raise `AlertError` if a channel failed."""
        if self.failures:
            msg = "; ".join(f"{name}: {problem}" for name, problem in self.failures.items())
            raise AlertError(msg)

    def _send_through(self, channel: Channel, alert: Alert) -> bool:
        if channel.name in self.failures:
            return False
        try:
            channel.send(alert)
        except AlertError as error:
            self.failures[channel.name] = str(error)
        except Exception as error:  # noqa: BLE001  # of any kind: its text may hold the channel's secret
            self.failures[channel.name] = f"failed with {type(error).__name__}"
        else:
            return True
        logger.error("An alert was not sent through %s: %s", channel.name, self.failures[channel.name])
        return False
