"""`etl-assets changes`: shows what a run or an import changed, old and new values, per table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl_assets.asset_graph import STEP_ASSETS, TABLE_OF
from etl_assets.changes.net import KINDS
from etl_assets.changes.report import RunIdError, batches_of_import, batches_of_run, table_changes
from etl_assets.changes.scope import note_scope
from etl_assets.changes.values import shown_value
from etl_assets.cli.output import AsJson, WrongUseError, failures_reported, note, print_json, print_table, say
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.ledger.import_ids import ImportIdError, find_import

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa

    from etl_assets.changes.read import TableChanges
    from etl_assets.changes.report import Batches, NamedChange

    _Run = tuple[Batches, list[tuple[TableChanges, list[NamedChange]]]]

app = typer.Typer(add_completion=False)

TABLES: Final = tuple(TABLE_OF[asset] for asset in STEP_ASSETS)


@app.command("changes")
def changes(
    *,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Id of a run, or its first digits.")] = None,
    of_import: Annotated[
        str | None, typer.Option("--import", metavar="ID", help="Id of an import, or its first digits.")
    ] = None,
    table: Annotated[list[str] | None, typer.Option(metavar="TABLE", help="This table only; repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="Maximum number of rows of each table.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what a run or an import changed: counts per table, and rows with their old and new values."""
    with failures_reported(as_json=as_json):
        tables = _require_known(table or TABLES)
        if (run is None) == (of_import is None):
            msg = "Give the id of one run (--run) or of one import (--import)."
            raise WrongUseError(msg)
        with opened_database(load_settings()) as database, database.transaction() as connection:
            try:
                runs = (
                    _of_import(connection, of_import, tables, limit)
                    if of_import
                    else _of_run(connection, run or "", tables, limit)
                )
            except (RunIdError, ImportIdError) as error:
                raise WrongUseError(str(error)) from None
        if as_json:
            print_json({"runs": [_as_dict(one, changed) for one, changed in runs]})
            return
        for one, changed in runs:
            _print_run(one, changed)
        if not runs:
            note("No batch has processed the import yet: `etl-assets run`.")


def _require_known(names: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        msg = f"--table: there is no table {unknown[0]!r}; use one of {', '.join(TABLES)}."
        raise WrongUseError(msg)
    return names


def _of_run(connection: sa.Connection, typed: str, tables: Sequence[str], limit: int) -> list[_Run]:
    batches = batches_of_run(connection, typed)
    return [(batches, table_changes(connection, batches, tables, limit=limit))]


def _of_import(connection: sa.Connection, typed: str, tables: Sequence[str], limit: int) -> list[_Run]:
    import_id = find_import(connection, typed)
    found = batches_of_import(connection, import_id)
    if any(one.other_imports for one in found):
        note_scope(connection, import_id, [batch for one in found for batch in one.of_assets.get("orders", ())])
    return [
        (one, table_changes(connection, one, tables, limit=limit, is_scoped=one.other_imports > 0)) for one in found
    ]


def _as_dict(batches: Batches, changed: Sequence[tuple[TableChanges, list[NamedChange]]]) -> dict[str, Any]:
    return {
        "run_id": batches.run_id,
        "batches": dict(batches.of_assets),
        "other_imports": batches.other_imports,
        "tables": {one.table: {**one.counts, "rows": [named.as_dict() for named in rows]} for one, rows in changed},
    }


def _print_run(batches: Batches, changed: Sequence[tuple[TableChanges, list[NamedChange]]]) -> None:
    say(f"Run {batches.run_id or 'none (a coroutine, or a program of your own)'}")
    if batches.other_imports:
        note(
            f"The same batches were about {batches.other_imports:,} other imports: what those changed about the same"
            " customers and leads is among these."
        )
    counts = ([one.table, *(one.counts[kind] for kind in KINDS)] for one, _ in changed)
    print_table("Rows", ["table", *KINDS], counts)
    for one, rows in changed:
        if rows:
            title = f"{one.table}: {len(rows):,} of {sum(one.counts.values()):,} changed rows"
            print_table(title, ["change", "row", "column", "old", "new"], _lines(rows))


def _lines(rows: Sequence[NamedChange]) -> Iterator[Sequence[object]]:
    """Yield a line for each changed column; the name of the row stands in its first line."""
    for row in rows:
        kind, name = str(row.change.kind), row.name
        for column, (old, new) in row.values.items():
            yield kind, name, column, shown_value(old), shown_value(new)
            kind, name = "", ""
