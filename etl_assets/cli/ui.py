"""`etl-assets ui`: serves Dagster's UI to this machine's browser or to a proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported
from etl_assets.cli.session import load_settings

app = typer.Typer(add_completion=False)


@app.command("ui")
def ui(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
    workspace: Annotated[Path, typer.Option(help="Workspace file that locates the code server.")] = Path(
        "workspace.yaml"
    ),
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the Dagster UI on 127.0.0.1, to its own pages only, until stopped."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        from etl_assets.ui.server import serve  # noqa: PLC0415  # Dagster takes seconds to import

        serve(settings, workspace, port=port, is_read_only=read_only)
