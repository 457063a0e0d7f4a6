"""Findings of imports: what the user should know about an import although its rows landed.

One finding is one code and one subject (a column, a header, a status, a reason), with the number of rows concerned and
the first line of the file. Findings are stored with their import (`import_findings`), printed by `etl-assets import`,
and given to programs with ``--json``. Steps that meet such a thing later add to the findings of the import.

Rows that can't be loaded do not belong here (they are in quarantine), nor do errors of a whole import
(`import_tasks.error`). A finding is logged and shown, so it holds no value of a row: headers, statuses and counts only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

FindingCode = Literal[
    "DRAFT_PRESET",
    "MISSING_HEADERS",
    "MISSING_PART",
    "COMBINED_ITEMS",
    "DISAGREEING_ROWS",
    "CONFLICTING_ORDERS",
    "SIMILAR_HEADER",
    "LINES_ABOVE_HEADERS",
    "REPEATED_HEADER",
    "REPEATED_HEADERS",
    "SHEET_FOUND",
    "SHEETS_NOT_READ",
    "OTHER_FILE_TYPE",
    "GUESSED_ENCODING",
    "TOTAL_ROWS",
    "SKIPPED_ROWS",
    "DATE_ORDER",
    "TIMEZONE_IGNORED",
    "AMBIGUOUS_CURRENCY",
    "NEW_HEADERS",
    "GONE_HEADERS",
    "LOST_COLUMN",
    "EMPTIED_COLUMN",
    "MOVED_COLUMN",
    "UNKNOWN_STATUS",
    "MORE_UNKNOWN_STATUSES",
    "WAITING_LINES",
    "UNFILLED_ROWS",
    "SHEETS_WITHOUT_HEADERS",
    "GONE_ROWS",
]
"""Kinds of findings; `MESSAGES` has the sentence of each."""

DRIFT: Final[tuple[FindingCode, ...]] = (
    "NEW_HEADERS",
    "GONE_HEADERS",
    "LOST_COLUMN",
    "EMPTIED_COLUMN",
    "MOVED_COLUMN",
)
"""Differences from the last import of the same feed (`drift`)."""

MESSAGES: Final[dict[FindingCode, str]] = {
    "DRAFT_PRESET": "The preset {subject} is a draft: no whole export of this format was seen when it was written."
    " Compare a few orders with the platform's pages; what is wrong can be put right in a mapping of your own.",
    "MISSING_HEADERS": "The file lacks the headers that the mapping names for {subject}.",
    "MISSING_PART": "The file lacks {subject}, which the mapping adds to an amount or subtracts: it counts as 0.",
    "COMBINED_ITEMS": "{count} orders name several products and only the pieces of all together: each has one line,"
    " until an export with a row per item names them.",
    "SIMILAR_HEADER": "The file has a header much like one that it lacks: write {subject} in the mapping?",
    "LINES_ABOVE_HEADERS": "The headers are in line {subject}; {count} filled lines above them were passed over.",
    "REPEATED_HEADER": (
        "{count} columns have the header {subject!r}, which the mapping does not use: the further ones are kept as "
        "'{subject} (2)' and so on."
    ),
    "REPEATED_HEADERS": "{count} further headers occur several times.",
    "SHEET_FOUND": "Sheet {subject} of the workbook was read: the ones before it have no such headers.",
    "SHEETS_NOT_READ": (
        "Sheet {subject} was read; further sheets with the same headers were not ({count}): save each as a file."
    ),
    "OTHER_FILE_TYPE": "The file is {subject} by its content and was read as that, despite its name.",
    "GUESSED_ENCODING": (
        "The file is not UTF-8 and was read as {subject}: if names look wrong, write encodings in a mapping."
    ),
    "TOTAL_ROWS": "Rows that hold totals only were left out ({count}).",
    "SKIPPED_ROWS": "Rows that match skip_rows_matching of the mapping were left out ({count}).",
    "DATE_ORDER": "Dates such as 01/02/2026 were read {subject}: the file has one that can't be read otherwise.",
    "TIMEZONE_IGNORED": "The shop {subject!r} has another time zone than the mapping, and keeps it ({count} orders):"
    " `etl-assets shops set` changes it.",
    "AMBIGUOUS_CURRENCY": "{count} orders have the currency {subject}, which may be one of several: name its code"
    " in the mapping (currency_symbols), or set the currency of the shop with `etl-assets shops set`.",
    "DISAGREEING_ROWS": "Rows of one order have different values of {subject} ({count} orders): the first one counts"
    " among lines, the newest row among rows.",
    "CONFLICTING_ORDERS": "{count} orders share their order number with other orders of the import, by the platform's"
    " own id or by the shop: all of them go to quarantine.",
    "NEW_HEADERS": "It has headers that the last import of its feed did not have: {subject}.",
    "GONE_HEADERS": "It lacks headers that the last import of its feed had: {subject}.",
    "LOST_COLUMN": "{subject} can't be read any more: the headers that it was taken from are gone.",
    "EMPTIED_COLUMN": "{subject} is empty in all {count} orders; in the last import of its feed it was mostly filled.",
    "MOVED_COLUMN": "A column is taken from another header than in the last import of its feed: {subject}.",
    "UNKNOWN_STATUS": "{count} orders have the status {subject!r}, which the preset does not know: not cancelled.",
    "MORE_UNKNOWN_STATUSES": "{count} orders have further statuses that the preset does not know: not cancelled.",
    "WAITING_LINES": "The lines of {count} orders wait for the file that holds these orders: import it too.",
    "UNFILLED_ROWS": "Rows that fill no column of an order but the date were left out ({count}).",
    "GONE_ROWS": "{count} orders of earlier imports of this file or sheet stand in no row of it any more, and may be"
    " there twice: rows were inserted or deleted. Revert the earlier imports with `etl-assets imports revert`.",
    "SHEETS_WITHOUT_HEADERS": "{count} filled sheets of the workbook lack the headers of detect_headers, and were not"
    " read.",
}
"""Sentence of each code; `{subject}` and `{count}` are filled in."""


LONGEST_SUBJECT: Final = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of an import."""

    code: FindingCode
    subject: str = ""
    """The column, header or status that it is about; no value of a row."""
    count: int = 1
    """Rows, lines or columns concerned."""
    first_line: int | None = None
    """Line of the file at which it was first met; None where it is about the whole file."""

    def __post_init__(self) -> None:
        """Cut a long subject: it is part of a key, and a header may have any length."""
        if len(self.subject) > LONGEST_SUBJECT:
            object.__setattr__(self, "subject", self.subject[: LONGEST_SUBJECT - 1] + "…")

    @property
    def message(self) -> str:
        """Return the sentence for the user."""
        return MESSAGES[self.code].format(subject=self.subject, count=f"{self.count:,}")

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as ``--json`` prints it."""
        return {
            "code": self.code,
            "subject": self.subject,
            "count": self.count,
            "first_line": self.first_line,
            "message": self.message,
        }


def finding_of(code: str, subject: str, count: int, first_line: int | None) -> Finding:
    """Return the finding that the reader process describes."""
    return Finding(cast("FindingCode", code), subject, count, first_line)


def merge_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Unite findings of the same code and subject: their counts add up, the first line is the lowest."""
    merged: dict[tuple[FindingCode, str], Finding] = {}
    for one in findings:
        known = merged.get((one.code, one.subject))
        lines = [line for line in (known.first_line if known else None, one.first_line) if line is not None]
        count = one.count + (known.count if known else 0)
        merged[one.code, one.subject] = Finding(one.code, one.subject, count, min(lines, default=None))
    return tuple(merged.values())


def store_findings(connection: sa.Connection, import_id: UUID, findings: Iterable[Finding]) -> None:
    """Add findings to those of an import, in the transaction of the rows; counts of the same subject add up."""
    rows = [
        {"import_id": import_id, "code": one.code, "subject": one.subject, "count": one.count, "line": one.first_line}
        for one in findings
    ]
    if rows:
        connection.execute(_STORE, rows)


def read_findings(connection: sa.Connection, import_ids: Sequence[UUID]) -> dict[UUID, list[Finding]]:
    """Return the findings of imports, by import, sorted by code and subject."""
    found = connection.execute(_READ, {"import_ids": list(import_ids)})
    findings: dict[UUID, list[Finding]] = {import_id: [] for import_id in import_ids}
    for row in found:
        findings[row.import_id].append(Finding(row.code, row.subject, row.row_count, row.first_line))
    return findings


FINDINGS: Final = """(
    SELECT import_id, code, subject, row_count, first_line FROM import_findings
    UNION ALL
    SELECT r.import_id, 'WAITING_LINES', '', count(*), min(r.row_no)
    FROM line_versions v JOIN raw_orders r USING (raw_id) WHERE v.is_waiting GROUP BY r.import_id
)"""
"""SQL of all findings, to be read FROM: the stored ones, and how many orders' lines wait still (`orders.load_lines`),
which changes as orders come and so is never stored."""

_STORE: Final = sa.text(
    "INSERT INTO import_findings AS f (import_id, code, subject, row_count, first_line)"
    " VALUES (:import_id, :code, :subject, :count, :line)"
    " ON CONFLICT (import_id, code, subject) DO UPDATE SET row_count = f.row_count + excluded.row_count,"
    " first_line = least(f.first_line, excluded.first_line)"
)
_READ: Final = sa.text(
    f"SELECT import_id, code, subject, row_count, first_line FROM {FINDINGS} f"  # noqa: S608  # a constant
    " WHERE import_id = ANY(:import_ids) ORDER BY import_id, code, subject"
)
