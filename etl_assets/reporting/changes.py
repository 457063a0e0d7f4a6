"""Page of the first rows that a run has changed, for the metadata of its assets, as `ETL_SAMPLE_ROWS` allows.

Every value passes through `samples`, since Dagster stores metadata for ever.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF
from etl_assets.changes.report import first_changes
from etl_assets.changes.values import shown_value
from etl_assets.database.schema import metadata
from etl_assets.reporting.pages import table
from etl_assets.reporting.samples import shown_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.changes.report import NamedChange
    from etl_assets.database.database import Database
    from etl_assets.settings import SampleRows

ROWS_SHOWN: Final = 10
HEADER: Final = ("row", "column", "old", "new")


def changes_page(database: Database, asset: AssetName, run_id: str) -> str | None:
    """Return the first updated and deleted rows of an asset's run as a table; None where none is to be shown."""
    mode = database.settings.sample_rows
    if mode == "off":
        return None
    with database.transaction() as connection:
        found = first_changes(connection, asset, run_id, limit=ROWS_SHOWN)
    lines = [line for change in found for line in _lines(change, TABLE_OF[asset], mode)]
    return table(HEADER, lines) if lines else None


def _lines(named: NamedChange, of_table: str, mode: SampleRows) -> Iterator[Sequence[str]]:
    """Yield a line for each column that changed, with the name of the row in the first; one for a deleted row.

    The customer's id is left out: it follows from the name, and leaves the UI no room for the new values.
    """
    name = _name(named, of_table, mode)
    if named.change.kind == "deleted":
        yield name, "(deleted)", "", ""
        return
    values = {column: both for column, both in named.change.values.items() if column != "customer_global_id"}
    old, new = (_shown(of_table, {column: both[at] for column, both in values.items()}, mode) for at in (0, 1))
    for column in values:
        yield name, column, old[column], new[column]
        name = ""


def _name(named: NamedChange, of_table: str, mode: SampleRows) -> str:
    """Return the name of a row; where texts are masked with the ids in its key besides, to find it by."""
    names = " ".join(text for text in _shown(of_table, named.names, mode).values() if text)
    ids = {column: value for column, value in named.change.key.items() if column not in named.names}
    if mode == "on" and names:
        return names
    return f"{names} ({', '.join(f'{column} {value}' for column, value in ids.items())})"


def _shown(of_table: str, row: Mapping[str, Any], mode: SampleRows) -> dict[str, str]:
    """Return the values of columns of a table as they may be shown; the log has times and ids as texts."""
    columns = metadata.tables[of_table].columns
    typed = {name: _typed(columns[name].type, value) if name in columns else value for name, value in row.items()}
    shown = shown_row({name: value for name, value in typed.items() if isinstance(value, str)}, mode)
    return {name: shown.get(name, shown_value(value)) for name, value in typed.items()}


def _typed(kind: sa.types.TypeEngine[Any], value: object) -> object:
    match kind, value:
        case sa.DateTime(), str():
            return dt.datetime.fromisoformat(value)
        case sa.UUID(), str():
            return UUID(value)
        case _:
            return value
