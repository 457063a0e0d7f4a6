"""Types of the fields of presets: texts that are checked when a preset is read (patterns, time zones, encodings).

A stored mapping is read without the context `WRITTEN`, and keeps what it meant. The keys themselves are in `model`.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Final

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from etl_assets.values.timestamps import EXCEL_SERIAL

WRITTEN: Final = "written"
"""Context of validating what someone writes now: stored mappings are read without, and keep what they meant."""


class StrictModel(BaseModel):
    """Part of a preset: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


def _has_group(pattern: str) -> str:
    groups = pl.select(pl.lit("").str.extract_groups(_valid_regex(pattern)).alias("found")).schema["found"]
    if not groups.to_schema():  # type: ignore[attr-defined]  # a struct
        msg = f"{pattern!r} has no group: put the part that is the value in brackets, such as 'No\\. (\\d+)'"
        raise ValueError(msg)
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


def _accept_one_name(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_accept_one_name)]
"""One name, or a list of them."""
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
GroupRegex = Annotated[str, AfterValidator(_has_group)]
Encoding = Annotated[str, AfterValidator(_known_encoding)]
