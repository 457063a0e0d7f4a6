"""Interface of the kinds of databases that are sources; `postgresql`, `mysql` and `sqlite` implement it.

A new kind of database is a module with a `Backend`, an entry in `model.BACKENDS` and one in `session.open_backend`.
"""

# ruff: noqa: S608  # only quoted names and integers are put into SQL here

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from etl_assets.sources.errors import SourceConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from sqlalchemy import URL

    from etl_assets.sources.model import ChangeSequence, ChangeTable, SourceConfig


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a source, as its driver describes it."""

    name: str
    type: str
    charset: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Window of changes: the rows to read next.

    Conditions are SQL on the relation `q`, made of quoted names and integers.
    """

    position: dict[str, Any]
    """Position of the source when the window is landed."""
    changed: str | None
    """Condition of the rows that changed since the last position; None where that is unknown."""
    pending: str
    """Condition of the rows that the next ordinary pull would have brought: those are not missed."""
    why_full: str | None = None
    """Reason to read all of the source."""
    is_empty: bool = False
    """No row changed."""
    claimed: tuple[int, ...] = field(default=(), repr=False)
    """Numbers of the change rows to delete when the window is landed."""


class Statements(Protocol):
    """Function that runs small statements in the source, each in a transaction of its own."""

    def __call__(self, *statements: str) -> list[list[list[Any]]]:
        """Return the rows of each."""
        ...


class Backend(Protocol):
    """Kind of database."""

    before: tuple[str, ...]

    def driver_url(self) -> URL:
        """Return the URL for SQLAlchemy."""
        ...

    def reader_uri(self) -> str:
        """Return the URL for ConnectorX."""
        ...

    def quote(self, name: str) -> str:
        """Quote the name of a column, or of a table, part by part where it has points."""
        ...

    def as_text(self, column: Column) -> str:
        """Return the SQL expression that converts a column of `q` to text."""
        ...

    def decode(self, cells: pl.Expr) -> pl.Expr:
        """Decode the result of `as_text`; null where the cell was NULL or is not valid text."""
        ...

    def replacement(self, cells: pl.Expr) -> pl.Expr:
        """Return the replacement of a cell that `decode` can't decode."""
        ...

    def window(self, run: Statements, source: SourceConfig, position: dict[str, Any] | None) -> Window:
        """Find the window that begins at a position of this kind of source, or at none."""
        ...

    def release(self, source: SourceConfig, claimed: Sequence[int]) -> Iterable[str]:
        """Return the statements that delete change rows that have been landed."""
        ...

    def setup(self, source: SourceConfig) -> str:
        """Return the SQL that the owner of the source runs once, so that its changes can be found."""
        ...


def quoted(name: str, mark: str) -> str:
    """Put each part of a name between quotation marks."""
    return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))


def relation(source: SourceConfig, backend: Backend) -> str:
    """Return the table or query of a source, as the relation `q`."""
    if source.table is not None:
        return f"{backend.quote(source.table)} q"
    query = (source.query or "").strip().rstrip(";")
    return f"(\n{query}\n) q"  # the line break ends a comment


def tables_with_keys(source: SourceConfig, changes: ChangeTable | ChangeSequence) -> dict[str, tuple[str, ...]]:
    """Return the tables that get triggers, each with the columns of the source's key; by default the source's own.

    Raises:
        SourceConfigError: the source is a query, and its tables are not named.
    """
    tables = changes.tables or ({source.table: source.key} if source.table else {})
    if not tables:
        msg = f"Source {source.name}: name the tables of its query, and their key columns, under changes.tables."
        raise SourceConfigError(msg)
    return tables


def key_list(backend: Backend, columns: Sequence[str], prefix: str = "q.") -> str:
    """Return the columns of a key as SQL: one, or a row value."""
    names = ", ".join(prefix + backend.quote(column) for column in columns)
    return names if len(columns) == 1 else f"({names})"


def bare_list(backend: Backend, columns: Sequence[str], prefix: str = "") -> str:
    """Return columns separated by commas."""
    return ", ".join(prefix + backend.quote(column) for column in columns)


def with_whole_orders(source: SourceConfig, backend: Backend, changed: str) -> str:
    """Widen a condition on rows to all rows of the orders that have such a row, where an order has several rows."""
    if source.mapping.shape == "order":
        return changed
    key, keys = key_list(backend, source.key), bare_list(backend, source.key, "q.")
    return f"({changed}) or {key} in (select {keys} from {relation(source, backend)} where {changed})"
