"""Several files at once are imported by what is in them, the oldest first, whatever their names and the order given."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.model import Preset
from etl_assets.raw_orders import import_order
from etl_assets.raw_orders.import_order import oldest_first, read_newest_time, write_sample
from etl_assets_tests.helpers.in_process_reader import FileHere
from etl_assets_tests.helpers.pipeline import query, run_all, scalar

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.readers.file_reader import FileReader

HEADER = "shop,order_id,order_status,ordered_at\n"
OLDER = f"{HEADER}s,1,open,2026-01-05 10:00:00\ns,2,open,2026-01-06 10:00:00\n"
NEWER = f"{HEADER}s,1,cancelled,2026-01-05 10:00:00\ns,3,open,2026-02-01 10:00:00\n"
"""Without a time of change, the version imported last counts."""
UNDATED = f"{HEADER}s,4,open,\n"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A newer export, one that can't be read, an older one and one without times, in that order by name."""
    texts = {"a.csv": NEWER, "b.csv": "no header that fits\n1\n", "c.csv": OLDER, "d.csv": UNDATED}
    for at, (name, text) in enumerate(texts.items()):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, ns=(at, at))
    return [tmp_path / name for name in texts]


def newest(path: Path, **fields: Any) -> Any:
    columns = {"order_id": "order_id", "ordered_at": "ordered_at", **fields.pop("columns", {})}
    return read_newest_time(FileHere(path), Preset.model_validate({"name": "own", "columns": columns, **fields}))


def test_the_newest_time_is_read_in_the_notation_of_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("order_id,ordered_at,Sent\n1,31.01.2026 09:00,01.03.2026 08:00\n2,02.02.2026 10:00,\n3,soon,\n")
    assert str(newest(path, timestamp_formats=["%d.%m.%Y %H:%M"])) == "2026-02-02 10:00:00+00:00"
    sent = {"updated_at": {"latest_of": ["Sent", "ordered_at"]}}
    assert str(newest(path, columns=sent, timestamp_formats=["%d.%m.%Y %H:%M"])) == "2026-03-01 08:00:00+00:00"
    assert newest(path) is None
    assert newest(path, columns={"ordered_at": "Paid"}) is None


@pytest.mark.parametrize("newest_at_the_end", [True, False])
def test_of_a_large_text_beginning_and_end_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, newest_at_the_end: bool
) -> None:
    monkeypatch.setattr(import_order, "WHOLE_BYTES", 400)
    days = [f"s,{day},open,2026-01-{day:02} 10:00:00\n" for day in range(1, 32)]
    (tmp_path / "a.csv").write_text(HEADER + "".join(days if newest_at_the_end else reversed(days)))
    write_sample(tmp_path / "a.csv", tmp_path / "sample.csv")
    sample = (tmp_path / "sample.csv").read_text()
    assert (sample.startswith(HEADER), 300 < len(sample) <= 400, sample.endswith("\n")) == (True, True, True)
    assert str(newest(tmp_path / "sample.csv")) == "2026-01-31 10:00:00+00:00"


def test_one_file_is_not_read_for_its_order(tmp_path: Path) -> None:
    reader: FileReader = None  # type: ignore[assignment]  # not used
    assert oldest_first([tmp_path / "none.csv"], reader, lambda _: pytest.fail("read")) == [tmp_path / "none.csv"]


def test_the_command_imports_the_oldest_first_and_says_so(services: Services, files: list[Path]) -> None:
    result = CliRunner().invoke(app, ["import", *map(str, files), "--platform", "p", "--json"])
    names = [one["source"].rpartition("/")[2] for one in json.loads(result.stdout)["imports"]]
    assert names == ["c.csv", "a.csv", "b.csv", "d.csv"]
    assert "in the order of the newest time in each: c.csv, a.csv, b.csv, d.csv" in result.stderr
    run_all(services)
    assert scalar(services, "SELECT latest_status FROM orders WHERE order_id = '1'") == "cancelled"
    again = CliRunner().invoke(app, ["import", str(files[2]), str(files[0]), "--platform", "p"])
    assert "in the order" not in again.stderr


def test_the_inbox_imports_the_oldest_first(services: Services, files: list[Path]) -> None:
    ingest_inbox(services.database, files[0].parent, settle_seconds=0)
    sources = query(services, "SELECT source FROM import_tasks ORDER BY created_at")
    assert [row["source"].rpartition("/")[2] for row in sources] == ["c.csv", "a.csv", "b.csv", "d.csv"]
