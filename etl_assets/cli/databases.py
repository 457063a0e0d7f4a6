"""`etl-assets db`: the database in use and its migrations."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported, print_json, say
from etl_assets.cli.session import load_settings
from etl_assets.database import embedded, migrate
from etl_assets.database.database import Database
from etl_assets.urls import shown

app = typer.Typer(help="The database in use and its migrations.", no_args_is_help=True, add_completion=False)


@app.command("url")
def url(
    *,
    show_password: Annotated[bool, typer.Option("--show-password", help="Print the password too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the URL of the database, starting the embedded one."""
    with failures_reported(as_json=as_json):
        database = Database(load_settings())
        text = database.url.render_as_string(hide_password=False) if show_password else shown(database.url)
        if as_json:
            print_json({"url": text, "schema": database.schema, "embedded": database.is_embedded})
        else:
            typer.echo(text)


@app.command("upgrade")
def upgrade(*, as_json: AsJson = False) -> None:
    """Make the tables, or bring them to the state that this version needs."""
    with failures_reported(as_json=as_json):
        database = Database(load_settings())
        try:
            before, after = migrate.upgrade(database)
        finally:
            database.dispose()
        if as_json:
            print_json({"schema": database.schema, "before": before, "after": after})
        elif before == after:
            say(f"Schema {database.schema!r} is up to date at revision {after}.")
        else:
            say(f"Schema {database.schema!r} is at revision {after} now (before: {before or 'none'}).")


@app.command("stop")
def stop(*, as_json: AsJson = False) -> None:
    """Stop the embedded database, if it runs; never a server of your own."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        stopped = embedded.stop(settings.postgres_directory)
        message = "The embedded database is stopped." if stopped else "The embedded database does not run."
        if settings.database_url is not None:
            message += " ETL_DATABASE_URL names a server of your own: it is not this command's to stop."
        if as_json:
            print_json({"stopped": stopped, "message": message})
        else:
            say(message)
