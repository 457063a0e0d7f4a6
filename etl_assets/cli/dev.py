"""`etl-assets dev`: everything that Dagster needs on a developer's machine, in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported
from etl_assets.cli.session import load_settings

app = typer.Typer(add_completion=False)


@app.command("dev")
def dev(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of 127.0.0.1 that the UI listens on.")] = 3000,
    as_json: AsJson = False,
) -> None:
    """Run the code server, the daemon with its sensors, and the UI, until it is stopped."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        from etl_assets.ui.dev import run_dev  # noqa: PLC0415  # not needed by other commands

        run_dev(settings, port=port)
