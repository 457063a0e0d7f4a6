"""The error of an import file, and the context manager that turns failures of libraries into it.

The hazard is their texts, which quote cells: no customer data may reach an error or a log.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from etl_assets.errors import EtlError, is_panic
from etl_assets.raw_orders.remedies import worded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.raw_orders.remedies import Entry


class ImportFileError(EtlError):
    """Error of a file that can't be imported: names the file, the line where one is known, the problem and the remedy.

    The text holds nothing of the file but column names that the preset asks for.
    """

    def __init__(self, path: Path, line: int | None, problem: str, remedy: str, entry: Entry = "command") -> None:
        """Build the text from its parts; `line` counts from 1, the header included; `entry` words the remedy."""
        self.path = path
        self.line = line
        self.problem = problem
        self.remedy = remedy
        where = f"{path}, line {line}" if line is not None else str(path)
        end = "" if problem.endswith("?") else "."
        super().__init__(f"{where}: {problem}{end} {worded(remedy, entry)}.")

    def worded_for(self, entry: Entry) -> ImportFileError:
        """Return the error with the remedy of another entry: a file in the inbox has no options."""
        return ImportFileError(self.path, self.line, self.problem, self.remedy, entry)


@contextmanager
def reported_as_file_error(path: Path, kinds: tuple[type[Exception], ...], problem: str, remedy: str) -> Iterator[None]:
    """Turn the given kinds of exception, and panics of Rust code, into `ImportFileError`.

    The original is dropped, not chained: its text may quote a cell.
    """
    try:
        yield
    except (ImportFileError, MemoryError):
        raise  # the child reports the latter as its memory limit
    except kinds as error:
        raise ImportFileError(path, None, f"{problem} ({type(error).__name__})", remedy) from None
    except BaseException as error:
        if not is_panic(error):
            raise
        raise ImportFileError(path, None, f"{problem} (the reader gave up)", remedy) from None
