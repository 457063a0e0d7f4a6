"""Whatever a file does to the process that reads it is one failed import that says why, and the next file goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import polars as pl
import psutil
import pytest

from etl_assets.child_process.parent import ChildProcess, ChildSilentError
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.catalog import get_preset
from etl_assets.quarantine.spreadsheet import read_corrections
from etl_assets.raw_orders.importing import import_file
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets_tests.helpers.hostile_files import HOSTILE, large_values, wide_csv
from etl_assets_tests.helpers.pipeline import query, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl_assets.pipeline.protocol import Services

pytestmark = pytest.mark.reader_process

GOOD = "shop,order_id\ns,1\n"
PRESET = get_preset("generic")


@pytest.fixture
def reader() -> Iterator[FileReader]:
    with FileReader(memory_mb=1024, silence_seconds=20) as one:
        yield one


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_text(GOOD)
    return path


def rows_of(reader: FileReader, path: Path) -> int:
    with reader.open(path) as file:
        return sum(frame.height for frame in file.content(PRESET).frames)


def error_of(reader: FileReader, path: Path) -> str:
    with pytest.raises(ImportFileError) as caught:
        rows_of(reader, path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def process_of(reader: FileReader) -> psutil.Process:
    assert reader._process is not None
    return psutil.Process(reader._process.pid)


def is_gone(process: psutil.Process) -> bool:
    try:
        process.wait(20)
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_beyond_a_limit_is_one_failed_import_that_names_it(
    reader: FileReader, tmp_path: Path, name: str
) -> None:
    make, limit = HOSTILE[name]
    assert limit in error_of(reader, make(tmp_path / name))


def crash_stopped(process: psutil.Process, fault: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(fault)
        process.send_signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_of_the_process_is_an_error_and_the_next_file_is_read(
    reader: FileReader, good: Path, fault: signal.Signals
) -> None:
    with reader.open(good) as file:
        assert file.headers() == ("shop", "order_id")
        process = process_of(reader)
        process.send_signal(signal.SIGSTOP)  # so that it can't answer before
        crash = threading.Timer(0.3, crash_stopped, [process, fault])  # it has been asked by then
        crash.start()
        with pytest.raises(ImportFileError, match=f"ended by {fault.name}.*1,024 MiB.*ETL_READER_MEMORY_MB"):
            file.content(PRESET)
        crash.join()
    assert is_gone(process)
    assert rows_of(reader, good) == 1


def test_a_process_that_was_ended_between_two_files_fails_neither(reader: FileReader, good: Path) -> None:
    assert rows_of(reader, good) == 1
    process_of(reader).kill()
    assert is_gone(process_of(reader))
    assert rows_of(reader, good) == 1


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_with_an_error(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileReader() as reader:
        with reader.open(good) as file:
            file.headers()
            process = process_of(reader)
            process.suspend()
            with monkeypatch.context() as patch:
                patch.setattr(reader, "_silence_seconds", 0.5)
                with pytest.raises(ImportFileError, match=r"no progress for 0\.5 s"):
                    file.content(PRESET)
        assert is_gone(process)
        assert rows_of(reader, good) == 1


@pytest.mark.slow
def test_the_time_that_rows_take_to_be_stored_is_no_silence_of_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("shop,order_id\n" + "shop,1234567890\n" * 1_500_000)
    with FileReader() as reader, reader.open(path) as file:
        frames = file.content(PRESET).frames
        rows = next(frames).height
        reader._silence_seconds = 2
        time.sleep(3)
        assert rows + sum(frame.height for frame in frames) == 1_500_000


@pytest.mark.slow
def test_work_that_goes_on_is_no_silence() -> None:
    with ChildProcess("etl_assets_tests.helpers.slow_child") as child:
        child.send({"seconds": 4, "tells": True})
        assert child.receive(2)[0] == {"done": True}
        child.send({"seconds": 4, "tells": False})
        with pytest.raises(ChildSilentError):
            child.receive(2)
    assert child.has_ended


def test_a_file_is_not_opened_again_for_its_rows(reader: FileReader, good: Path) -> None:
    with reader.open(good) as file:
        assert file.headers() == ("shop", "order_id")
        other = good.with_name("other.csv")
        other.write_text("another\nfile\n")
        other.replace(good)
        assert [frame.height for frame in file.content(PRESET).frames] == [1]


def test_one_process_reads_many_files_and_is_gone_afterwards(good: Path) -> None:
    with FileReader() as reader:
        assert rows_of(reader, good) == 1
        process = process_of(reader)
        assert rows_of(reader, good) == 1
        assert process_of(reader) == process
    assert is_gone(process)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_the_process_ends_with_the_one_that_started_it(good: Path, is_stopped: bool) -> None:  # noqa: FBT001
    script = (
        "import sys, time; from pathlib import Path; from etl_assets.raw_orders.readers.file_reader import FileReader\n"
        "reader = FileReader(); reader.open(Path(sys.argv[1])).__enter__().headers()\n"
        "print(reader._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(good)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    process = psutil.Process(int(parent.stdout.readline()))
    if is_stopped:
        process.suspend()
    parent.kill()
    parent.communicate()
    # Whose child it is now may not care for it: a zombie is gone as well.
    deadline = time.monotonic() + 20
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_no_password_is_in_the_environment_of_the_process(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_DATABASE_URL", "postgresql://u:Secret@h/d")
    monkeypatch.setenv("SHOP_DB_URL", "mysql://u:Secret@h/d")
    with FileReader() as reader:
        rows_of(reader, good)
        assert "Secret" not in str(process_of(reader).environ())


@pytest.mark.slow
def test_a_failed_import_names_the_limit_and_the_next_file_is_landed(
    services: Services, tmp_path: Path, good: Path
) -> None:
    with FileReader(memory_mb=1024) as reader:
        results = [
            import_file(services.database, path, preset, reader=reader)
            for path in (wide_csv(tmp_path / "wide.csv"), large_values(tmp_path / "large.parquet"), good)
            for preset in (None, PRESET)
        ]
    assert [result.status for result in results] == ["failed"] * 4 + ["completed"] * 2
    errors = [row["error"] for row in query(services, "SELECT error FROM import_tasks ORDER BY created_at")]
    assert all("at most 2,000" in error for error in errors[:2])
    assert all("1,024 MiB" in error for error in errors[2:4])
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 2


@pytest.mark.slow
def test_a_file_that_hangs_lies_in_failed_and_the_others_of_the_inbox_are_imported(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FileReader.request

    def request(reader: FileReader, path: Path, message: dict[str, Any]) -> Any:
        if path.name != "hangs.csv":
            return real(reader, path, message)
        reader.start(path)
        process_of(reader).suspend()
        with monkeypatch.context() as patch:
            patch.setattr("etl_assets.child_process.parent.START_SECONDS", 1)
            patch.setattr(reader, "_silence_seconds", 0.5)
            return real(reader, path, message)

    monkeypatch.setattr(FileReader, "request", request)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for at, name in enumerate(("a.csv", "hangs.csv", "z.csv")):
        (inbox / name).write_text(f"shop,order_id\ns,{at}\n")
        os.utime(inbox / name, (at, at))
    results = ingest_inbox(services.database, inbox, settle_seconds=0).imports
    assert [result.status for result in results] == ["completed", "failed", "completed"]
    found = sorted(str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file())
    assert found == ["done/a.csv", "done/z.csv", "failed/hangs.csv", "failed/hangs.csv.error.txt"]
    assert "no progress" in (inbox / "failed" / "hangs.csv.error.txt").read_text()


def test_a_file_of_corrections_is_read_within_the_limits(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="at most 2,000"):
        read_corrections(wide_csv(tmp_path / "wide.csv"))


def lines_of(size: int) -> pl.DataFrame:
    number = pl.int_range(size, eager=True)
    return pl.DataFrame({"shop": ["s"] * size}).with_columns(
        order_id=number.cast(pl.String), customer_name="name " + number.cast(pl.String), remark=pl.lit("x" * 200)
    )


def write_workbook(rows: pl.DataFrame, path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (tuple(rows.columns), *rows.iter_rows()):
        sheet.append(row)
    book.save(path)


WRITERS: dict[str, tuple[int, Callable[[pl.DataFrame, Path], object]]] = {
    "csv": (40_000, lambda rows, path: rows.write_csv(path)),
    "tsv": (40_000, lambda rows, path: rows.write_csv(path, separator="\t")),
    "jsonl": (40_000, lambda rows, path: rows.write_ndjson(path)),
    "parquet": (40_000, lambda rows, path: rows.write_parquet(path, compression="uncompressed")),
    "xlsx": (2_000, write_workbook),
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", WRITERS)
def test_the_memory_that_reading_takes_grows_no_faster_than_the_file(tmp_path: Path, ending: str) -> None:
    size, write = WRITERS[ending]
    peaks = []
    for factor in (1, 2, 4):
        path = tmp_path / f"{factor}.{ending}"
        write(lines_of(size * factor), path)
        with FileReader() as reader:
            assert rows_of(reader, path) == size * factor
            status = Path(f"/proc/{process_of(reader).pid}/status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]) >> 10)
    one, two, four = peaks
    assert four - two <= 2 * max(two - one, 0) + 40, peaks
    assert four < 400, peaks
