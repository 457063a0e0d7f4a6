"""`etl-assets db`: shows the database in use, migrates and stops it."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported, note, print_json, say
from etl_assets.cli.session import load_settings
from etl_assets.database import embedded, migrate
from etl_assets.database.database import Database
from etl_assets.reporting.status import is_anything_pending
from etl_assets.urls import shown

app = typer.Typer(help="Database in use and its migrations.", no_args_is_help=True, add_completion=False)


@app.command("url")
def url(
    *,
    show_password: Annotated[bool, typer.Option("--show-password", help="Include the password.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the URL of the database; starts the embedded one."""
    with failures_reported(as_json=as_json):
        database = Database(load_settings())
        text = database.url.render_as_string(hide_password=False) if show_password else shown(database.url)
        if as_json:
            print_json({"url": text, "schema": database.schema, "embedded": database.is_embedded})
        else:
            typer.echo(text)


@app.command("upgrade")
def upgrade(*, as_json: AsJson = False) -> None:
    """Create the tables, or migrate them to the revision that this version needs."""
    with failures_reported(as_json=as_json):
        database = Database(load_settings())
        try:
            before, after = migrate.upgrade(database)
            with database.transaction() as connection:
                is_pending = is_anything_pending(connection)
        finally:
            database.dispose()
        if as_json:
            print_json({"schema": database.schema, "before": before, "after": after, "is_work_pending": is_pending})
            return
        if before == after:
            say(f"Schema {database.schema!r} is up to date (revision {after}).")
        else:
            say(f"Schema {database.schema!r} is now at revision {after} (before: {before or 'none'}).")
        if is_pending:
            note("Rows are pending, of imports or of the upgrade: `etl-assets run` or a sensor processes them.")


@app.command("stop")
def stop(*, as_json: AsJson = False) -> None:
    """Stop the embedded database if it runs; never your own server."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        stopped = embedded.stop(settings.postgres_directory)
        message = "The embedded database is stopped." if stopped else "The embedded database is not running."
        if settings.database_url is not None:
            message += " ETL_DATABASE_URL names your own server, which this command does not stop."
        if as_json:
            print_json({"stopped": stopped, "message": message})
        else:
            say(message)
