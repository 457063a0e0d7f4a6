"""The process that reads import files: whatever is in them can only harm it. `reading` starts it and talks to it.

It has one file open at a time. Requests: `headers` of a path (which opens it, unless it is open), its `frames`,
`close`.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl_assets.child_process.child import serve
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.open_file import OpenFile, load_reader
from etl_assets.raw_orders.readers.opened_file import TextFormat

if TYPE_CHECKING:
    from etl_assets.child_process.child import Answers
    from etl_assets.raw_orders.readers.opened_file import Tables


class _Worker:
    """The state of the process: the file that it has open, and the tables that are left to send."""

    def __init__(self) -> None:
        self._file: OpenFile | None = None
        self._tables: Tables | None = None

    def work(self, request: dict[str, Any], answers: Answers) -> None:
        match request["ask"]:
            case "headers":
                if self._file is None:
                    self._file = OpenFile(Path(request["path"]), answers.progress)
                text = request["text"] and TextFormat(
                    tuple(request["text"]["encodings"]),
                    request["text"]["delimiter"],
                    tuple(request["text"]["order_headers"]),
                )
                self._tables = self._file.read(text)
                answers.send({"headers": self._tables.headers})
            case "frames" if self._tables is not None:
                for table in self._tables.tables:
                    answers.send({"frame": True}, _as_stream(table))
                    answers.progress()
                answers.send({"end": True})
                self._close()
            case "close":
                self._close()
            case _:
                msg = "no such request now"
                raise ValueError(msg)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._tables = None


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Tell what is wrong with the file, or what kind of error it was: its text may quote the file."""
    if isinstance(error, ImportFileError):
        return {"refused": {"line": error.line, "problem": error.problem, "remedy": error.remedy}}
    return {"failed": "MemoryError" if isinstance(error, MemoryError) else type(error).__name__}


def main() -> None:
    """Answer requests until the process that started this one ends.

    Arguments: its id, the most memory in MiB, the suffix of a file that will come, so that its reader is there.
    """
    parent, memory, suffix = sys.argv[1:]
    limit = int(memory) << 20
    # Not of addresses (RLIMIT_AS): allocators reserve far more of those than they ever use.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load_reader(suffix)
    serve(int(parent), _Worker().work, describe_failure)


def _as_stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


if __name__ == "__main__":
    main()
