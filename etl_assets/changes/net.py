"""The net change of a row over several batches, from the records of the change log: pure functions.

A row as it was is the row as it is, with the records since undone, the newest first. Reading the log is in `read`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Kind = Literal["updated", "deleted", "inserted"]

KINDS: Final[tuple[Kind, ...]] = ("updated", "deleted", "inserted")
NOT_SHOWN: Final = frozenset(
    (
        "created_at",
        "updated_at",
        "opened_at",
        "reopened_at",
        "batch_id",
        "created_batch_id",
        "latest_raw_id",
        "order_no",
    )
)
"""Columns that only record when and by which batch a row was written, or number it."""
OWNED_BY_USERS: Final = frozenset(("current_stage",))
"""Columns that users write as well, which no log tells: of an inserted row they are left out. (A new lead is OPEN.)"""

Row = dict[str, Any]


class Record(NamedTuple):
    """A record of the change log, about one row."""

    created_batch_id: int | None
    """The batch that had inserted the row."""
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None
    """None where the row was deleted."""


@dataclass(frozen=True, slots=True)
class RowChange:
    """Change of one row."""

    kind: Kind
    key: Mapping[str, Any]
    """The primary key of the row."""
    row: Mapping[str, Any]
    """The row after the change; a deleted one before it."""
    values: Mapping[str, tuple[Any, Any]]
    """Old and new value of each column that differs; None for null, and where there is no row."""


def kind_of(*, existed: bool, exists: bool) -> Kind | None:
    """Return the kind of a net change; None for a row that was there neither before nor after."""
    match existed, exists:
        case True, True:
            return "updated"
        case True, False:
            return "deleted"
        case False, True:
            return "inserted"
        case _:
            return None


def net_change(
    key: Mapping[str, Any],
    records: Sequence[Record],
    later: Sequence[Record],
    current: Mapping[str, Any] | None,
    batches: Collection[int],
    *,
    is_made_again: bool,
) -> RowChange | None:
    """Return what batches have changed about a row; None where it is as it was.

    Args:
        key: the row's primary key.
        records: of the batches about the row, in their order; none of a row that they only inserted.
        later: those of later batches.
        current: the row as it is now, if it is.
        batches: the batches in question.
        is_made_again: the last of the records is a deletion, and one of the batches inserted the row after it.
    """
    existed = bool(records) and records[0].created_batch_id not in batches
    exists = not records or records[-1].after is not None or is_made_again
    kind = kind_of(existed=existed, exists=exists)
    if kind is None:
        return None
    after = _undo(dict(current or {}), later)
    before = _undo(after, records)
    if not is_made_again:
        for record in records:  # what other programs have written since is no change of these batches
            after |= {name: (record.after or {}).get(name) for name in _columns(record)}
    old, new = before if existed else {}, after if exists else {}
    left_out = NOT_SHOWN | key.keys() | (OWNED_BY_USERS if kind == "inserted" else frozenset())
    names = [name for name in {**old, **new} if name not in left_out]
    values = {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}
    if kind == "updated" and not values:
        return None
    return RowChange(kind, key, {**(after if exists else before), **key}, values)


def _undo(row: Row, records: Sequence[Record]) -> Row:
    """Return the row as it was before the records."""
    for record in reversed(records):
        if record.after is None:
            row = dict(record.before)
        else:
            row = row | {name: record.before.get(name) for name in _columns(record)}
    return row


def _columns(record: Record) -> Collection[str]:
    return {**record.before, **(record.after or {})}.keys()
