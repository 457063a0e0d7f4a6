"""Reads import files through a child process: the entry of this folder, and the one way to a file's headers and rows.

The hazard is the file: it may crash a library, hang it, or take all memory. In the child that is one failed import
(docs/decisions.md, "Reader process"). This process receives frames of text only.

In the order in which a file passes them: `FileReader` (here) starts the child and talks to it, `ImportFile` (here) is
one file that it reads; `child` answers, `open_file` opens the file once and chooses its format by its suffix: `csv`
(with `csv_dialect`), `xlsx`, `parquet`, `jsonl` (with `json_lines`). They share `columns`, `row_errors` and `limits`.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

import polars as pl

from etl_assets.child_process.parent import ChildEndedError, ChildProcess, ChildSilentError
from etl_assets.limits import READER_MEMORY_MB, SILENCE_SECONDS
from etl_assets.presets.catalog import list_presets
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets.raw_orders.readers.unpack import ZIP, split_member

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from etl_assets.raw_orders.readers.columns import ReaderFinding

MODULE: Final = "etl_assets.raw_orders.readers.child"
INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH")
"""Environment variables of the child: no password of a database is among them."""
FRUGAL: Final = {
    "POLARS_MAX_THREADS": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2", "MIMALLOC_ARENA_RESERVE": "65536",
}  # fmt: skip
"""Few threads and small arenas: reservations of allocators count as memory of the process, and grow with its cores."""
IN_PARTS: Final = "Save it as CSV in several files"


class FileReader:
    """Reads files, one after the other, in one child process, which is replaced after a failure; a context manager.

    Start and use it in one thread: the child ends with the thread that started it.
    """

    def __init__(
        self,
        memory_mb: int = READER_MEMORY_MB,
        silence_seconds: float = SILENCE_SECONDS,
        presets_folder: Path | None = None,
    ) -> None:
        """Prepare; the process starts when it is needed.

        Args:
            memory_mb: the most memory that it may take, in MiB.
            silence_seconds: it is killed when it has made no progress for so long.
            presets_folder: the user's own presets, which files may have beside those of the package.
        """
        self.memory_mb = memory_mb
        self.presets_folder = presets_folder
        self._silence_seconds = silence_seconds
        self._process: ChildProcess | None = None
        self._is_busy = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.stop()

    def start(self, path: Path) -> None:
        """Start the child before it is needed: it takes a third of a second to be ready."""
        if self._process is not None and self._process.has_ended:
            self.stop()
        if self._process is None:
            inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
            self._process = ChildProcess(
                MODULE, str(self.memory_mb), path.suffix.lower(), environment={**inherited, **FRUGAL}
            )

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
        self._process, self._is_busy = None, False

    @contextmanager
    def open(self, path: Path) -> Iterator[ImportFile]:
        """Read a file, one at a time; the child opens it with the first request."""
        try:
            yield ImportFile(self, path)
        finally:
            if self._is_busy:
                self.stop()
            elif self._process is not None:
                with suppress(ChildEndedError, ChildSilentError):
                    self._process.send({"command": "close"})

    def with_exports(self, path: Path) -> list[Path]:
        """Return the paths of the files in an archive of several exports; of any other file, and a bad one, its own."""
        if path.suffix.lower() != ZIP:
            return [path]
        try:
            answer, _ = self.request(path, {"command": "exports", "path": os.path.abspath(path)})  # noqa: PTH100  # links stay
        except ImportFileError:
            return [path]  # reported when it is imported
        return [path / name for name in answer["names"]] or [path]

    def request(self, path: Path, message: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """Send a request about a file and return the answer and its payload.

        Raises:
            ImportFileError: the file can't be read; or the child has ended, or was killed at a limit.
        """
        self.start(path)
        self._is_busy = True
        return self._answer(path, message)

    def next_answer(self, path: Path) -> tuple[dict[str, Any], bytearray]:
        """Wait for a further answer to the last request. Raises as `request` does."""
        return self._answer(path, None)

    def _answer(self, path: Path, message: dict[str, Any] | None) -> tuple[dict[str, Any], bytearray]:
        if self._process is None:
            raise self._ended(path, None)
        try:
            if message is not None:
                self._process.send(message)
            answer, payload = self._process.receive(self._silence_seconds)
        except ChildSilentError:
            self._fail(self._silent(path))
        except ChildEndedError as ended:
            self._fail(self._ended(path, ended.returncode))
        if "refused" in answer:
            self._fail(ImportFileError(path, **answer["refused"]))
        if "failed" in answer:
            error = answer["failed"]
            self._fail(self._out_of_memory(path) if error == "MemoryError" else self._crashed(path, error))
        self._is_busy = "frame" in answer
        return answer, payload

    def _fail(self, error: ImportFileError) -> NoReturn:
        """Raise the error, and end the child: its state after a failure is unknown."""
        self.stop()
        raise error from None

    def _silent(self, path: Path) -> ImportFileError:
        problem = f"reading it made no progress for {self._silence_seconds:g} s, and was ended"
        return ImportFileError(path, None, problem, f"Check the disk that it is on and the file itself. {IN_PARTS}")

    def _out_of_memory(self, path: Path) -> ImportFileError:
        problem = f"reading it takes more than {self.memory_mb:,} MiB of memory"
        return ImportFileError(path, None, problem, f"{IN_PARTS}, or raise ETL_READER_MEMORY_MB")

    def _crashed(self, path: Path, error: str) -> ImportFileError:
        return ImportFileError(path, None, f"the reader gave up ({error})", f"Export it again. {IN_PARTS}")

    def _ended(self, path: Path, returncode: int | None) -> ImportFileError:
        if returncode is None or returncode >= 0:
            how = "the process that read it ended"
        else:
            how = f"the process that read it was ended by {signal.Signals(-returncode).name}"
        problem = f"{how}, as happens where it takes more than its {self.memory_mb:,} MiB of memory or crashes"
        return ImportFileError(path, None, problem, f"Export it again. {IN_PARTS}, or raise ETL_READER_MEMORY_MB")


@dataclass(frozen=True)
class FileContent:
    """Content of an import file: its headers, and frames of rows (String) with `LINE_NUMBER` and `ROW_ERROR`."""

    headers: tuple[str, ...]
    frames: Iterator[pl.DataFrame]
    findings: list[ReaderFinding] = field(default_factory=list)
    """Complete when the frames have been read."""
    header_line: int | None = None
    """The line that the headers are in; None where the format has none."""
    sheets: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Of a workbook, the names of its filled sheets, with the headers of each."""


class ImportFile:
    """Import file in the parent process; the child opens it once, with the first request."""

    def __init__(self, reader: FileReader, path: Path) -> None:
        """Keep the path; nothing is read yet."""
        self.path = path
        self._reader = reader
        self._found: FileContent | None = None

    @property
    def folder(self) -> Path:
        """Return the folder that the file is in: of a file in an archive, the archive's."""
        return split_member(self.path)[0].parent

    def digest(self) -> str:
        """Return the SHA-256 of the content, in hex. Raises `ImportFileError`."""
        path = os.path.abspath(self.path)  # noqa: PTH100  # links stay
        answer, _ = self._reader.request(self.path, {"command": "digest", "path": path})
        return str(answer["digest"])

    def presets(self) -> list[Preset]:
        """Return the presets that the file may have. Raises `PresetError` where an own one can't be used."""
        return list_presets(self._reader.presets_folder)

    def headers(self) -> tuple[str, ...]:
        """Return the headers that a preset can be detected by. Raises `ImportFileError`."""
        return self._detected().headers

    def header_line(self) -> int | None:
        """Return the line that `headers` are in; None where the format has none."""
        return self._detected().header_line

    def sheets(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return the names of the filled sheets of a workbook with their headers; none of any other file."""
        return self._detected().sheets

    def _detected(self) -> FileContent:
        if self._found is None:
            self._found = self._open(ExpectedFormat.of_any(self.presets()))
        return self._found

    def content(self, expected: Preset | ExpectedFormat) -> FileContent:
        """Read the file in the format that is expected.

        Raises:
            ImportFileError: here or from the frames.
        """
        return self._open(ExpectedFormat.of_preset(expected) if isinstance(expected, Preset) else expected)

    def _open(self, expected: ExpectedFormat) -> FileContent:
        path = os.path.abspath(self.path)  # noqa: PTH100  # links stay
        request = {"command": "headers", "path": path, "expected": expected.as_request()}
        answer, _ = self._reader.request(self.path, request)
        findings: list[ReaderFinding] = []
        sheets = tuple((name, tuple(headers)) for name, headers in answer["sheets"])
        return FileContent(tuple(answer["headers"]), self._frames(findings), findings, answer["line"], sheets)

    def _frames(self, findings: list[ReaderFinding]) -> Iterator[pl.DataFrame]:
        answer, payload = self._reader.request(self.path, {"command": "frames"})
        import pyarrow as pa  # noqa: PLC0415  # with numpy 0.2 s of the start of each process

        while "frame" in answer:
            with pa.ipc.open_stream(pa.py_buffer(payload)) as stream:
                frame = cast("pl.DataFrame", pl.from_arrow(stream.read_all()))
            yield frame.with_columns(pl.col(LINE_NUMBER).cast(pl.Int64), pl.col(ROW_ERROR).cast(pl.String))
            answer, payload = self._reader.next_answer(self.path)
        findings += [(code, subject, count, line) for code, subject, count, line in answer["findings"]]
