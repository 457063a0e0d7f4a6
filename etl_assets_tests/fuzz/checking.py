"""Runs a round against a real PostgreSQL and compares everything with the oracles."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.importing import import_file
from etl_assets.raw_orders.transform import to_raw_orders
from etl_assets_tests.fuzz.files import FRAME, as_frame, write_file
from etl_assets_tests.fuzz.layouts import GOOD
from etl_assets_tests.fuzz.rounds import GOOD_NAME, SECRET, Import, Round, damaged, good_rows
from etl_assets_tests.fuzz.values import LONGEST_KEY
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.oracle import RawRow
from etl_assets_tests.helpers.reference_files import TOO_LARGE, Landed, land_lines
from etl_assets_tests.helpers.reference_values import clean_text

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.readers.file_reader import FileReader
    from etl_assets_tests.helpers.oracle import Expected
    from etl_assets_tests.helpers.pipeline import Stored

_COLUMNS: Final = ("raw_id", "import_id", "row_no", *RAW_COLUMNS, "defect")


class OddityError(AssertionError):
    """Something is not as it must be: what, in one word, and the details."""

    def __init__(self, what: str, details: object) -> None:
        """Build the text."""
        self.what = what
        super().__init__(f"{what}: {_shortened(str(details))}")


def check_round(services: Services, reader: FileReader, drawn: Round, folder: Path) -> None:
    """Import what a round has, run the pipeline, and compare. Raises whatever is not as it must be."""
    pipeline.start_afresh(pipeline.with_batch_size(services, drawn.batch_size))
    for number, one in enumerate(drawn.imports):
        _land(services, reader, drawn, one, folder, number)
        if drawn.runs_between:
            pipeline.run_all(services)
    pipeline.run_all(services)
    rows = [
        RawRow(**{**row, "import_id": str(row["import_id"])})
        for row in pipeline.query(services, f"SELECT {', '.join(_COLUMNS)} FROM raw_orders ORDER BY raw_id")  # noqa: S608  # constants
    ]
    stored = pipeline.read_tables(services)
    refused = _refused(rows, stored)
    expected = pipeline.work_out([row for row in rows if row not in refused], drawn.layout.preset)
    _add_refused(expected, refused)
    _leave_out_refused_customers(expected.customers, stored, rows)
    try:
        pipeline.assert_tables(stored, expected, rows)
    except AssertionError as error:
        raise OddityError(str(error).partition(" differ")[0].replace(" ", "_"), error) from None
    _assert_accounts(services, rows, stored)
    _assert_neighbours(drawn, stored)


# --- landing ----------------------------------------------------------------------------------------------------------


def _land(services: Services, reader: FileReader, drawn: Round, one: Import, folder: Path, number: int) -> None:
    layout = drawn.layout
    random = Random(one.seed)
    path, lines = write_file(folder, number, one.kind, layout, one.rows, random)
    expected = land_lines(lines, layout.preset)
    if one.kind == FRAME:
        frame = as_frame([line for line in lines if any(line.cells.values())], layout.headers)
        if layout.preset.shape == "order":
            frames = [to_raw_orders(frame, layout.preset)]
        else:
            frames = list(group_lines([frame], layout.preset))
        _assert_landed(services, pipeline.land_frames(services, frames, layout.preset), expected)
        return
    if one.damage is not None:
        path.write_bytes(damaged(path.read_bytes(), one.damage, random))
    result = import_file(services.database, path, layout.preset, reader=reader)
    told = f"{result.status} {result.error}"
    rows = pipeline.scalar(services, "SELECT count(*) FROM raw_orders WHERE import_id = :id", id=result.import_id)
    if result.rows != rows or (result.status == "failed") != (result.error is not None):
        raise OddityError(what="rows_of_import", details=f"{told}: {result.rows} said, {rows} there")
    if one.damage is not None:
        if SECRET in told:
            raise OddityError(what="leak", details=told)
        return
    if result.status != "completed":
        raise OddityError(what="import", details=told)
    said = sum(any(line.cells.values()) for line in lines)
    if result.lines != said:
        raise OddityError(what="lines", details=f"{result.lines} read, {said} are in the file")
    _assert_landed(services, result.import_id, expected)


def _assert_landed(services: Services, import_id: UUID, expected: list[Landed]) -> None:
    columns = ", ".join(("row_no", *RAW_COLUMNS, "extra", "defect"))
    rows = pipeline.query(
        services,
        f"SELECT {columns} FROM raw_orders WHERE import_id = :id ORDER BY raw_id",  # noqa: S608  # constants only
        id=import_id,
    )
    if len(rows) != len(expected):
        raise OddityError(what="landed_rows", details=f"{len(rows)} landed, {len(expected)} expected")
    for row, one in zip(rows, expected, strict=True):
        wanted: dict[str, Any] = {"row_no": one.row_no, **one.columns, "extra": one.extra, "defect": one.defect}
        differing = [name for name, text in wanted.items() if not _is_same(name, row[name], text)]
        if differing:
            found = {name: (row[name], wanted[name]) for name in differing}
            raise OddityError(what=f"landed_{differing[0]}", details=f"line {one.row_no}: {found}")


def _is_same(name: str, found: Any, wanted: Any) -> bool:
    if found == wanted:
        return True
    if wanted == TOO_LARGE:
        return name == "amount" and "e" in (found or "")
    # Items that were gathered are JSON: how it is written does not matter.
    return (
        name == "items"
        and None not in {found, wanted}
        and wanted.startswith("[{")
        and _parsed(found) == _parsed(wanted)
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- the tables -------------------------------------------------------------------------------------------------------


def _refused(rows: list[RawRow], stored: Stored) -> list[RawRow]:
    """The rows that the database refused: only such whose keys are longer than what is sure to fit."""
    ids = {raw_id for asset, raw_id, code in stored.tables.quarantine if asset == "orders" and code == "DB_REJECTED"}
    refused = [row for row in rows if row.raw_id in ids]
    for row in refused:
        if _longest_key(row) <= LONGEST_KEY:
            raise OddityError(what="refused", details=f"a row without long keys: {row}")
    return refused


def _add_refused(expected: Expected, refused: list[RawRow]) -> None:
    for row in refused:
        platform, shop = clean_text(row.platform), clean_text(row.shop)
        if platform and shop:
            expected.shops.add((platform, shop))
        expected.quarantine.add(("orders", row.raw_id, "DB_REJECTED"))
        expected.open_quarantine.add(("orders", row.raw_id, "DB_REJECTED"))


def _leave_out_refused_customers(customers: dict[str, Any], stored: Stored, rows: list[RawRow]) -> None:
    refused = {raw_id for asset, raw_id, _ in stored.tables.quarantine if asset == "customers"}
    if not refused:
        return
    short = [row for row in rows if row.raw_id in refused and _longest_key(row) <= LONGEST_KEY]
    if short:
        raise OddityError(what="refused_customers", details=short)
    missing = [key for key in customers if key not in stored.tables.customers and len(key.encode()) > LONGEST_KEY]
    for key in missing:
        del customers[key]
    for entries in (stored.tables.quarantine, stored.tables.open_quarantine):
        entries -= {entry for entry in entries if entry[0] == "customers"}


def _longest_key(row: RawRow) -> int:
    keys = (row.platform, row.shop, row.order_id, row.customer_name)
    return sum(len((clean_text(key) or "").encode()) for key in keys)


def _assert_accounts(services: Services, rows: list[RawRow], stored: Stored) -> None:
    sums = pipeline.query(
        services,
        "SELECT asset, sum(input_rows)::bigint AS input_rows, sum(inserted)::bigint AS inserted,"
        " sum(quarantined)::bigint AS quarantined,"
        " bool_and(input_rows = inserted + updated + unchanged + superseded + quarantined) AS is_exact"
        " FROM etl_batches GROUP BY asset",
    )
    inexact = [row["asset"] for row in sums if not row["is_exact"]]
    if inexact:
        raise OddityError(what="accounts", details=inexact)
    orders = next((row for row in sums if row["asset"] == "orders"), {"input_rows": 0, "inserted": 0, "quarantined": 0})
    bad = sum(asset == "orders" for asset, _, _ in stored.tables.quarantine)
    wanted = {
        "asset": "orders",
        "input_rows": len(rows),
        "inserted": len(stored.tables.orders),
        "quarantined": bad,
        "is_exact": True,
    }
    if rows and orders != wanted:
        raise OddityError(what="accounts_of_orders", details=(orders, wanted))
    pending = pipeline.scalar(services, "SELECT count(*) FROM etl_work")
    if pending:
        raise OddityError(what="pending", details=pending)


# --- neighbours -------------------------------------------------------------------------------------------------------

_alone: Final[dict[str, dict[str, Any]]] = {}
"""What good rows come to by themselves, by layout."""


def learn_neighbours(services: Services, reader: FileReader, layout_name: str, folder: Path) -> None:
    """Run good rows by themselves, so that they can be compared with those among odd ones."""
    drawn = Round(layout_name)
    drawn.imports.append(Import("csv", 0, good_rows(drawn.layout)))
    pipeline.start_afresh(services)
    _land(services, reader, drawn, drawn.imports[0], folder, 0)
    pipeline.run_all(services)
    _alone[layout_name] = _good(pipeline.read_tables(services))


def _assert_neighbours(drawn: Round, stored: Stored) -> None:
    there = {
        row[header]
        for one in drawn.imports
        if one.damage is None
        for row in one.rows
        for header in drawn.layout.number_headers
    }
    if not {f"{GOOD}{number}" for number in range(len(good_rows(drawn.layout)))} <= there:
        return  # a part of a round, while the smallest one is looked for
    found, alone = _good(stored), _alone[drawn.layout_name]
    for table, rows in alone.items():
        try:
            pipeline.assert_same(table, found[table], rows)
        except AssertionError as error:
            raise OddityError(what="neighbours", details=error) from None


_HISTORY: Final = {*pipeline._HISTORY, *pipeline._ORDER_HISTORY, "shop_id"}


def _good(stored: Stored) -> dict[str, Any]:
    tables = stored.tables

    def of_orders(rows: dict[Any, Any]) -> dict[Any, Any]:
        return {key: _lasting(row) for key, row in rows.items() if key[2].startswith(GOOD)}

    customers = {key: _lasting(row) for key, row in tables.customers.items() if row["nickname"].startswith(GOOD_NAME)}
    ids = {row["customer_global_id"] for row in customers.values()}
    return {
        "orders": of_orders(tables.orders),
        "order_items": of_orders(tables.order_items),
        "process_items": of_orders(tables.process_items),
        "lead_orders": of_orders(tables.lead_orders),
        "customers": customers,
        "leads": {key: _lasting(row) for key, row in tables.leads.items() if row["customer_global_id"] in ids},
    }


def _lasting(row: Any) -> Any:
    return pipeline._without(row, _HISTORY) if isinstance(row, dict) else row


def _shortened(text: str) -> str:
    return text if len(text) <= 2_000 else f"{text[:2_000]} … ({len(text)} characters)"
