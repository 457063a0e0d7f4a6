"""Round trip of rows that the database refuses: quarantined, listed, exported, corrected, run again, loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
from typer.testing import CliRunner

from etl_assets.asset_graph import TABLE_OF
from etl_assets.cli.main import app
from etl_assets.quarantine.corrections import import_corrections
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.spreadsheet import read_corrections
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Services


def check_round_trip(
    services: Services,
    folder: Path,
    asset: AssetName,
    *,
    only: str,
    column: str,
    bad: str,
    good: str,
    **fields: str,
) -> None:
    """Have the database refuse two orders' rows of an asset; correct one, run the other again as it is.

    Args:
        services: on an empty database.
        folder: for the exported file.
        asset: whose table refuses rows.
        only: the SQL condition that its table takes rows by, such as `amount < 100`.
        column: the column of the raw rows that the condition depends on.
        bad: a text there for which rows are refused.
        good: a text there for which they are taken.
        fields: further columns of the raw rows.
    """
    table = TABLE_OF[asset]
    query(services, f"ALTER TABLE {table} ADD CONSTRAINT only_good CHECK ({only})")
    names = ("Ann", "Ben")
    land(services, [raw_fields(name, **({"customer_name": name} | fields | {column: bad})) for name in names])
    run_all(services)
    assert stored_rows(services, asset) == 0
    listed = command("quarantine", "list", "--asset", asset)["rows"]
    assert [(row["asset"], row["reason_code"], row["order_id"]) for row in listed] == [
        (asset, "DB_REJECTED", name) for name in names
    ]

    path = folder / "bad_rows.csv"
    assert command("quarantine", "export", str(path), "--overwrite")["rows"] == len(names)
    is_first = pl.col("quarantine_id") == str(listed[0]["quarantine_id"])
    corrected = pl.when(is_first).then(pl.lit(good)).otherwise(pl.col(column))
    pl.read_csv(path, infer_schema=False).with_columns(corrected.alias(column)).write_csv(path)
    landed = import_corrections(services.database, read_corrections(path), path).landed
    assert landed == (listed[0]["quarantine_id"],)
    run_all(services)
    assert stored_rows(services, asset) == 1
    assert resolutions(services, asset) == ["replayed", None]

    query(services, f"ALTER TABLE {table} DROP CONSTRAINT only_good")
    assert requeue(services.database).queued == (listed[1]["quarantine_id"],)
    run_all(services)
    assert stored_rows(services, asset) == len(names)
    assert resolutions(services, asset) == ["replayed", "replayed"]


def command(*arguments: str) -> Any:
    """Run a command and return what it answers as JSON."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def stored_rows(services: Services, asset: AssetName) -> int:
    """Count the rows of an asset's table."""
    return int(scalar(services, f"SELECT count(*) FROM {TABLE_OF[asset]}"))  # noqa: S608  # a table of ours


def resolutions(services: Services, asset: AssetName) -> list[str | None]:
    """How the rows of an asset's quarantine were resolved, by order; None: they are open."""
    rows = query(services, "SELECT resolution FROM quarantine WHERE asset = :asset ORDER BY order_id", asset=asset)
    return [row["resolution"] for row in rows]
