"""`etl-assets dev`: starts all of Dagster's services on a developer's machine."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported
from etl_assets.cli.session import load_settings

app = typer.Typer(add_completion=False)


@app.command("dev")
def dev(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the UI on 127.0.0.1.")] = 3000,
    as_json: AsJson = False,
) -> None:
    """Run the code server, the daemon with its sensors, and the UI, until stopped."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        from etl_assets.ui.dev import run_dev  # noqa: PLC0415  # not needed by other commands

        run_dev(settings, port=port)
