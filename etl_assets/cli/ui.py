"""`etl-assets ui`: Dagster's UI, for this machine's own browser or a proxy."""

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
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of 127.0.0.1 to listen on.")] = 3000,
    workspace: Annotated[Path, typer.Option(help="The file that says where the code server is.")] = Path(
        "workspace.yaml"
    ),
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the Dagster UI on 127.0.0.1, to its own pages only, until it is stopped."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        from etl_assets.ui.server import serve  # noqa: PLC0415  # Dagster takes seconds to import

        serve(settings, workspace, port=port, is_read_only=read_only)
