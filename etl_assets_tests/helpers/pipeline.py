"""Helpers of the pipeline's tests: land raw rows, run the assets, read the tables back by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from etl_assets.asset_graph import STEP_ASSETS, TABLES_OF
from etl_assets.errors import BatchFailedError
from etl_assets.presets.model import COLUMNS_OF_LINES, RAW_COLUMNS, Preset
from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.raw_orders.load import complete_import, copy_raw_orders, register_import
from etl_assets.raw_orders.transform import RAW_ORDER_SCHEMA
from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets.settings import Settings
from etl_assets.values.identifiers import CUSTOMER_NAMESPACE, LEAD_NAMESPACE
from etl_assets_tests.helpers import oracle
from etl_assets_tests.helpers.database_pool import empty
from etl_assets_tests.helpers.oracle import Expected, Lines, RawRow
from etl_assets_tests.helpers.reference_items import BadItems, BadProcesses, reference_items, reference_processes
from etl_assets_tests.helpers.reference_values import clean_text
from etl_assets_tests.helpers.strategies import ORDER_TYPE_MAPPINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services, StepResult
    from etl_assets.values.numbers import NumberFormat

TABLES: Final = tuple(table for asset in STEP_ASSETS for table in TABLES_OF[asset])
"""Tables that the pipeline derives from raw orders."""

PRESET: Final = Preset.model_validate(
    {
        "name": "test",
        "columns": {column: column for column in RAW_COLUMNS},
        "timezone": "Asia/Shanghai",
        "cancelled_statuses": ["cancelled"],
    }
)
_LINE_VALUES: Final = ("product", "variant", "sku", "quantity", "unit_price", "personalisation")
_PROCESS_VALUES: Final = ("process_type", "position", "picture_count", "quantity", "picture_print_quantity")
_HISTORY: Final = {
    *(
        "strategy",
        "opened_at",
        "reopened_at",
        "attached_at",
        "created_at",
        "updated_at",
        "batch_id",
        "created_batch_id",
    ),
}
_ORDER_HISTORY: Final = {*_HISTORY, "raw_id", "order_no", "latest_raw_id", "lines_raw_id"}


@dataclass
class Stored:
    """Content of the tables, in the shape of the oracle's `Expected`; `versions` are the raw rows of the orders."""

    tables: Expected = field(default_factory=Expected)
    versions: dict[oracle.OrderKey, int] = field(default_factory=dict)
    lines: dict[oracle.OrderKey, int] = field(default_factory=dict)
    """The raw rows of files of lines that orders point to."""
    line_versions: dict[oracle.OrderKey, tuple[int, bool]] = field(default_factory=dict)
    """The newest such row of each order, and whether it waits for the order."""


def raw_fields(order_id: str | None, **fields: str | None) -> dict[str, str | None]:
    """Make the text columns of a raw row of shop `s` on platform `p`; columns not given are empty."""
    return {**dict.fromkeys((*RAW_COLUMNS, "defect")), "platform": "p", "shop": "s", "order_id": order_id, **fields}


def services_of(url: sa.URL) -> Services:
    """Build services on a database."""
    return build_services(Settings(database_url=SecretStr(url.render_as_string(hide_password=False))))


def land(services: Services, rows: Sequence[Mapping[str, str | None]], preset: Preset = PRESET) -> UUID:
    """Land rows as one import, as they are."""
    return land_frames(services, [as_frame(rows)], preset)


def as_frame(rows: Sequence[Mapping[str, str | None]]) -> pl.DataFrame:
    """Make raw orders of rows."""
    columns = {name: [row.get(name) for row in rows] for name in (*RAW_COLUMNS, "extra", "defect")}
    return pl.DataFrame({"row_no": range(1, len(rows) + 1), **columns}, schema=RAW_ORDER_SCHEMA)


def land_frames(services: Services, frames: Iterable[pl.DataFrame], preset: Preset) -> UUID:
    """Land frames of raw orders as one import."""
    import_id = register_import(services.database, "test", preset)
    with services.database.transaction() as connection:
        batch_id, rows = copy_raw_orders(connection, import_id, frames, None, preset, [])
        complete_import(connection, import_id, batch_id, rows, ReadCounts(lines=rows), preset)
    return import_id


def run_all(services: Services, *, full_refresh: bool = False) -> dict[str, StepResult]:
    """Run all assets, upstream first."""
    return {asset: run_asset(asset, services, full_refresh=full_refresh) for asset in STEPS}


def run_all_whatever_fails(services: Services) -> list[str]:
    """Run all assets, upstream first; returns those with failed batches."""
    failed: list[str] = []
    for asset in STEPS:
        try:
            run_asset(asset, services)
        except BatchFailedError:
            failed.append(asset)
    return failed


def with_batch_size(services: Services, batch_size: int) -> Services:
    """Set the batch size of services."""
    services.database.settings = services.database.settings.model_copy(update={"batch_size": batch_size})
    return services


def start_afresh(services: Services) -> None:
    """Empty all tables, and insert the order types of the tests."""
    with services.database.transaction() as connection:
        driver: Any = connection.connection.driver_connection
        empty(driver)
        connection.execute(
            sa.text("INSERT INTO order_type_mappings VALUES (:raw, :system)"),
            [{"raw": raw, "system": system} for raw, system in ORDER_TYPE_MAPPINGS.items()],
        )


def query(services: Services, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run a statement; returns the rows of a SELECT."""
    with services.database.transaction() as connection:
        result = connection.execute(sa.text(statement), parameters)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def scalar(services: Services, statement: str, **parameters: Any) -> Any:
    """Read the one value of a SELECT."""
    with services.database.transaction() as connection:
        return connection.execute(sa.text(statement), parameters).scalar_one()


def read_tables(services: Services) -> Stored:
    """Read the tables, without history, by names instead of surrogate keys."""
    stored = Stored()
    tables = stored.tables
    with services.database.transaction() as connection:

        def rows(statement: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(sa.text(statement)).mappings()]

        shops = {row["shop_id"]: (row["platform"], row["shop_name"]) for row in rows("SELECT * FROM shop_configs")}
        tables.shops = set(shops.values())
        for row in rows("SELECT * FROM orders"):
            key = (*shops[row["shop_id"]], row["order_id"])
            stored.versions[key] = row["raw_id"]
            tables.orders[key] = row
        _add_line_versions(stored, shops, rows("SELECT * FROM line_versions"))
        for row in rows("SELECT * FROM order_items"):
            tables.order_items[(*shops[row["shop_id"]], row["order_id"], row["line_no"])] = _only(row, _LINE_VALUES)
        for row in rows("SELECT * FROM process_items"):
            number = (row["line_no"], row["process_no"])
            tables.process_items[(*shops[row["shop_id"]], row["order_id"], *number)] = _only(row, _PROCESS_VALUES)
        for row in rows("SELECT * FROM customers"):
            platform, shop_name = shops[row["shop_id"]]
            named = {"platform": platform, "shop_name": shop_name, "nickname": row["customer_nickname"], **row}
            tables.customers[row["customer_key"]] = named
        tables.leads = {row["lead_id"]: row for row in rows("SELECT * FROM business_leads")}
        for row in rows("SELECT * FROM lead_orders"):
            tables.lead_orders[(*shops[row["shop_id"]], row["order_id"])] = row["lead_id"]
        for row in rows("SELECT asset, raw_id, reason_code, resolved_at FROM quarantine"):
            entry = (row["asset"], row["raw_id"], row["reason_code"])
            tables.quarantine.add(entry)
            if row["resolved_at"] is None:
                tables.open_quarantine.add(entry)
    return stored


def _add_line_versions(stored: Stored, shops: Mapping[int, oracle.ShopKey], rows: Iterable[dict[str, Any]]) -> None:
    pointers = {key: row["lines_raw_id"] for key, row in stored.tables.orders.items()}
    stored.lines = {key: raw_id for key, raw_id in pointers.items() if raw_id is not None}
    for row in rows:
        stored.line_versions[*shops[row["shop_id"]], row["order_id"]] = (row["raw_id"], row["is_waiting"])


def comparable(services: Services) -> dict[str, Any]:
    """Read all columns that must not depend on batches, imports and runs, comparable with `==`."""
    tables = read_tables(services).tables
    return {
        "shops": tables.shops,
        "orders": {key: _without(row, {*_ORDER_HISTORY, "shop_id"}) for key, row in tables.orders.items()},
        "order_items": tables.order_items,
        "process_items": tables.process_items,
        "customers": {key: _without(row, {*_HISTORY, "shop_id"}) for key, row in tables.customers.items()},
        "leads": {key: _without(row, _HISTORY) for key, row in tables.leads.items()},
        "lead_orders": tables.lead_orders,
    }


def snapshot(services: Services) -> dict[str, list[tuple[Any, ...]]]:
    """Read every column of every row of the tables, and the transaction that wrote the row."""
    with services.database.transaction() as connection:
        return {
            table: sorted(
                (tuple(row) for row in connection.execute(sa.text(f"SELECT xmin::text, t::text FROM {table} t"))),  # noqa: S608
                key=repr,
            )
            for table in (*TABLES, "quarantine")
        }


def read_lines(row: RawRow, numbers: NumberFormat) -> Lines:
    """Read a row's items and processes for the oracle, by the reference readers."""
    lines: list[dict[str, Any]] | None
    try:
        items = reference_items(row.items, numbers)
        lines = [_only(item, _LINE_VALUES) for item in items]
    except BadItems:
        items, lines = [], None
    try:
        processes = reference_processes(row.processes, items)
    except BadProcesses:
        return Lines(items=lines, processes=None)
    numbered = {(one["line_no"], one["process_no"]): _only(one, _PROCESS_VALUES) for one in processes}
    return Lines(items=lines, processes=numbered)


def lines_preset(preset: Preset) -> Preset:
    """Make a format of files of lines, with other settings for shops, which these files must not give."""
    columns = {name: mapping for name, mapping in preset.columns.items() if name in COLUMNS_OF_LINES}
    of_orders = {"cancelled_statuses": (), "known_statuses": (), "timezone": "Pacific/Kiritimati"}
    changed = {"name": f"{preset.name}_lines", "holds": "lines", "columns": columns, **of_orders}
    return Preset.model_validate(preset.model_dump(exclude_unset=True) | changed)


def as_lines(rows: Iterable[Mapping[str, str | None]]) -> list[dict[str, str | None]]:
    """Leave of rows what a file of lines has."""
    return [
        {name: text if name in (*COLUMNS_OF_LINES, "defect") else None for name, text in row.items()} for row in rows
    ]


def work_out(rows: Iterable[RawRow], preset: Preset) -> Expected:
    """Compute the expected tables with the oracle."""
    rows = list(rows)
    has_lines = any(row.holds == "lines" for row in rows)
    return oracle.expected(
        rows,
        preset,
        ORDER_TYPE_MAPPINGS,
        customer_namespace=CUSTOMER_NAMESPACE,
        lead_namespace=LEAD_NAMESPACE,
        read_lines=read_lines,
        lines_preset=lines_preset(preset) if has_lines else None,  # not every mapping has one of lines
    )


def assert_as_expected(
    services: Services, rows: Sequence[RawRow], preset: Preset, *, has_reverts: bool = False
) -> None:
    """Compare all tables with the oracle's; rows of reverted imports are not among `rows`."""
    stored, expected = read_tables(services), work_out(rows, preset)
    if has_reverts:
        leave_closed_quarantine_out(stored, expected)
    assert_tables(stored, expected, rows)


def leave_closed_quarantine_out(stored: Stored, expected: Expected) -> None:
    """Drop the closed entries of quarantine that reverted imports brought about, which are kept as history."""
    assert_same("quarantine", _of_orders(expected.quarantine) - stored.tables.quarantine, set())
    stored.tables.quarantine &= expected.quarantine | stored.tables.open_quarantine


def assert_tables(stored: Stored, expected: Expected, rows: Sequence[RawRow]) -> None:
    """Compare tables that were read with those expected for these rows."""
    actual, by_id = stored.tables, {row.raw_id: row for row in rows}
    said = {key: _without(order, {"raw_id"}) for key, order in expected.orders.items()}
    # Of versions that say the same, the stored one may be any: an unchanged order is not rewritten.
    texts = {key: _line_texts(by_id[order["raw_id"]]) for key, order in expected.orders.items()}
    assert_same("shops", actual.shops, expected.shops)
    assert_same("orders", _narrowed(actual.orders, said), said)
    assert_same("raw rows", {key: _line_texts(by_id[raw_id]) for key, raw_id in stored.versions.items()}, texts)
    newest = {key: (row.raw_id, is_waiting) for key, (row, is_waiting) in expected.lines.items()}
    pointed = {key: _line_texts(row) for key, (row, is_waiting) in expected.lines.items() if not is_waiting}
    assert_same("lines from files", stored.line_versions, newest)
    assert_same("rows of lines", {key: _line_texts(by_id[raw_id]) for key, raw_id in stored.lines.items()}, pointed)
    assert_same("order_items", actual.order_items, expected.order_items)
    assert_same("process_items", actual.process_items, expected.process_items)
    assert_same("customers", _narrowed(actual.customers, expected.customers), expected.customers)
    assert_same("leads", _narrowed(actual.leads, expected.leads), expected.leads)
    assert_same("lead_orders", actual.lead_orders, expected.lead_orders)
    assert_same("quarantine", _of_orders(actual.quarantine), _of_orders(expected.quarantine))
    assert_same("open quarantine", _of_orders(actual.open_quarantine), _of_orders(expected.open_quarantine))
    bad_lines = (_unreadable(entries, by_id) for entries in (actual.open_quarantine, expected.open_quarantine))
    assert_same("open quarantine of lines", *bad_lines)


def assert_same(what: str, actual: Any, expected: Any) -> None:
    """Compare sets or dicts (of dicts); the message shows only the differences."""
    if actual == expected:
        return
    if isinstance(actual, dict):
        keys = [key for key in actual.keys() | expected.keys() if actual.get(key) != expected.get(key)]
        found = {key: (actual.get(key, "missing"), expected.get(key, "too many")) for key in keys}
    else:
        found = {"too many": actual - expected, "missing": expected - actual}
    msg = f"{what} differ (actual, expected): {found}"
    raise AssertionError(msg)


def _of_orders(entries: set[tuple[str, int, str]]) -> set[tuple[str, int, str]]:
    return {entry for entry in entries if entry[0] == "orders"}


def _unreadable(entries: set[tuple[str, int, str]], rows: Mapping[int, RawRow]) -> set[tuple[str, str, Any]]:
    """Identify rows in quarantine for their lines by their texts, since equal versions count as one."""
    return {
        (asset, code, (*map(clean_text, (row.platform, row.shop, row.order_id)), *_line_texts(row)))
        for asset, raw_id, code in entries
        if asset != "orders"
        for row in (rows[raw_id],)
    }


def _line_texts(row: RawRow) -> tuple[str | None, str | None]:
    return row.items, row.processes


def _narrowed(rows: Mapping[Any, Any], like: Mapping[Any, Any], without: Iterable[str] = ()) -> dict[Any, Any]:
    """Keep only the columns that the oracle knows (the same in all rows of a table)."""
    first: Mapping[str, Any] = next(iter(like.values()), {})
    known = first.keys() - set(without)
    return {key: _only(row, known) for key, row in rows.items()}


def _only(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    return {column: row[column] for column in columns}


def _without(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    return {column: value for column, value in row.items() if column not in set(columns)}
