"""Session with one source: checks its description against its database, and reads its rows into a file of text."""

# ruff: noqa: S608  # only quoted names and integers are put into SQL here

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etl_assets.presets.headers import nearest
from etl_assets.raw_orders.extract import check_required, missing_headers
from etl_assets.raw_orders.readers.columns import named_headers
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets.sources.backend import Backend, Column, Window, bare_list, relation
from etl_assets.sources.config import source_url
from etl_assets.sources.errors import SourceError
from etl_assets.sources.model import SourceConfig, XidColumn
from etl_assets.sources.mysql import MySQL
from etl_assets.sources.postgresql import PostgreSQL
from etl_assets.sources.process import Child
from etl_assets.sources.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from sqlalchemy import URL

FURTHER_SECONDS = 10
"""Time that a call may take beyond the server's own limit before its process is killed."""


@dataclass(frozen=True, slots=True)
class RowFile:
    """Rows read: an Arrow stream of texts, the columns in order, then '1' for a pending row, else '0'."""

    path: Path
    headers: tuple[str, ...]
    rows: int


def open_backend(source: SourceConfig, url: URL) -> Backend:
    """Return the backend of the source's kind of database. Raises `SourceConfigError` where the URL can't be used."""
    match url.get_backend_name():
        case "postgresql":
            return PostgreSQL(source, url)
        case "sqlite":
            return SQLite(source, url)
        case _:
            return MySQL(source, url)


class SourceSession:
    """Session of a pull; a context manager. All access is in child processes."""

    def __init__(self, source: SourceConfig) -> None:
        """Check the URL; the processes start when they are needed."""
        self.source = source
        self.backend = open_backend(source, source_url(source))
        self._driver: Child | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        if self._driver is not None:
            self._driver.kill()

    def run(self, *statements: str) -> list[list[list[Any]]]:
        """Run small statements; return the rows of each. Raises `SourceReadError`."""
        return [result["rows"] for result in self._call(statements)]

    def columns(self) -> tuple[Column, ...]:
        """Return the columns of the source, without the one that holds the transaction.

        Raises:
            SourceError: the key is not among them, or a column that the mapping takes a value from.
            ImportFileError: the mapping can't be used with them.
            SourceReadError: they can't be read.
        """
        source = self.source
        [described] = self._call([f"select * from {relation(source, self.backend)} limit 0"])
        own = source.changes.column if isinstance(source.changes, XidColumn) else None
        found = tuple(Column(**column) for column in described["columns"] if column["name"] != own)
        origin = Path(f"source:{source.name}")
        names = tuple(column.name for column in found)
        headers, _ = named_headers(origin, names, None, ExpectedFormat(mapped=names))
        missing = [column for column in source.key if column not in headers]
        if missing:
            msg = f"Source {source.name}: it has no column {missing[0]!r}, which key names."
            raise SourceError(msg)
        try:
            check_required(origin, headers, source.mapping)
        except ImportFileError as error:
            worded = error.worded_for("source")
            raise worded from None
        _check_mapped(source, headers)
        return found

    def read(self, window: Window, folder: Path, *, full: bool) -> RowFile:
        """Read all rows, or those of the window, in one statement and so in one snapshot. Raises `SourceReadError`."""
        columns = self.columns()
        texts = [f"{self.backend.as_text(column)} as c{at}" for at, column in enumerate(columns)]
        texts.append(f"case when {window.pending if full else 'true'} then '1' else '0' end as c{len(columns)}")
        query = f"select {', '.join(texts)} from {relation(self.source, self.backend)}"
        if not full and window.changed is not None:
            query += f" where {window.changed}"
        file = folder / "rows.arrow"
        request = {
            "uri": self.backend.reader_uri(),
            "query": query,
            "before": list(self.backend.before),
            "file": str(file),
        }
        with Child(self.source.name, "reader") as reader:
            answer = reader.call(request, self.source.timeout_seconds + FURTHER_SECONDS)
        return RowFile(file, tuple(column.name.strip() for column in columns), answer["rows"])

    def count_doubtful_keys(self) -> int:
        """Count the keys that are NULL or, where each row is an order, not unique. Reads the whole source."""
        keys = bare_list(self.backend, self.source.key, "q.")
        empty = " or ".join(f"q.{self.backend.quote(column)} is null" for column in self.source.key)
        of = relation(self.source, self.backend)
        counts = [f"select count(*) from {of} where {empty}"]
        if self.source.mapping.shape == "order":
            counts.append(f"select count(*) from (select {keys} from {of} group by {keys} having count(*) > 1) d")
        return sum(rows[0][0] for rows in self.run(*counts))

    def _call(self, statements: Any) -> list[dict[str, Any]]:  # noqa: ANN401  # any sequence of texts
        if self._driver is None:
            self._driver = Child(self.source.name, "driver")
        request = {
            "url": self.backend.driver_url().render_as_string(hide_password=False),
            "statements": list(statements),
            "seconds": self.source.timeout_seconds,
        }
        answer = self._driver.call(request, self.source.timeout_seconds + FURTHER_SECONDS)
        results: list[dict[str, Any]] = answer["results"]
        return results


def _check_mapped(source: SourceConfig, headers: Sequence[str]) -> None:
    """Raise `SourceError` where the source lacks a mapped column, with the column that comes nearest.

    The hazard is a misspelt or renamed column: read as empty, it would take the customer away from every order.
    """
    lacking = missing_headers(headers, source.mapping)
    if lacking:
        problems = " ".join(_problem(column, names, headers) for column, names in lacking.items())
        remedy = "Correct the mapping, or leave out of it what the source does not have."
        msg = f"Source {source.name} lacks columns of its mapping. {problems} {remedy}"
        raise SourceError(msg)


def _problem(column: str, names: Sequence[str], headers: Sequence[str]) -> str:
    text = f"There is no column {' or '.join(map(repr, names))} for {column}"
    found = next((near for name in names if (near := nearest(name, headers)) is not None), None)
    return f"{text}." if found is None else f"{text}; did you mean {found!r}?"
