"""Model of a preset: the mapping of an export format to raw orders, and the notation of its values.

A preset and a user's mapping file are the same: one YAML file, validated by `Preset`. It is stored with each import, so
that its rows are always read the same way: a change of a key must keep what stored mappings mean.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, ValidationInfo, model_validator

from etl_assets.presets.column_mapping import ColumnMapping, ColumnPattern, RowPattern
from etl_assets.presets.field_types import WRITTEN, Encoding, HeaderSets, StrictModel, TimestampFormat, TimezoneName
from etl_assets.presets.item_counts import ItemCounts  # noqa: TC001  # Pydantic reads the annotations
from etl_assets.values.currencies import CurrencyCode  # noqa: TC001  # Pydantic reads the annotations
from etl_assets.values.date_order import DateOrder, conflicting_formats
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.timestamps import has_year

RawColumn = Literal[
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency",
    "ordered_at", "updated_at", "items", "processes", "remark", "platform_order_id", "refunded_amount",
]  # fmt: skip
RAW_COLUMNS: Final[tuple[RawColumn, ...]] = RawColumn.__args__  # type: ignore[attr-defined]  # typing has no public way
"""The text columns of `raw_orders`. `platform_order_id` is the identity: the platform's own id of the order, which
tells orders of two shops apart that share an order number."""

TIME_COLUMNS: Final[frozenset[str]] = frozenset(("ordered_at", "updated_at"))
"""The columns of `raw_orders` that are read as timestamps."""

COLUMNS_OF_LINES: Final[frozenset[RawColumn]] = frozenset(
    ("platform", "shop", "order_id", "ordered_at", "updated_at", "items", "processes")
)
"""The columns that a mapping of `holds: lines` may name. `ordered_at` only sorts files that are imported together."""

AMOUNT_COLUMNS: Final[tuple[RawColumn, ...]] = ("amount", "refunded_amount")
"""The columns of `raw_orders` that are read as amounts."""

ItemColumn = Literal["name", "variant", "sku", "quantity", "unit_price", "processes", "personalisation"]
ITEM_COLUMNS: Final[tuple[ItemColumn, ...]] = ItemColumn.__args__  # type: ignore[attr-defined]  # as above
"""Columns of a line item; the keys of the objects in `raw_orders.items`."""


MEANING_OF_EVIDENCE: Final = {
    "R": "real export",
    "S": "source code of the program that writes it",
    "P": "program that reads real exports",
    "D": "documentation",
    "G": "general knowledge, not verified",
}
"""The marks of `Preset.evidence`."""


class Preset(StrictModel):
    """Export format. docs/importing.md describes the file, with examples."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = ""
    evidence: str = Field(default="", pattern=r"^[RSPDG]*$")
    """Marks of what the mapping was written from: `MEANING_OF_EVIDENCE`."""
    draft: bool = False
    """The format was not seen whole: each import says so."""
    shape: Literal["order", "line_item"] = "order"
    """Row of the export: an order, or a line item of one."""
    holds: Literal["orders", "lines"] = "orders"
    """Part of an order that a row brings: `lines` where another file has the customer, the amount and the time."""
    encodings: tuple[Encoding, ...] = Field(default=("utf-8",), min_length=1)
    """Tried in this order; a UTF-8 byte order mark is always accepted."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    skip_rows_matching: tuple[RowPattern, ...] = ()
    """Patterns of rows that are no orders, such as a footer; searched in the row's cells, joined by tabs, or in the
    column that a pattern names."""
    summary_rows: tuple[ColumnPattern, ...] = ()
    """Patterns of rows that sum up an order beside the rows of its lines: their columns of the order come first, and
    they have no item (shape `line_item` only)."""
    fill_down: tuple[str, ...] = ()
    """Headers of columns that are filled in an order's first row only, as merged cells are: an empty cell has the text
    of the row above (files only)."""
    empty_values: tuple[str, ...] = ()
    """Texts that stand for an empty cell, such as ``-``."""
    columns: dict[RawColumn, ColumnMapping]
    item: dict[ItemColumn, ColumnMapping] = Field(default_factory=dict)
    """The columns of a line item (shape `line_item` only)."""
    amount_from_items: bool = False
    """The order's amount is the sum of quantity × unit price of its lines (`line_item` only) and of a `sum`."""
    item_counts: ItemCounts | None = None
    """Counts beside titles in one cell: the titles are not split (shape `order` only)."""
    item_variant_separator: str | None = None
    """Splits ``Product - Variant`` at the last occurrence, where the export has no variant column."""
    numbers: NumberFormat = NumberFormat()
    timestamp_formats: tuple[TimestampFormat, ...] = ()
    """strftime formats, or `EXCEL_SERIAL`, tried before the ISO ones that are always understood."""
    date_order: DateOrder | None = None
    """The order of day and month in dates that `timestamp_formats` read in both; else each file decides it."""
    year: int | Literal["file_name", "sheet_name"] | None = Field(default=None, union_mode="left_to_right")
    """The year of times that have none: this one, or the one that the name of the file or the sheet has."""
    timezone: TimezoneName = "UTC"
    """The time zone that new shops of this export get; naive timestamps are read in their shop's zone."""
    currency_symbols: dict[str, CurrencyCode] = Field(default_factory=dict)
    """ISO codes of currency symbols in this export, for those that mean several currencies (``$``, ``¥``)."""
    cancelled_statuses: tuple[str, ...] = ()
    """The order statuses that mean cancelled (compared cleaned and case-insensitively)."""
    known_statuses: tuple[str, ...] = ()
    """The order statuses that the export may have (compared as cancelled ones); where given, others are reported."""
    sheets: tuple[str, ...] = ()
    """Names of the sheet that it reads, where a workbook has one of them: several presets may each take a sheet."""
    each_sheet: bool = False
    """Of a workbook, each sheet that has the headers is read, as an import of its own: `sheets` names that one then."""
    detect_headers: HeaderSets = ()
    """Sets of headers: a file that has all headers of any set is taken for this format."""

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> Preset:
        if not all(status.strip() for status in self.known_statuses):
            msg = "known_statuses holds an empty text: leave it out, orders without a status are known"
            raise ValueError(msg)
        if "order_id" not in self.columns:
            msg = "columns must say where order_id comes from"
            raise ValueError(msg)
        if self.holds == "lines":
            self._require_lines_only()
        for key, columns in (("latest_of", TIME_COLUMNS), ("sum", frozenset(AMOUNT_COLUMNS))):
            if not {column for column, mapping in self.mappings.items() if getattr(mapping, key)} <= columns:
                msg = f"{key} is for {' and '.join(sorted(columns))} only"
                raise ValueError(msg)
        if self.year is None and info.context == WRITTEN and not all(map(has_year, self.timestamp_formats)):
            msg = "timestamp_formats has a format without a year: name it in year (2026, file_name or sheet_name)"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _has_sheets_and_rows(self, info: ValidationInfo) -> Preset:
        """Check the keys of ledgers: numbered rows, and a sheet per month."""
        numbered = {column for column, mapping in self.mappings.items() if mapping.number_rows_by}
        parts = self.columns["order_id"].number_rows_by if "order_id" in self.columns else ()
        if numbered - {"order_id"}:
            msg = "number_rows_by is for order_id only"
            raise ValueError(msg)
        if self.each_sheet and self.sheets and info.context == WRITTEN:
            msg = "each_sheet reads all sheets that have the headers: leave out sheets"
            raise ValueError(msg)
        if not self.each_sheet and ("sheet" in parts or self.year == "sheet_name"):
            msg = "number_rows_by with sheet, and year: sheet_name, need each_sheet: true"
            raise ValueError(msg)
        if self.each_sheet and parts and "sheet" not in parts:
            msg = "number_rows_by needs sheet where each_sheet is true: every sheet has a row 2"
            raise ValueError(msg)
        if self.shape == "order" and self.columns and self.mappings["order_id"].continued_where_empty:
            msg = "continued_where_empty needs shape: line_item"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _has_keys_of_its_shape(self) -> Preset:
        sums = [mapping.sum for mapping in self.columns.values() if mapping.sum]
        if self.shape == "order" and any(one.plus_rows or one.minus_rows for one in sums):
            msg = "plus_rows and minus_rows need shape: line_item: write plus and minus"
            raise ValueError(msg)
        if self.shape == "order" and (self.item or self.amount_from_items):
            msg = "item and amount_from_items need shape: line_item"
            raise ValueError(msg)
        if self.item_counts and (self.shape != "order" or "items" not in self.columns):
            msg = "item_counts needs shape: order, and columns.items with the titles"
            raise ValueError(msg)
        if self.shape == "order" and self.summary_rows:
            msg = "summary_rows needs shape: line_item"
            raise ValueError(msg)
        if self.shape == "line_item" and not self.item:
            msg = "shape line_item needs item: at least name or sku"
            raise ValueError(msg)
        if self.amount_from_items and not {"quantity", "unit_price"} <= self.item.keys():
            msg = "amount_from_items needs item.quantity and item.unit_price"
            raise ValueError(msg)
        return self

    def _require_lines_only(self) -> None:
        """Raise `ValueError` where a mapping of lines says something that is not about lines."""
        others = self.columns.keys() - COLUMNS_OF_LINES
        if others or self.amount_from_items:
            named = ", ".join(sorted(others)) or "amount_from_items"
            msg = f"holds: lines brings no {named}: the file of the orders does; leave it out"
            raise ValueError(msg)
        if "platform" not in self.columns:
            msg = "holds: lines needs columns.platform: that of the orders, such as platform: {constant: etsy}"
            raise ValueError(msg)
        if self.shape == "order" and "items" not in self.columns:
            msg = "holds: lines needs columns.items, or shape: line_item with item"
            raise ValueError(msg)

    @property
    def time_formats(self) -> tuple[str, ...]:
        """Return the formats of times that are in effect: without those of the other order of day and month."""
        if self.date_order is None:
            return self.timestamp_formats
        other = conflicting_formats(self.timestamp_formats)["month" if self.date_order == "day" else "day"]
        return tuple(strptime for strptime in self.timestamp_formats if strptime not in other)

    @property
    def known_year(self) -> int | None:
        """Return the year of times that have none, where it is known."""
        return self.year if isinstance(self.year, int) else None

    @property
    def mappings(self) -> dict[str, ColumnMapping]:
        """Return the mappings of all columns, by names that messages can show: ``amount``, ``item.name``."""
        found: dict[str, ColumnMapping] = {str(name): mapping for name, mapping in self.columns.items()}
        found |= {f"item.{name}": mapping for name, mapping in self.item.items()}
        return found | {f"item_counts.{name}": mapping for name, mapping in self.item_counts or ()}

    @property
    def summed_columns(self) -> tuple[RawColumn, ...]:
        """Return the columns of amounts that are computed."""
        is_sum = {column for column, mapping in self.columns.items() if mapping.sum}
        from_items = {"amount"} if self.amount_from_items else set()
        return tuple(column for column in AMOUNT_COLUMNS if column in is_sum | from_items)

    def all_known_statuses(self) -> tuple[str, ...]:
        """Return the statuses that the export is known to have; none where the preset does not list them."""
        if not self.known_statuses:
            return ()
        mapping = self.columns.get("order_status", ColumnMapping(constant=""))
        set_here = (*(rule.value for rule in mapping.rules), *filter(None, (mapping.constant,)))
        return tuple(dict.fromkeys((*self.known_statuses, *self.cancelled_statuses, *set_here)))

    def with_overrides(
        self,
        *,
        platform: str | None = None,
        shop: str | None = None,
        timezone: str | None = None,
        currency: str | None = None,
        date_order: DateOrder | None = None,
    ) -> Preset:
        """Return the preset with values of one import: they replace those of the file; a currency fills blank ones."""
        columns = dict(self.columns)
        if platform is not None:
            columns["platform"] = ColumnMapping(constant=platform)
        if shop is not None:
            columns["shop"] = ColumnMapping(constant=shop)
        if currency is not None and self.holds == "orders":
            blank = columns.get("currency", ColumnMapping(constant=currency))
            columns["currency"] = blank.model_copy(update={"constant": currency})
        named = {"timezone": timezone, "date_order": date_order}
        changed = {"columns": columns} | {key: value for key, value in named.items() if value is not None}
        return Preset.model_validate(self.model_dump(exclude_unset=True) | changed)
