"""Export of the list of leads as CSV or XLSX, streamed by a cursor of the server: the page and `leads export` share it.

Hazard: names are the customers' own words, and a spreadsheet program runs what begins like a formula: every text is
escaped (`values.formulas`).
"""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from etl_assets.reporting.leads_list import DEFAULT_SORT, read_all
from etl_assets.reporting.workbook import workbook_chunks
from etl_assets.values.formulas import escape_formula
from etl_assets.values.numbers import TOTAL
from etl_assets.values.timestamps import TIMESTAMP_UTC

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from etl_assets.database.database import Database
    from etl_assets.reporting.leads_list import LeadFilters, Sort

ExportFormat = Literal["csv", "xlsx"]

ROWS_AT_ONCE: Final = 5_000
HEADER: Final = {
    "customer": "Customer",
    "shop": "Shop",
    "platform": "Platform",
    "current_stage": "Stage",
    "order_count": "Orders",
    "sample_count": "Samples",
    "proof_count": "Proofs",
    "bulk_count": "Bulk orders",
    "total_amount": "Amount",
    "refunded_amount": "Refunded",
    "currency": "Currency",
    "other_currency_count": "Orders in another currency",
    "first_order_at": "First order",
    "last_order_at": "Last order",
    "days_since_last_order": "Days since then",
    "opened_at": "Opened",
    "reopened_at": "Reopened",
}
"""Columns of an export with their titles in English."""
_SCHEMA: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(HEADER, pl.String()),
    **dict.fromkeys(("order_count", "sample_count", "proof_count", "bulk_count", "other_currency_count"), pl.Int64()),
    "days_since_last_order": pl.Int64(),
    **dict.fromkeys(("total_amount", "refunded_amount"), TOTAL),
    **dict.fromkeys(("first_order_at", "last_order_at", "opened_at", "reopened_at"), TIMESTAMP_UTC),
}


def export_leads(
    database: Database,
    filters: LeadFilters,
    sort: Sort = DEFAULT_SORT,
    *,
    form: ExportFormat,
    timezone: ZoneInfo,
    header: Mapping[str, str] = HEADER,
) -> Generator[bytes]:
    """Return the parts of a file of all leads that filters choose; the query has begun then, so that it fails at once.

    Args:
        database: the store; one transaction lasts as long as the file is read.
        filters: of the list.
        sort: of the list.
        form: of the file; a CSV is UTF-8 with a mark, as spreadsheet programs expect it.
        timezone: of the times.
        header: titles of the columns of `HEADER`.
    """
    titles = [header[name] for name in HEADER]
    frames = _frames(database, filters, sort, timezone)
    begun = chain([next(frames)], frames)
    return workbook_chunks("leads", titles, begun) if form == "xlsx" else _csv_chunks(titles, begun)


def _csv_chunks(titles: Sequence[str], frames: Iterable[pl.DataFrame]) -> Generator[bytes]:
    yield _csv(pl.DataFrame(schema=dict.fromkeys(titles, pl.String())), bom=True, header=True)
    for frame in frames:
        yield _csv(frame, bom=False, header=False)


def _frames(database: Database, filters: LeadFilters, sort: Sort, timezone: ZoneInfo) -> Iterator[pl.DataFrame]:
    with database.transaction() as connection:
        streaming = connection.execution_options(stream_results=True, max_row_buffer=ROWS_AT_ONCE)
        with read_all(streaming, filters, sort) as found:  # closed in time if the reader goes away
            yield _shown(pl.DataFrame(schema=_SCHEMA), timezone)
            for rows in found.mappings().partitions(ROWS_AT_ONCE):
                columns = {name: [row[name] for row in rows] for name in HEADER}
                yield _shown(pl.DataFrame(columns, schema=_SCHEMA), timezone)


def _shown(frame: pl.DataFrame, timezone: ZoneInfo) -> pl.DataFrame:
    texts = [name for name, dtype in _SCHEMA.items() if dtype == pl.String]
    times = [name for name, dtype in _SCHEMA.items() if dtype == TIMESTAMP_UTC]
    return frame.with_columns(
        *(escape_formula(pl.col(name)).alias(name) for name in texts),
        *(pl.col(name).dt.convert_time_zone(timezone.key).dt.replace_time_zone(None) for name in times),
    )


def _csv(frame: pl.DataFrame, *, bom: bool, header: bool) -> bytes:
    buffer = BytesIO()
    frame.write_csv(buffer, include_bom=bom, include_header=header, datetime_format="%Y-%m-%d %H:%M")
    return buffer.getvalue()
