"""`etl-assets generate`: writes realistic exports of several platforms."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import Annotated

import typer

from etl_assets.cli.output import AsJson, failures_reported, print_json, print_records
from etl_assets.generator.demo import DemoFile, write_demo_files

app = typer.Typer(add_completion=False)

MIN_ORDERS = 10


def as_records(files: list[DemoFile]) -> list[dict[str, str | None]]:
    """Return the files as records for printing."""
    return [{"path": str(file.path), "preset": file.preset, "shop": file.shop} for file in files]


@app.command("generate")
def generate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the files.", file_okay=False)],
    *,
    orders: Annotated[int, typer.Option(min=MIN_ORDERS, help="Total number of orders.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generated orders.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Write exports in the formats of Taobao, Shopify and a seller's own system; deterministic for a seed."""
    with failures_reported(as_json=as_json):
        files = as_records(write_demo_files(directory, orders=orders, seed=seed))
        if as_json:
            print_json({"files": files})
        else:
            print_records("Written", files, ["path", "preset", "shop"])
