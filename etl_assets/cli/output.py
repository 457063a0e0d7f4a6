"""Output of all commands: tables and JSON on stdout; notes, progress and errors on stderr; exit codes.

Values are never interpreted as markup, and control characters in them (file names, order ids) never reach the terminal.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from etl_assets.errors import EtlError, SettingsUrlError
from etl_assets.folders import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

FAILED: Final = 1
WRONG_USE: Final = 2
PIPED_WIDTH: Final = 200
"""Width of tables outside a terminal: wide enough that ids are not folded."""

_CONTROLS: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")


class WrongUseError(EtlError):
    """Raised for an argument or a setting that can't be used."""


def print_json(value: object) -> None:
    """Print a value as one JSON document; times in ISO form, anything else unknown as its text."""
    typer.echo(json.dumps(value, indent=2, default=_as_json))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns that hold numbers only are aligned to the right."""
    cells = [list(row) for row in rows]
    table = Table(title=_rich_text(title) if title else None, title_justify="left", title_style="bold")
    for at, column in enumerate(columns):
        is_number = bool(cells) and all(isinstance(row[at], int | float | None) for row in cells)
        table.add_column(_rich_text(column), justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(_rich_text(_format_cell(cell)) for cell in row))
    _console(stderr=False).print(table)


def print_records(title: str, records: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print the given keys of records as a table."""
    print_table(title, columns, ([record.get(column) for column in columns] for record in records))


def say(message: str, style: str = "") -> None:
    """Print a line of the result on stdout."""
    _console(stderr=False).print(Text(_without_controls(message), style=style), soft_wrap=True)


def print_pairs(pairs: Iterable[tuple[str, str | None]]) -> None:
    """Print names and texts in two columns; those without a text are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs:
        if text is not None:
            table.add_row(_rich_text(name), _rich_text(text))
    _console(stderr=False).print(table)


def note(message: str, style: str = "") -> None:
    """Print a line on stderr that is not part of the result."""
    _console(stderr=True).print(Text(_without_controls(message), style=style), soft_wrap=True)


def heading(message: str, *, stderr: bool = True) -> None:
    """Print the heading of a stage on stderr, or of a part of the result on stdout."""
    _console(stderr=stderr).rule(Text(_without_controls(message), style="bold"), align="left")


@contextmanager
def failures_reported(*, as_json: bool) -> Iterator[None]:
    """End the command with its exit code and one message, without a traceback, on errors that the user can correct.

    A driver's text may quote data, so only its SQLSTATE is shown.
    """
    try:
        yield
    except (WrongUseError, SettingsUrlError) as error:
        _exit_with_error(str(error), WRONG_USE, as_json=as_json)
    except EtlError as error:
        _exit_with_error(str(error), FAILED, as_json=as_json)
    except Exception as error:
        message = _system_message(error) or _driver_message(error)
        if message is None:
            raise
        _exit_with_error(message, FAILED, as_json=as_json)


@contextmanager
def count_progress(label: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Show a counter on stderr if that is a terminal; yields the function that sets the count."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,} " + unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(_without_controls(label), total=None)
        yield lambda number: progress.update(task, completed=number)


def _exit_with_error(message: str, code: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": message})
    else:
        console = _console(stderr=True)
        console.print(Text.assemble(("Error: ", "bold red"), _without_controls(message)), soft_wrap=True)
    raise typer.Exit(code) from None


def _system_message(error: Exception) -> str | None:
    """Explain an error of a file, a folder or Dagster's SQLite databases; None for other errors."""
    problem = problem_of(error, "use another folder (ETL_HOME names the project's own)")
    if problem is None:
        return None
    at = getattr(error, "filename", None) or "Dagster's store of runs (in DAGSTER_HOME, or under ETL_HOME)"
    return f"{at} can't be used: {problem}"


def _driver_message(error: Exception) -> str | None:
    if type(error).__module__.partition(".")[0] not in {"sqlalchemy", "psycopg"}:
        return None
    from etl_assets.database.database import sqlstate_of  # noqa: PLC0415  # not needed by commands without a database
    from etl_assets.database.sqlstates import meaning_of  # noqa: PLC0415  # as above

    state = sqlstate_of(error)
    return f"The database refused ({type(error).__name__}, SQLSTATE {state or 'unknown'}): {meaning_of(state)}."


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PIPED_WIDTH)


def _rich_text(value: str) -> Text:
    return Text(_without_controls(value))


def _without_controls(value: str) -> str:
    return value.translate(_CONTROLS).encode("utf-8", "replace").decode()


def _format_cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"
        case _ if hasattr(value, "strftime"):
            return str(value.strftime("%Y-%m-%d %H:%M:%S"))
        case _:
            return str(value)


def _as_json(value: Any) -> str:  # noqa: ANN401  # any type that json does not know
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
