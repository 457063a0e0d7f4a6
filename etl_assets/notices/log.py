"""The channel that always works: a line in the log of the process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl_assets.notices.notice import Notice

logger = logging.getLogger(__name__)


class LogChannel:
    """Writes each notice to the log, as an error unless it is a test."""

    name = "log"
    reaches_people = False

    def send(self, notice: Notice) -> None:
        """Write one log record."""
        level = logging.INFO if notice.kind == "test" else logging.ERROR
        logger.log(level, "%s: %s", notice.kind, " | ".join(notice.body.splitlines()))
