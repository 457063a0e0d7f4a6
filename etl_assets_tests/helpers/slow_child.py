"""Child process that is slow, with or without reports of progress."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from etl_assets.child_process import child

if TYPE_CHECKING:
    from etl_assets.child_process.child import Answers


def work(request: dict[str, Any], answers: Answers) -> None:
    """Sleep for some seconds."""
    for _ in range(request["seconds"] * 10):
        time.sleep(0.1)
        if request["tells"]:
            answers.progress()
    answers.send({"done": True})


if __name__ == "__main__":
    child.PROGRESS_SECONDS = 0.1  # type: ignore[misc]
    child.serve(int(sys.argv[1]), work, lambda error: {"failed": type(error).__name__})
