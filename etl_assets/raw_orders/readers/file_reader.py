"""Reads import files in a process of its own: whatever a file does to that process is one failed import.

The one way to a file's headers and rows. This process only takes in what the other one sends: frames of text.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

import polars as pl
import pyarrow as pa

from etl_assets.child_process.parent import ChildEndedError, ChildProcess, ChildSilentError
from etl_assets.limits import READER_MEMORY_MB, SILENCE_SECONDS
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.opened_file import LINE_NUMBER, ROW_ERROR, OpenedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from etl_assets.presets.model import Preset

MODULE: Final = "etl_assets.raw_orders.readers.child"
INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH")
"""The environment of the process that reads foreign files: no password of a database is in it."""
FRUGAL: Final = {
    "POLARS_MAX_THREADS": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2", "MIMALLOC_ARENA_RESERVE": "65536",
}  # fmt: skip
"""Few threads and small arenas: their reservations count as the process's memory, many on a large machine."""
IN_PARTS: Final = "Save it as CSV in several files"


class FileReader:
    """Reads files, one after the other, in one process, which is replaced after any failure; a context manager.

    Start and use it in one thread: the process ends with the thread that started it.
    """

    def __init__(self, memory_mb: int = READER_MEMORY_MB, silence_seconds: float = SILENCE_SECONDS) -> None:
        """Prepare; the process starts when it is needed.

        Args:
            memory_mb: the most memory that it may take, in MiB.
            silence_seconds: it is killed when it has made no progress for so long.
        """
        self.memory_mb = memory_mb
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
        """Start the process, so that it is ready when the file is to be read: that takes a third of a second."""
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
    def open(self, path: Path) -> Iterator[ForeignFile]:
        """Read a file: it is opened with the first question that is asked about it. One at a time."""
        try:
            yield ForeignFile(self, path)
        finally:
            if self._is_busy:
                self.stop()
            elif self._process is not None:
                with suppress(ChildEndedError, ChildSilentError):
                    self._process.send({"ask": "close"})

    def ask(self, path: Path, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """Send a request about a file and return the answer; `ForeignFile` knows which there are.

        Raises:
            ImportFileError: whatever went wrong.
        """
        self.start(path)
        self._is_busy = True
        return self._answer(path, request)

    def next_answer(self, path: Path) -> tuple[dict[str, Any], bytearray]:
        """Wait for a further answer to the last request. Raises as `ask` does."""
        return self._answer(path, None)

    def _answer(self, path: Path, request: dict[str, Any] | None) -> tuple[dict[str, Any], bytearray]:
        if self._process is None:
            raise self._ended(path, None)
        try:
            if request is not None:
                self._process.send(request)
            answer, payload = self._process.receive(self._silence_seconds)
        except ChildSilentError:
            self._fail(self._silent(path))
        except ChildEndedError as ended:
            self._fail(self._ended(path, ended.returncode))
        if "refused" in answer:
            self._fail(ImportFileError(path, **answer["refused"]))
        if "failed" in answer:
            error = answer["failed"]
            self._fail(self._too_large(path) if error == "MemoryError" else self._given_up(path, error))
        self._is_busy = "frame" in answer
        return answer, payload

    def _fail(self, error: ImportFileError) -> NoReturn:
        """Raise the error; who has had one file that went wrong reads no other."""
        self.stop()
        raise error from None

    def _silent(self, path: Path) -> ImportFileError:
        problem = f"reading it made no progress for {self._silence_seconds:g} s, and was ended"
        return ImportFileError(path, None, problem, f"Check the disk that it is on and the file itself. {IN_PARTS}")

    def _too_large(self, path: Path) -> ImportFileError:
        problem = f"reading it takes more than {self.memory_mb:,} MiB of memory"
        return ImportFileError(path, None, problem, f"{IN_PARTS}, or raise ETL_READER_MEMORY_MB")

    def _given_up(self, path: Path, error: str) -> ImportFileError:
        return ImportFileError(path, None, f"the reader gave up ({error})", f"Export it again. {IN_PARTS}")

    def _ended(self, path: Path, returncode: int | None) -> ImportFileError:
        if returncode is None or returncode >= 0:
            how = "the process that read it ended"
        else:
            how = f"the process that read it was ended by {signal.Signals(-returncode).name}"
        problem = f"{how}, as happens where it takes more than its {self.memory_mb:,} MiB of memory or crashes"
        return ImportFileError(path, None, problem, f"Export it again. {IN_PARTS}, or raise ETL_READER_MEMORY_MB")


class ForeignFile:
    """A file that the other process has open, from the first question about it; an `ImportFile`."""

    def __init__(self, reader: FileReader, path: Path) -> None:
        """Remember the file."""
        self.path = path
        self._reader = reader
        self._headers: tuple[str, ...] | None = None

    def headers(self) -> tuple[str, ...]:
        """The headers as they are without a preset, for finding one. Raises `ImportFileError`."""
        if self._headers is None:
            self._headers = self._ask_headers(None)
        return self._headers

    def source(self, preset: Preset | None) -> OpenedFile:
        """The file as a preset says that it is written; without one that is guessed.

        Raises:
            ImportFileError: here or from the frames.
        """
        text = (
            None
            if preset is None
            else {
                "encodings": preset.encodings,
                "delimiter": preset.delimiter,
                "order_headers": preset.columns["order_id"].headers,
            }
        )
        return OpenedFile(self._ask_headers(text), self._frames())

    def _ask_headers(self, text: dict[str, Any] | None) -> tuple[str, ...]:
        request = {"ask": "headers", "path": os.path.abspath(self.path), "text": text}  # noqa: PTH100  # links stay
        answer, _ = self._reader.ask(self.path, request)
        return tuple(answer["headers"])

    def _frames(self) -> Iterator[pl.DataFrame]:
        answer, payload = self._reader.ask(self.path, {"ask": "frames"})
        while "frame" in answer:
            with pa.ipc.open_stream(pa.py_buffer(payload)) as stream:
                frame = cast("pl.DataFrame", pl.from_arrow(stream.read_all()))
            yield frame.with_columns(pl.col(LINE_NUMBER).cast(pl.Int64), pl.col(ROW_ERROR).cast(pl.String))
            answer, payload = self._reader.next_answer(self.path)
