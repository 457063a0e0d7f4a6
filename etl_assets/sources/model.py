"""Model of one source in `sources.yaml`: its table or query, its mapping, and the way to find changes.

No secrets: a source names the environment variable that holds its URL.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from etl_assets.presets.model import Preset  # noqa: TC001  # Pydantic reads the annotations
from etl_assets.values.date_order import conflicting_formats

SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _plain_name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        msg = "a name of a table or column is not empty and has no control characters"
        raise ValueError(msg)
    return name


def _table_name(name: str) -> str:
    if not all(part.strip() for part in _plain_name(name).split(".")):
        msg = "write table or schema.table; for names that hold a point use query"
        raise ValueError(msg)
    return name


ColumnName = Annotated[str, AfterValidator(_plain_name)]
TableName = Annotated[str, AfterValidator(_table_name)]
Columns = Annotated[tuple[ColumnName, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class XidColumn(_Strict):
    """PostgreSQL: a column of type xid8 that a trigger sets to the transaction that wrote the row. Exact."""

    kind: Literal["xid_column"]
    column: ColumnName = "etl_tx"
    tables: tuple[TableName, ...] = ()
    """The tables that have the column; by default `table`."""


class Xmin(_Strict):
    """PostgreSQL: the system column xmin. Exact, nothing to install, but each pull scans the whole table."""

    kind: Literal["xmin"]


class ChangeTable(_Strict):
    """MariaDB and MySQL: triggers record the keys of changed rows in a table; landed ones are deleted. Exact."""

    kind: Literal["change_table"]
    table: TableName = "etl_changes"
    tables: dict[TableName, Columns] = Field(default_factory=dict)
    """The tables with triggers and, of each, the columns that hold the source's key; by default `table` and `key`."""


class ChangeSequence(_Strict):
    """SQLite: triggers give each changed key the next number of a counter. Exact."""

    kind: Literal["change_sequence"]
    table: TableName = "etl_changes"
    sequence: TableName = "etl_sequence"
    tables: dict[TableName, Columns] = Field(default_factory=dict)
    """As for `ChangeTable`."""


class Reconcile(_Strict):
    """Any database: read all rows each time and compare them with the last read."""

    kind: Literal["reconcile"]


def _accept_short_form(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


Changes = Annotated[
    XidColumn | Xmin | ChangeTable | ChangeSequence | Reconcile,
    Field(discriminator="kind"),
]

BACKENDS: Final[dict[str, tuple[str, ...]]] = {
    "xid_column": ("postgresql",),
    "xmin": ("postgresql",),
    "change_table": ("mysql", "mariadb"),
    "change_sequence": ("sqlite",),
    "reconcile": ("postgresql", "mysql", "mariadb", "sqlite"),
}
"""The databases (as SQLAlchemy's URLs call them) that each way to find changes is made for."""


class SourceConfig(_Strict):
    """Source. docs/sources.md describes the file, with examples."""

    name: SourceName
    url_env: VariableName
    """The environment variable that holds the URL of the database."""
    table: TableName | None = None
    query: str | None = Field(default=None, min_length=1)
    key: Columns
    """Columns that identify the order of a row; unique where the mapping's shape is `order`; never NULL."""
    changes: Annotated[Changes, BeforeValidator(_accept_short_form)]
    mapping: Preset
    every_seconds: int = Field(default=60, ge=1)
    """How often the schedule pulls it."""
    reconcile_seconds: int | None = Field(default=86_400, ge=60)
    """Interval at which the schedule reads all of it, to find missed rows; null: never."""
    timeout_seconds: int = Field(default=600, ge=1)
    """Time limit of a read, after which its process is killed."""

    @model_validator(mode="after")
    def _is_consistent(self) -> SourceConfig:
        if (self.table is None) == (self.query is None):
            msg = "name either a table or a query"
            raise ValueError(msg)
        if self.query is not None and self.changes.kind == "xmin":
            msg = "changes: xmin needs a table: a query has no system columns"
            raise ValueError(msg)
        if len(set(self.key)) < len(self.key):
            msg = "key names a column twice"
            raise ValueError(msg)
        if self.mapping.mappings["order_id"].number_rows_by:
            msg = "mapping: number_rows_by is for files: name the column of the order number in columns.order_id"
            raise ValueError(msg)
        if self.mapping.date_order is None and any(conflicting_formats(self.mapping.timestamp_formats).values()):
            msg = "mapping: timestamp_formats read 01/02/2026 as two dates: name date_order, day or month"
            raise ValueError(msg)
        if isinstance(self.changes, ChangeTable | ChangeSequence):
            wrong = [table for table, columns in self.changes.tables.items() if len(columns) != len(self.key)]
            if wrong:
                msg = f"changes.tables: {wrong[0]} needs as many columns as key has"
                raise ValueError(msg)
        return self
