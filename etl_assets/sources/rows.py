"""Conversion of the rows of a source to raw orders, each with its key and a hash of its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

import polars as pl
import polars_hash as plh

from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.raw_orders.findings import Finding, finding_of, merge_findings
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.columns import BAD_TEXT, LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.row_errors import with_row_errors
from etl_assets.raw_orders.shared_numbers import IDENTITY
from etl_assets.raw_orders.transform import order_value, to_raw_orders
from etl_assets.sources.errors import SourceError
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from etl_assets.raw_orders.profile import Profile
    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.shared_numbers import Disagreement
    from etl_assets.sources.backend import Backend
    from etl_assets.sources.model import SourceConfig
    from etl_assets.sources.session import RowFile

ROW_KEY: Final = "row_key"
"""String (a UUID): the key of the order in the source."""
ROW_HASH: Final = "row_hash"
"""String (a UUID): hash of all texts of the raw order."""
PENDING: Final = "pending"
"""Boolean: the next ordinary pull would have brought it."""
ADDED: Final = (ROW_KEY, ROW_HASH, PENDING)

FRAME_ROWS: Final = 50_000
NAMESPACE: Final = UUID("0b6f3c0e-6d5c-5b0e-9a52-3d1b7e2f4a61")
_LATER: Final = (IDENTITY, "refunded_amount")
"""Columns that presets got later: they are hashed where a row has them, so that hashes stored before stay valid."""
_CONTENT: Final = (*(name for name in RAW_COLUMNS if name not in _LATER), "extra", "defect")
"""Columns that are always hashed."""
_IDENTITY: Final = ("platform", "shop", "order_id")
_SEPARATOR: Final = "\x1f"
_NULL: Final = "\x1e"


def raw_order_frames(
    source: SourceConfig, file: RowFile, backend: Backend, counts: ReadCounts | None = None
) -> Iterator[pl.DataFrame]:
    """Yield frames of `RAW_ORDER_SCHEMA` and `ADDED`; `counts` gets a profile, and what rows of one order disagree on.

    Raises:
        SourceError: two rows have the same key, where each row is an order.
    """
    counts = ReadCounts() if counts is None else counts
    found: list[Disagreement] = []
    combined: list[ReaderFinding] = []
    if source.mapping.shape == "line_item":
        frames = _grouped_rows(source, file, backend, counts.profile, found)
    else:
        frames = _single_rows(source, file, backend, counts.profile, combined)
    for frame in frames:
        if frame[ROW_KEY].is_duplicated().any():
            msg = f"Source {source.name}: several rows have the same {', '.join(source.key)}. Its key must be unique."
            raise SourceError(msg)
        yield frame
    counts.findings += (Finding("DISAGREEING_ROWS", *one) for one in found)
    counts.findings += merge_findings(finding_of(*one) for one in combined)


def line_frames(file: RowFile, backend: Backend) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Yield frames of lines as file readers make them (`LINE_NUMBER` counts the rows read), with their `PENDING`."""
    first = 1
    for cells in _frames(file):
        pending = (cells[cells.columns[-1]] == "1").rename(PENDING)
        cells = cells.select(cells.columns[:-1]).rename(dict(zip(cells.columns, file.headers, strict=False)))  # noqa: PLW2901
        texts = cells.select(backend.decode(pl.col(name)).alias(name) for name in file.headers)
        replacements = cells.select(backend.replacement(pl.col(name)).alias(name) for name in file.headers)
        lines = with_row_errors(
            pl.DataFrame([texts[name].fill_null(replacements[name]) for name in file.headers]), file.headers
        )
        unreadable = [
            texts[name].is_null() & replacements[name].is_not_null()
            for name in file.headers
            if texts[name].null_count() > replacements[name].null_count()
        ]
        if unreadable:
            bad = pl.DataFrame([column.alias(str(at)) for at, column in enumerate(unreadable)])
            is_bad = bad.select(pl.any_horizontal(pl.all())).to_series()
            lines = lines.with_columns(
                pl.when(is_bad).then(pl.lit(BAD_TEXT)).otherwise(pl.col(ROW_ERROR)).alias(ROW_ERROR)
            )
        yield lines.with_columns(pl.int_range(first, first + lines.height, dtype=pl.Int64).alias(LINE_NUMBER)), pending
        first += lines.height


def _frames(file: RowFile) -> Iterator[pl.DataFrame]:
    """Join the reader's chunks to frames of about `FRAME_ROWS`."""
    if not file.rows:
        return
    import pyarrow as pa  # noqa: PLC0415  # with numpy 0.2 s of the start of each process

    with pa.OSFile(str(file.path)) as opened, pa.ipc.open_stream(opened) as reader:
        chunks: list[pa.RecordBatch] = []
        for chunk in reader:
            chunks.append(chunk)
            if sum(one.num_rows for one in chunks) >= FRAME_ROWS:
                yield _joined_frame(chunks)
                chunks = []
        if chunks:
            yield _joined_frame(chunks)


def _joined_frame(chunks: list[pa.RecordBatch]) -> pl.DataFrame:
    import pyarrow as pa  # noqa: PLC0415  # as above

    frame = cast("pl.DataFrame", pl.from_arrow(pa.Table.from_batches(chunks)))
    return frame.with_columns(pl.all().cast(pl.String))


def _single_rows(
    source: SourceConfig, file: RowFile, backend: Backend, profile: Profile, found: list[ReaderFinding]
) -> Iterator[pl.DataFrame]:
    for lines, pending in line_frames(file, backend):
        profile.count_lines(lines, source.mapping)
        keyed = lines.select(_joined(source.key), pl.all_horizontal(pl.col(*source.key).is_not_null()).alias("whole"))
        raw = to_raw_orders(lines, source.mapping, found)
        yield _with_identity(raw, keyed["key"], keyed["whole"]).with_columns(pending)


def _grouped_rows(
    source: SourceConfig, file: RowFile, backend: Backend, profile: Profile, found: list[Disagreement]
) -> Iterator[pl.DataFrame]:
    """Yield raw orders of several rows each; an order is pending if a row with its number is."""
    preset, number = source.mapping, clean_text(pl.col("order_id"))
    pending_numbers = [pl.Series("order_id", [], pl.String)]

    def all_lines() -> Iterator[pl.DataFrame]:
        for lines, pending in line_frames(file, backend):
            profile.count_lines(lines, preset)
            numbers = lines.filter(pending).select(order_value(preset, "order_id", file.headers)).select(number)
            pending_numbers.append(numbers.to_series().unique())
            yield lines

    for raw in group_lines(all_lines(), preset, found=found):
        key = raw.select(_identity()).to_series()
        is_pending = raw.select(number.is_in(pl.concat(pending_numbers).unique().implode()).fill_null(value=True))
        named = raw["order_id"].is_not_null() & ~key.is_duplicated()
        yield _with_identity(raw, key, named).with_columns(is_pending.to_series().alias(PENDING))


def _with_identity(raw: pl.DataFrame, key: pl.Series, is_whole: pl.Series) -> pl.DataFrame:
    """Add `ROW_KEY` and `ROW_HASH`; rows without a key are identified by their content, and deduplicated."""
    refund = (_SEPARATOR * 2 + pl.col("refunded_amount")).fill_null("")
    content = raw.select(_joined(_CONTENT) + (_SEPARATOR + pl.col(IDENTITY)).fill_null("") + refund).to_series()
    hashed = pl.DataFrame({"content": content, "key": key, "whole": is_whole}).select(
        _uuid(pl.when("whole").then("key").otherwise(_NULL + pl.col("content"))).alias(ROW_KEY),
        _uuid(pl.col("content")).alias(ROW_HASH),
        "whole",
    )
    identified = raw.hstack(hashed)
    if not is_whole.all():
        identified = identified.filter(pl.col("whole") | pl.col(ROW_KEY).is_first_distinct())
    return identified.drop("whole")


def _identity() -> pl.Expr:
    return pl.concat_str([clean_text(pl.col(name)).fill_null("") for name in _IDENTITY], separator=_SEPARATOR).alias(
        "key"
    )


def _joined(columns: tuple[str, ...]) -> pl.Expr:
    return pl.concat_str([pl.col(name).fill_null(_NULL) for name in columns], separator=_SEPARATOR).alias("key")


def _uuid(text: pl.Expr) -> pl.Expr:
    hashed: pl.Expr = plh.concat_str(text).uuidhash.uuid5(str(NAMESPACE))
    return hashed
