"""A nursery whose children's clock jumps when wanted, by libfaketime. The monotonic clock goes on as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from etl_assets_tests.chaos.nursery import Nursery

JUMPS: Final = ("-400d", "-3d", "-5h", "-90", "+90", "+5h", "+3d", "+400d")


def find_library() -> Path | None:
    """Where Debian's package libfaketime, or one like it, has put the library; None if it is not installed."""
    folders = ("/usr/lib", "/usr/local/lib")
    found = (path for folder in folders for path in sorted(Path(folder).glob("**/faketime/libfaketimeMT.so.1")))
    return next(found, None)


class Clock:
    """What time it is for some processes."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._file = folder / "clock"
        self.reset()
        logs = folder / "clocked"
        logs.mkdir()
        settings = {"FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.nursery = Nursery(logs, {"LD_PRELOAD": str(library), **settings})

    def jump(self, offset: str) -> None:
        """Let it be so much later or earlier from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)  # at once: it is read all the time

    def reset(self) -> None:
        """Let it be the time that it is."""
        self.jump("+0")
