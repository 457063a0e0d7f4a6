"""What each kind of database must know how to do for a source; the modules beside this one do it."""

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
    """A column of a source, as its driver describes it."""

    name: str
    type: str
    charset: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What is to be read next.

    Conditions are SQL on the relation `q`, made of quoted names and integers.
    """

    position: dict[str, Any]
    """Where the source stands once the window is landed."""
    changed: str | None
    """Which rows changed since the last position; None where that can't be told."""
    pending: str
    """Which rows the next ordinary pull would have brought: those are not missed."""
    why_full: str | None = None
    """Why all of the source has to be read."""
    is_empty: bool = False
    """Whether nothing changed."""
    claimed: tuple[int, ...] = field(default=(), repr=False)
    """The change rows to delete once the window is landed."""


class Statements(Protocol):
    """Runs small statements in the source, each in a transaction of its own."""

    def __call__(self, *statements: str) -> list[list[list[Any]]]:
        """Return the rows of each."""
        ...


class Backend(Protocol):
    """One kind of database."""

    before: tuple[str, ...]

    def driver_url(self) -> URL:
        """The URL for SQLAlchemy."""
        ...

    def reader_uri(self) -> str:
        """The URL for ConnectorX."""
        ...

    def quote(self, name: str) -> str:
        """A name of a table (its parts separated by points stay so) or column, quoted."""
        ...

    def as_text(self, column: Column) -> str:
        """The expression that makes text of a column of `q`."""
        ...

    def decode(self, cells: pl.Expr) -> pl.Expr:
        """The text of what `as_text` gave; null where it was NULL or can't be text."""
        ...

    def spelled(self, cells: pl.Expr) -> pl.Expr:
        """What stands for a cell that `decode` can't make text of."""
        ...

    def window(self, run: Statements, source: SourceConfig, position: dict[str, Any] | None) -> Window:
        """What to read next, from a position of this kind of source or from none."""
        ...

    def release(self, source: SourceConfig, claimed: Sequence[int]) -> Iterable[str]:
        """The statements that delete change rows that have been landed."""
        ...

    def setup(self, source: SourceConfig) -> str:
        """The SQL that the owner of the source runs once, so that its changes can be found."""
        ...


def quoted(name: str, mark: str) -> str:
    """Each part of a name between quotation marks."""
    return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))


def relation(source: SourceConfig, backend: Backend) -> str:
    """The table or query of a source, to be read as `q`."""
    if source.table is not None:
        return f"{backend.quote(source.table)} q"
    query = (source.query or "").strip().rstrip(";")
    return f"(\n{query}\n) q"  # the line break ends a comment


def tables_with_keys(source: SourceConfig, changes: ChangeTable | ChangeSequence) -> dict[str, tuple[str, ...]]:
    """The tables that get triggers, each with the columns of the source's key; by default the source's own.

    Raises:
        SourceConfigError: the source is a query, and its tables are not named.
    """
    tables = changes.tables or ({source.table: source.key} if source.table else {})
    if not tables:
        msg = f"Source {source.name}: name the tables of its query, and their key columns, under changes.tables."
        raise SourceConfigError(msg)
    return tables


def key_list(backend: Backend, columns: Sequence[str], prefix: str = "q.") -> str:
    """The columns of a key: one, or a row value."""
    names = ", ".join(prefix + backend.quote(column) for column in columns)
    return names if len(columns) == 1 else f"({names})"


def bare_list(backend: Backend, columns: Sequence[str], prefix: str = "") -> str:
    """Columns separated by commas."""
    return ", ".join(prefix + backend.quote(column) for column in columns)


def with_whole_orders(source: SourceConfig, backend: Backend, changed: str) -> str:
    """Widen a condition on rows to all rows of the orders that have such a row, where an order has several rows."""
    if source.mapping.shape == "order":
        return changed
    key, keys = key_list(backend, source.key), bare_list(backend, source.key, "q.")
    return f"({changed}) or {key} in (select {keys} from {relation(source, backend)} where {changed})"
