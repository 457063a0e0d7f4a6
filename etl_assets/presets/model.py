"""Model of a preset: the mapping of an export format to raw orders, and the notation of its values.

A preset and a user's mapping file are the same: one YAML file, validated by `Preset`. It is stored with each import, so
that its rows are always read the same way: a change of a key must keep what stored mappings mean.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Final, Literal

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from etl_assets.values.currencies import CurrencyCode  # noqa: TC001  # Pydantic reads the annotations
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.timestamps import EXCEL_SERIAL

WRITTEN: Final = "written"
"""Context of validating what someone writes now: stored mappings are read without, and keep what they meant."""

RawColumn = Literal[
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency",
    "ordered_at", "updated_at", "items", "processes", "remark", "platform_order_id",
]  # fmt: skip
RAW_COLUMNS: Final[tuple[RawColumn, ...]] = RawColumn.__args__  # type: ignore[attr-defined]  # typing has no public way
"""The text columns of `raw_orders`. `platform_order_id` is the identity: the platform's own id of the order, which
tells orders of two shops apart that share an order number."""

TIME_COLUMNS: Final[frozenset[str]] = frozenset(("ordered_at", "updated_at"))
"""The columns of `raw_orders` that are read as timestamps."""

ItemColumn = Literal["name", "variant", "sku", "quantity", "unit_price", "processes"]
ITEM_COLUMNS: Final[tuple[ItemColumn, ...]] = ItemColumn.__args__  # type: ignore[attr-defined]  # as above
"""Columns of a line item; the keys of the objects in `raw_orders.items`."""


def is_timezone(name: str) -> bool:
    """Test that Polars can read times in a zone of this name."""
    try:
        pl.select(pl.datetime(2000, 1, 1, time_zone=name))  # Polars reads the times, with zones of its own
    except pl.exceptions.ComputeError:
        return False
    return name != ""


def _known_timezone(name: str) -> str:
    if not is_timezone(name):
        msg = f"unknown time zone {name!r}: use a name such as Asia/Shanghai or Europe/London"
        raise ValueError(msg)
    return name


def _valid_regex(pattern: str) -> str:
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.ComputeError:
        msg = f"{pattern!r} is not a regular expression (look-around and back-references are not supported)"
        raise ValueError(msg) from None
    return pattern


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        msg = f"unknown encoding {name!r}: use a name such as utf-8 or gb18030"
        raise ValueError(msg) from None
    return name


def _accept_one_set(value: object) -> object:
    """Make one set of a plain list of headers, as stored mappings have it."""
    is_plain = isinstance(value, list | tuple) and value and all(isinstance(header, str) for header in value)
    return (value,) if is_plain else value


HeaderSet = Annotated[tuple[str, ...], Field(min_length=1)]
HeaderSets = Annotated[tuple[HeaderSet, ...], BeforeValidator(_accept_one_set)]


def _timestamp_format(text: str, info: ValidationInfo) -> str:
    if info.context == WRITTEN and "%" not in text and text != EXCEL_SERIAL:
        msg = f"{text!r} has no % codes: write {_with_percent(text)!r} (or {EXCEL_SERIAL} for numbers of days, 45292.5)"
        raise ValueError(msg)
    return text


def _with_percent(text: str) -> str:
    """Return a format such as DD.MM.YYYY HH:mm in strftime codes."""
    after_hour = False
    codes = []
    for part in _FORMAT_PARTS.split(text):
        code = {"y": "%Y" if len(part) > 2 else "%y", "d": "%d", "h": "%H", "s": "%S"}.get(part[:1].lower())  # noqa: PLR2004  # yy or yyyy
        if part[:1].lower() == "m":
            code = "%M" if after_hour else "%m"
        after_hour = after_hour or code == "%H"
        codes.append(code or part)
    found = "".join(codes)
    return found if "%d" in found and "%m" in found else "%d.%m.%Y %H:%M"


_FORMAT_PARTS: Final = re.compile(r"([Yy]+|[Mm]+|[Dd]+|[Hh]+|[Ss]+)")
TimestampFormat = Annotated[str, AfterValidator(_timestamp_format)]
TimezoneName = Annotated[str, AfterValidator(_known_timezone)]
Regex = Annotated[str, AfterValidator(_valid_regex)]
Encoding = Annotated[str, AfterValidator(_known_encoding)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ValueRule(_Strict):
    """Rule of a column: `value`, where the text of column `when` matches the pattern."""

    when: str
    matches: Regex
    value: str


class ColumnMapping(_Strict):
    """Mapping of one column: the first matching rule, else the first non-empty of the columns, else the constant.

    Or, for a time, the latest of several columns.
    """

    columns: tuple[str, ...] = ()
    rules: tuple[ValueRule, ...] = ()
    constant: str | None = None
    latest_of: tuple[str, ...] = ()
    """Headers of times, of which the latest is taken; their texts stay in `extra` besides."""

    @model_validator(mode="before")
    @classmethod
    def _accept_short_forms(cls, value: object) -> object:
        if isinstance(value, str):
            return {"columns": (value,)}
        if isinstance(value, list):
            return {"columns": tuple(value)}
        return value

    @model_validator(mode="after")
    def _is_not_empty(self) -> ColumnMapping:
        has_others = bool(self.columns or self.rules or self.constant is not None)
        if not (has_others or self.latest_of):
            msg = "name a column, a list of columns, rules, a constant or latest_of"
            raise ValueError(msg)
        if has_others and self.latest_of:
            msg = "latest_of stands alone: leave out columns, rules and constant"
            raise ValueError(msg)
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        """Return all headers of the file that the value is taken from."""
        return (*self.columns, *self.latest_of, *(rule.when for rule in self.rules))


class Preset(_Strict):
    """Export format. docs/importing.md describes the file, with examples."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = ""
    shape: Literal["order", "line_item"] = "order"
    """Row of the export: an order, or a line item of one."""
    encodings: tuple[Encoding, ...] = Field(default=("utf-8",), min_length=1)
    """Tried in this order; a UTF-8 byte order mark is always accepted."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    skip_rows_matching: tuple[Regex, ...] = ()
    """Patterns of rows that are no orders, such as a footer; searched in the row's cells, joined by tabs."""
    columns: dict[RawColumn, ColumnMapping]
    item: dict[ItemColumn, ColumnMapping] = Field(default_factory=dict)
    """The columns of a line item (shape `line_item` only)."""
    amount_from_items: bool = False
    """The order's amount is the sum of quantity × unit price of its lines (shape `line_item` only)."""
    item_variant_separator: str | None = None
    """Splits ``Product - Variant`` at the last occurrence, where the export has no variant column."""
    numbers: NumberFormat = NumberFormat()
    timestamp_formats: tuple[TimestampFormat, ...] = ()
    """strftime formats, or `EXCEL_SERIAL`, tried before the ISO ones that are always understood."""
    timezone: TimezoneName = "UTC"
    """The time zone that new shops of this export get; naive timestamps are read in their shop's zone."""
    currency_symbols: dict[str, CurrencyCode] = Field(default_factory=dict)
    """ISO codes of currency symbols in this export, for those that mean several currencies (``$``, ``¥``)."""
    cancelled_statuses: tuple[str, ...] = ()
    """The order statuses that mean cancelled (compared cleaned and case-insensitively)."""
    known_statuses: tuple[str, ...] = ()
    """The order statuses that the export may have (compared as cancelled ones); where given, others are reported."""
    detect_headers: HeaderSets = ()
    """Sets of headers: a file that has all headers of any set is taken for this format."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Preset:
        if not all(status.strip() for status in self.known_statuses):
            msg = "known_statuses holds an empty text: leave it out, orders without a status are known"
            raise ValueError(msg)
        if "order_id" not in self.columns:
            msg = "columns must say where order_id comes from"
            raise ValueError(msg)
        of_times = {column for column, mapping in (*self.columns.items(), *self.item.items()) if mapping.latest_of}
        if not of_times <= TIME_COLUMNS:
            msg = f"latest_of is for {' and '.join(sorted(TIME_COLUMNS))} only"
            raise ValueError(msg)
        if self.shape == "order" and (self.item or self.amount_from_items):
            msg = "item and amount_from_items need shape: line_item"
            raise ValueError(msg)
        if self.shape == "line_item" and not self.item:
            msg = "shape line_item needs item: at least name or sku"
            raise ValueError(msg)
        if self.amount_from_items and not {"quantity", "unit_price"} <= self.item.keys():
            msg = "amount_from_items needs item.quantity and item.unit_price"
            raise ValueError(msg)
        return self

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
    ) -> Preset:
        """Return the preset with values of one import: they replace those of the file; a currency fills blank ones."""
        columns = dict(self.columns)
        if platform is not None:
            columns["platform"] = ColumnMapping(constant=platform)
        if shop is not None:
            columns["shop"] = ColumnMapping(constant=shop)
        if currency is not None:
            blank = columns.get("currency", ColumnMapping(constant=currency))
            columns["currency"] = blank.model_copy(update={"constant": currency})
        changed = {"columns": columns} | ({"timezone": timezone} if timezone else {})
        return Preset.model_validate(self.model_dump(exclude_unset=True) | changed)
