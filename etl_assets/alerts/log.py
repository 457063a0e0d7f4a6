"""Log channel of alerts: a line in the log of the process. Always configured."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl_assets.alerts.alert import Alert

logger = logging.getLogger(__name__)


class LogChannel:
    """Writes each alert to the log, as an error unless it is a test."""

    name = "log"
    has_recipients = False

    def send(self, alert: Alert) -> None:
        """Write one log record."""
        level = logging.INFO if alert.kind == "test" else logging.ERROR
        logger.log(level, "%s: %s", alert.kind, " | ".join(alert.body.splitlines()))
