"""A nursery whose children's clock jumps when wanted, by libfaketime. The monotonic clock goes on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libfaketime

from etl_assets_tests.chaos.nursery import Nursery

if TYPE_CHECKING:
    from pathlib import Path

JUMPS: Final = ("-400d", "-3d", "-5h", "-90", "+90", "+5h", "+3d", "+400d")


class Clock:
    """What time it is for some processes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.reset()
        _, environment = libfaketime.get_reload_information()
        logs = folder / "clocked"
        logs.mkdir()
        self.nursery = Nursery(logs, {**environment, "FAKETIME_TIMESTAMP_FILE": str(self._file)})

    def jump(self, offset: str) -> None:
        """Let it be so much later or earlier from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)  # at once: it is read all the time

    def reset(self) -> None:
        """Let it be the time that it is."""
        self.jump("+0")
