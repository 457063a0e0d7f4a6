"""`etl-assets dev`: starts all of Dagster's services on a developer's machine."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported, note
from etl_assets.cli.session import load_settings

app = typer.Typer(add_completion=False)


@app.command("dev")
def dev(
    *,
    port: Annotated[int, typer.Option(min=1, max=65534, help="Port of the UI on 127.0.0.1.")] = 3000,
    web_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the web page; without it, the one after the UI's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the code server, the daemon with its sensors, the UI and the web page, until stopped."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        from etl_assets.ui.dev import run_dev  # noqa: PLC0415  # not needed by other commands

        ports = {"port": port, "web_port": web_port or port + 1}

        def show_addresses() -> None:
            note(f"Leads, orders, bad rows, imports, health: http://127.0.0.1:{ports['web_port']}", "bold")
            note(f"Dagster's UI, with runs and assets:       http://127.0.0.1:{port}", "bold")

        run_dev(settings, **ports, on_ready=show_addresses)
