"""`etl-assets web`: serves the web page."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported, note
from etl_assets.cli.session import load_settings, opened_database

app = typer.Typer(add_completion=False)


@app.command("web")
def web(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3001,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    as_json: AsJson = False,
) -> None:
    """Serve the web page: leads, orders, bad rows, imports, health. Until stopped."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        with opened_database(settings) as database:
            from etl_assets.web.server import serve  # noqa: PLC0415  # not needed by other commands

            note(f"The web page is on http://{f'[{host}]' if ':' in host else host}:{port}.")
            serve(settings, database, host=host, port=port)
