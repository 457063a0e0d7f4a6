"""`etl-assets sources`: lists, checks and pulls orders of other databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl_assets.cli.output import (
    FAILED,
    AsJson,
    WrongUseError,
    failures_reported,
    note,
    print_json,
    print_records,
    say,
)
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.errors import ConcurrentRunError, EtlError
from etl_assets.sources.bookmarks import progress_of_all
from etl_assets.sources.config import load_sources, source_url
from etl_assets.sources.errors import SourceConfigError
from etl_assets.sources.pull import pull, reconcile
from etl_assets.sources.session import SourceSession, open_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_assets.database.database import Database
    from etl_assets.settings import Settings
    from etl_assets.sources.model import SourceConfig
    from etl_assets.sources.pull import PullResult

app = typer.Typer(help="Orders in other databases: check, pull, reconcile.", no_args_is_help=True, add_completion=False)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="Sources. Default: all.")]


@app.command("list")
def list_sources(*, as_json: AsJson = False) -> None:
    """List the sources, with the time of the last pull."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        sources = _chosen_sources(settings, None)
        with opened_database(settings) as database:
            progress = progress_of_all(database)
        records: list[dict[str, Any]] = []
        for source in sources:
            seen = progress.get(source.name)
            records.append(
                {
                    "name": source.name,
                    "changes": source.changes.kind,
                    "reads": source.table or "query",
                    "url_env": source.url_env,
                    "every_seconds": source.every_seconds,
                    "pulled_at": seen.pulled_at if seen else None,
                    "reconciled_at": seen.reconciled_at if seen else None,
                }
            )
        if as_json:
            print_json({"sources": records})
        else:
            print_records("Sources", records, list(records[0]) if records else ["name"])


@app.command("check")
def check(names: Names = None, *, as_json: AsJson = False) -> None:
    """Connect to sources, compare them with their configuration, and find keys that are empty or not unique."""
    with failures_reported(as_json=as_json):
        records = [_check_source(source) for source in _chosen_sources(load_settings(), names)]
        if as_json:
            print_json({"sources": records})
        else:
            print_records("Sources", records, ["name", "status", "columns", "problem"])
        if any(record["status"] != "ok" for record in records):
            raise typer.Exit(FAILED)


@app.command("pull")
def pull_sources(names: Names = None, *, as_json: AsJson = False) -> None:
    """Land rows that changed since the last pull, as an import."""
    _run_each(names, pull, as_json=as_json)


@app.command("reconcile")
def reconcile_sources(names: Names = None, *, as_json: AsJson = False) -> None:
    """Read whole sources, land unknown rows, and report how many of them earlier pulls have missed."""
    _run_each(names, reconcile, as_json=as_json)


@app.command("setup")
def setup(name: Annotated[str, typer.Argument(metavar="NAME")], *, as_json: AsJson = False) -> None:
    """Print the SQL that the owner of the source's database runs once, to make changes detectable."""
    with failures_reported(as_json=as_json):
        [source] = _chosen_sources(load_settings(), [name])
        text = open_backend(source, source_url(source)).setup(source)
        if as_json:
            print_json({"name": source.name, "sql": text})
        else:
            typer.echo(text, nl=False)


def _chosen_sources(settings: Settings, names: Sequence[str] | None) -> list[SourceConfig]:
    if settings.sources is None:
        msg = "ETL_SOURCES is not set: put the path of sources.yaml in it. See docs/sources.md."
        raise WrongUseError(msg)
    try:
        sources = load_sources(settings)
    except SourceConfigError as error:
        raise WrongUseError(str(error)) from None
    if not names:
        return sources
    by_name = {source.name: source for source in sources}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        msg = f"There is no source {unknown[0]!r} in {settings.sources}; it has: {', '.join(by_name) or 'none'}."
        raise WrongUseError(msg)
    return [by_name[name] for name in dict.fromkeys(names)]


def _check_source(source: SourceConfig) -> dict[str, Any]:
    record: dict[str, Any] = {"name": source.name, "status": "ok", "columns": None, "problem": None}
    try:
        with SourceSession(source) as session:
            record["columns"] = len(session.columns())
            session.backend.window(session.run, source, None)
            doubtful = session.count_doubtful_keys()
    except EtlError as error:
        return {**record, "status": "failed", "problem": str(error)}
    if doubtful:
        problem = f"{doubtful} keys ({', '.join(source.key)}) are NULL or not unique. Choose other columns for key."
        return {**record, "status": "failed", "problem": problem}
    return record


def _run_each(
    names: Sequence[str] | None, work: Callable[[Database, SourceConfig], PullResult], *, as_json: bool
) -> None:
    with failures_reported(as_json=as_json):
        settings = load_settings()
        sources = _chosen_sources(settings, names)
        with opened_database(settings) as database:
            records = [_run_source(database, source, work) for source in sources]
        for record in records:
            for finding in record.get("findings", ()):
                note(f"{record['source']}: {finding['message']}", "yellow")
        if as_json:
            print_json({"sources": records})
        else:
            columns = ["source", "status", "mode", "read", "landed", "missed", "import_id", "duration"]
            print_records("Pulls", records, columns)
            for record in records:
                if record["status"] == "failed":
                    note(f"Not pulled: {record['error']}", "red")
                elif record["status"] == "fenced":
                    say(record["error"])
        if any(record["status"] == "failed" for record in records):
            raise typer.Exit(FAILED)


def _run_source(
    database: Database, source: SourceConfig, work: Callable[[Database, SourceConfig], PullResult]
) -> dict[str, Any]:
    """Run one source; a failure is returned as a record, so that the others still run."""
    try:
        return {"status": "done", **work(database, source).as_dict()}
    except ConcurrentRunError as error:
        return {"status": "fenced", "source": source.name, "error": str(error)}
    except EtlError as error:
        return {"status": "failed", "source": source.name, "error": str(error)}
