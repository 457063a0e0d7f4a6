"""Dagster's instance: created once by concurrent first commands; errors of its folder."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

OPENED_AT_ONCE: Final = """
import os, sys, traceback
from pathlib import Path
from etl_assets.orchestration.instance import open_instance
from etl_assets.settings import Settings

failed = 0
for number in range(int(sys.argv[2])):
    ready, go = os.pipe()
    started = []
    for _ in range(3):
        started.append(os.fork())
        if not started[-1]:
            os.close(go)
            os.read(ready, 1)  # ends for all at once
            try:
                os.environ.pop("DAGSTER_HOME", None)
                with open_instance(Settings(home=Path(sys.argv[1]) / str(number))) as instance:
                    instance.get_runs(limit=1)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
    os.close(ready)
    os.close(go)
    failed += sum(os.waitpid(one, 0)[1] != 0 for one in started)
sys.exit(failed)
"""


def test_first_commands_at_once_share_one_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    rounds = subprocess.run(
        [sys.executable, "-c", OPENED_AT_ONCE, tmp_path, "2"], check=False, capture_output=True, text=True
    )
    assert rounds.returncode == 0, rounds.stderr[-2000:]
    assert not list(tmp_path.glob("*/dagster/*.new"))
