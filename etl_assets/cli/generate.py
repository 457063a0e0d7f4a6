"""`etl-assets generate`: writes realistic exports of several platforms."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from etl_assets.cli.output import AsJson, WrongUseError, failures_reported, print_json, print_records
from etl_assets.generator.demo import BAD_SHARE, MIN_ORDERS, DemoFile, write_demo_files
from etl_assets.generator.platforms.registry import LAYOUTS, PLATFORMS, layouts_of
from etl_assets.generator.platforms.write import write_export

if TYPE_CHECKING:
    from etl_assets.generator.platforms.layout import Layout

app = typer.Typer(add_completion=False)

ALL: Final = "all"


def as_records(files: list[DemoFile]) -> list[dict[str, str | None]]:
    """Return the files as records for printing."""
    return [file._asdict() | {"path": str(file.path)} for file in files]


@app.command("generate")
def generate(  # noqa: PLR0913  # each is an option of the command
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of the files.", file_okay=False)
    ] = None,
    *,
    platform: Annotated[str | None, typer.Option(help=f"Platform whose exports are written; {ALL!r} for all.")] = None,
    variant: Annotated[str | None, typer.Option(help="Version, language or country; all without it.")] = None,
    orders: Annotated[int, typer.Option(min=MIN_ORDERS, help="Orders of a platform's file, or of all others.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generated orders.")] = 7,
    bad_share: Annotated[float, typer.Option(min=0, max=1, help="Share of faulty orders.")] = BAD_SHARE,
    show_list: Annotated[bool, typer.Option("--list", help="List the platforms and their variants.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write made-up exports in the layouts of platforms, each with its expectation; deterministic for a seed.

    Without --platform: files of five platforms and a seller's own system, as `demo` uses them.
    """
    with failures_reported(as_json=as_json):
        if show_list:
            records, columns = [_described(layout) for layout in LAYOUTS], ["platform", "variant", "file", "evidence"]
            columns += ["columns", "draft"]
        elif directory is None:
            msg = "DIR is missing: name the folder of the files, or pass --list"
            raise WrongUseError(msg)
        elif platform is None:
            records = [dict(record) for record in as_records(write_demo_files(directory, orders=orders, seed=seed))]
            columns = ["path", "preset", "shop"]
        else:
            written = [
                write_export(layout, directory, orders=orders, seed=seed, bad_share=bad_share)
                for layout in _chosen(platform, variant)
            ]
            records = [
                _described(one.layout) | {"path": str(one.path), "expected": str(one.expectation)} for one in written
            ]
            columns = ["path", "preset", "expected", "currency", "timezone", "names_shop"]
        if as_json:
            print_json({"layouts" if show_list else "files": records})
        else:
            print_records("Layouts" if show_list else "Written", records, columns)


def _chosen(platform: str, variant: str | None) -> tuple[Layout, ...]:
    layouts = LAYOUTS if platform == ALL else layouts_of(platform, variant)
    if not layouts and platform not in PLATFORMS:
        msg = f"unknown platform {platform!r}: {', '.join(PLATFORMS)}, or {ALL}"
        raise WrongUseError(msg)
    if not layouts:
        known = ", ".join(layout.variant for layout in layouts_of(platform))
        msg = f"{platform} has no variant {variant!r}: {known}"
        raise WrongUseError(msg)
    return layouts


def _described(layout: Layout) -> dict[str, object]:
    return {
        "platform": layout.platform,
        "preset": layout.preset,
        "variant": layout.variant,
        "file": layout.file_name,
        "evidence": layout.evidence,
        "columns": len(layout.headers),
        "draft": layout.draft,
        "currency": layout.market.currency,
        "timezone": layout.market.timezone,
        "names_shop": any(shop is not None for shop in layout.trade.shops),
    }
