"""A child process that takes its time, and tells of its progress or not."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from etl_assets.children import serving

if TYPE_CHECKING:
    from etl_assets.children.serving import Answers


def work(request: dict[str, Any], answers: Answers) -> None:
    """Do nothing for some seconds."""
    for _ in range(request["seconds"] * 10):
        time.sleep(0.1)
        if request["tells"]:
            answers.progress()
    answers.send({"done": True})


if __name__ == "__main__":
    serving.PROGRESS_SECONDS = 0.1  # type: ignore[misc]
    serving.serve(int(sys.argv[1]), work, lambda error: {"failed": type(error).__name__})
