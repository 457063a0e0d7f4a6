"""The child process that reads import files; `file_reader` starts it and talks to it.

It has one file open at a time. Commands: `headers` or `digest` of a path (opens it, unless it is open), its `frames`,
`close`; `exports` lists the files in an archive.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl_assets.child_process.child import serve
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets.raw_orders.readers.open_file import OpenFile, list_exports, load_format

if TYPE_CHECKING:
    from etl_assets.child_process.child import Answers
    from etl_assets.raw_orders.readers.open_file import TableStream


class _OpenFileState:
    """State of the child: the file that is open, and the tables left to send."""

    def __init__(self) -> None:
        self._file: OpenFile | None = None
        self._stream: TableStream | None = None

    def handle(self, request: dict[str, Any], answers: Answers) -> None:
        match request["command"]:
            case "exports":
                answers.send({"names": list_exports(Path(request["path"]), answers.progress)})
            case "digest":
                answers.send({"digest": self._opened(request, answers).digest()})
            case "headers":
                stream = self._opened(request, answers).read(ExpectedFormat.from_request(request["expected"]))
                self._stream = stream
                answers.send({"headers": stream.headers, "line": stream.header_line, "sheets": stream.sheets})
            case "frames" if self._stream is not None:
                for table in self._stream.tables:
                    answers.send({"frame": True}, _as_stream(table))
                    answers.progress()
                answers.send({"end": True, "findings": self._stream.findings})
                self._close()
            case "close":
                self._close()
            case _:
                msg = "no such command now"
                raise ValueError(msg)

    def _opened(self, request: dict[str, Any], answers: Answers) -> OpenFile:
        if self._file is None:
            self._file = OpenFile(Path(request["path"]), answers.progress)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._stream = None


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Describe an error of the file, or name the kind of any other: the text of that may quote the file."""
    if isinstance(error, ImportFileError):
        return {"refused": {"line": error.line, "problem": error.problem, "remedy": error.remedy}}
    return {"failed": "MemoryError" if isinstance(error, MemoryError) else type(error).__name__}


def main() -> None:
    """Answer requests until the process that started this one ends.

    Arguments: the id of that process; the memory limit in MiB; the suffix of the first file, to import its format now.
    """
    parent, memory, suffix = sys.argv[1:]
    limit = int(memory) << 20
    # Not RLIMIT_AS: allocators reserve far more addresses than they ever use.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load_format(suffix)
    serve(int(parent), _OpenFileState().handle, describe_failure)


def _as_stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


if __name__ == "__main__":
    main()
