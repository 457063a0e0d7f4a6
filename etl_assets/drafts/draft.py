"""Draft of a mapping from a file: reads it once as a whole, in bounded memory, and writes what its columns seem to be.

In the order of the work: `words` (headers), `profile` (values), `choice` (columns, shape), `notation` (times, numbers),
`text` (YAML). The import with the mapping does not belong here.
"""

from __future__ import annotations

import codecs
import re
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from etl_assets.drafts.choice import candidates, choose, find_explanation, kinds_of_columns
from etl_assets.drafts.ledger import LedgerFacts, ledger_candidates, ledger_choice, measure_empty, order_rows
from etl_assets.drafts.notation import currency_of, decide_numbers, decide_times
from etl_assets.drafts.profile import ColumnProfile, FileProfile, measure_column, measure_repeats
from etl_assets.drafts.text import Draft, FileFacts, write_draft
from etl_assets.drafts.words import says_cancelled, usual_headers
from etl_assets.presets.catalog import is_of_package
from etl_assets.presets.detect import detect_preset
from etl_assets.presets.headers import show_headers
from etl_assets.raw_orders.date_order import years_in
from etl_assets.raw_orders.readers.content_type import find_format
from etl_assets.raw_orders.readers.csv_dialect import DELIMITERS
from etl_assets.raw_orders.readers.encoding_evidence import SAMPLE_BYTES, WESTERN, guess_encoding
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets.raw_orders.readers.open_file import FORMATS
from etl_assets.raw_orders.readers.regular_file import open_regular_file
from etl_assets.raw_orders.readers.unpack import GZIP, ZIP, split_member

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from etl_assets.drafts.choice import Choice
    from etl_assets.raw_orders.readers.file_reader import FileContent, ImportFile
    from etl_assets.values.date_order import DateOrder

_IN_BRACKETS: Final = re.compile(r"[(（]\s*([^()（）]{1,5}?)\s*[)）]\s*$")


@dataclass(frozen=True)
class DraftOptions:
    """Facts that the user names for a draft."""

    platform: str | None = None
    shop: str | None = None
    currency: str | None = None
    timezone: str | None = None
    date_order: DateOrder | None = None
    number_rows: bool = False
    """The file is a ledger without order numbers: its rows are numbered."""


def draft_mapping(file: ImportFile, options: DraftOptions) -> Draft:
    """Draft the mapping of a file. Raises `ImportFileError` where the file can't be read."""
    encodings, delimiter = _text_notation(file.path)
    ledger = LedgerFacts() if options.number_rows else None
    encoding, headers, profile = _read(file, encodings, delimiter, ledger)
    if ledger is None:
        choice = choose(candidates(headers), profile)
    else:
        choice = ledger_choice(choose(ledger_candidates(headers), profile), ledger)
    facts = _facts(file.path, headers, profile, choice, (encoding, delimiter), options)
    draft = write_draft(replace(facts, ledger=ledger))
    fitting = detect_preset(headers, file.presets())
    if fitting is not None:
        draft.notes.insert(0, f"the preset {fitting.name} fits this file, which needs no mapping therefore")
    return draft


def _facts(
    path: Path,
    headers: tuple[str, ...],
    profile: FileProfile,
    choice: Choice,
    notation: tuple[str, str],
    options: DraftOptions,
) -> FileFacts:
    columns = profile.columns
    times = [columns[header] for target in ("ordered_at", "updated_at") for header in choice.columns.get(target, ())]
    money = [columns[header] for target in _MONEY for header in choice.columns.get(target, ())]
    numbers, reason = decide_numbers(money)
    currency, currency_reason = _currency(choice, money, options)
    statuses = sorted(value for header in choice.columns.get("order_status", ()) for value in columns[header].values)
    number = choice.columns.get("order_id")
    return FileFacts(
        name=_name(options.platform or path.stem),
        rows=profile.rows,
        headers=headers,
        shown=show_headers(headers) is not None,
        choice=choice,
        times=decide_times(times, options.date_order),
        year_of_name=len(years_in(path.stem)) == 1,
        numbers=numbers,
        numbers_reason=reason,
        encodings=(notation[0],),
        delimiter=notation[1],
        statuses=tuple(statuses),
        cancelled=tuple(status for status in statuses if says_cancelled(status)),
        platform=options.platform,
        shop=options.shop,
        currency=currency,
        currency_reason=currency_reason,
        timezone=options.timezone,
        explanation=profile.explanation,
        repeated=profile.repeated,
        without_number=profile.rows - columns[number[0]].filled if number else 0,
    )


_MONEY: Final = ("amount", "item.unit_price")


def _read(
    file: ImportFile, encodings: Sequence[str], delimiter: str, ledger: LedgerFacts | None
) -> tuple[str, tuple[str, ...], FileProfile]:
    """Read the whole file in the first encoding that its bytes are valid in; return that, the headers, the profile."""
    failures: list[ImportFileError] = []
    told_by = tuple((header,) for header in usual_headers("order_id" if ledger is None else "ordered_at"))
    for encoding in encodings:
        try:
            expected = ExpectedFormat((encoding,), delimiter, told_by)
            content = file.content(expected)
            if ledger is None:
                return encoding, content.headers, _profile(content)
            return encoding, content.headers, _profile_of_ledger(file, content, expected, ledger)
        except ImportFileError as error:
            failures.append(error)
    raise failures[0]


def _profile(content: FileContent) -> FileProfile:
    """Measure the columns that may be wanted, frame by frame."""
    found = candidates(content.headers)
    kinds = kinds_of_columns(found)
    profile = FileProfile({header: ColumnProfile() for header in kinds})
    order_id = ""
    for rows in content.frames:
        frame = rows
        if not profile.rows and rows.height:
            profile.explanation = find_explanation(rows.row(0, named=True), found)
            frame = rows if profile.explanation is None else rows.slice(1)
        profile.rows += frame.height
        for header, wanted in kinds.items():
            measure_column(profile.columns[header], frame[header], wanted)
        order_id = order_id or next(iter(choose(found, profile).columns.get("order_id", ())), "")
        if order_id:
            measure_repeats(profile, frame, order_id, [header for _, header in found["amount"]])
    return profile


def _profile_of_ledger(
    file: ImportFile, content: FileContent, expected: ExpectedFormat, ledger: LedgerFacts
) -> FileProfile:
    """Measure the rows of all sheets that have the headers of the first one."""
    found = ledger_candidates(content.headers)
    kinds = kinds_of_columns(found)
    profile = FileProfile({header: ColumnProfile() for header in kinds})
    ledger.sheets = tuple(name for name, headers in content.sheets if name and set(content.headers) <= set(headers))
    ledger.other_sheets = len(content.sheets) - len(ledger.sheets)
    parts = (file.content(replace(expected, sheets=(name,))) for name in ledger.sheets)
    for part in parts if ledger.sheets else (content,):
        for frame in order_rows(file.path, part, found):
            profile.rows += frame.height
            measure_empty(ledger, frame, found)
            for header, wanted in kinds.items():
                measure_column(profile.columns[header], frame[header], wanted)
    return profile


def _text_notation(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the encodings that the beginning of a file allows, the likeliest first, and the delimiter of text."""
    if path.suffix.lower() in {ZIP, GZIP} or split_member(path)[1] is not None:
        return ("utf-8", "gb18030", "cp1252"), ","  # each is tried on the whole file
    with open_regular_file(path) as handle:
        is_text = find_format(path, handle, FORMATS.get(path.suffix.lower(), ""))[0] == "csv"
        head = handle.read(SAMPLE_BYTES)
    if not is_text:
        return ("utf-8",), ","
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-8",), _delimiter(head.decode("utf-16", "replace"))  # the mark decides by itself
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        likely = guess_encoding(head)
        return tuple(dict.fromkeys((*filter(None, (likely,)), "gb18030", WESTERN))), _delimiter(head.decode("latin-1"))
    return ("utf-8",), _delimiter(head.decode("latin-1"))


def _delimiter(text: str) -> str:
    """Return the delimiter that a line of the text typically has most of."""
    lines = [line for line in text.splitlines() if line.strip()]
    return max(DELIMITERS, key=lambda one: statistics.median([line.count(one) for line in lines] or [0]))


def _currency(choice: Choice, money: Sequence[ColumnProfile], options: DraftOptions) -> tuple[str | None, str]:
    """Return the currency of a file that has no column for it, and where that stands; None where nothing tells it."""
    if options.currency is not None:
        return options.currency, ""
    amount = choice.columns.get("amount", ()) + choice.columns.get("item.unit_price", ())
    bracketed = {found[1] for header in amount if (found := _IN_BRACKETS.search(header))}
    for texts, where in (
        (bracketed, "from the header of the amounts"),
        ({s for m in money for s in m.signs}, "from the sign of the amounts"),
    ):
        codes = {currency_of(text) for text in texts} - {None}
        if len(codes) == 1:
            return codes.pop(), where
    return None, ""


def _name(text: str) -> str:
    """Return the name of a preset from a platform or file, without the numbers, which differ from file to file."""
    words = re.sub(r"[^a-z]+", "_", text.lower()).strip("_") or "my_export"
    return f"my_{words}" if is_of_package(words) else words
