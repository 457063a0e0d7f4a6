"""Why a version of an order counts or not, decided and told: pure functions of what `orders.history` has read.

All texts are here and nowhere else. The rule that decides which version counts is in `orders.transform`; here it is
told of versions that were decided before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from etl_assets.texts import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Version = dict[str, Any]
"""Facts about a raw row of an order: see `explain_versions`."""

TEXTS: Final = {
    "only": "counts: it is the only version",
    "newest": "counts: no other version has so late a time of change",
    "last_of_time": "counts: of the versions with this time of change, it was imported last",
    "last_of_none": "counts: no version has a time of change, and it was imported last",
    "same": "says the same as the version that counts, which was there first",
    "older": "does not count: its time of change is before that of raw row {counting}",
    "without_time": "does not count: it has no time of change, and raw row {counting} has one",
    "earlier_import": "does not count: raw row {counting} has the same time of change and was imported later",
    "earlier_import_of_none": "does not count: neither has a time of change, and raw row {counting} was imported later",
    "not_yet": "does not count yet: read by the rules of today it would; `etl-assets run --full-refresh` applies them",
    "quarantined": "in quarantine: {reason}",
    "rejected": "could not be read, and a later row of the order is good: {reason}",
    "dismissed": "dismissed in quarantine: {reason}",
    "corrected": "could not be loaded, and was corrected by raw row {correction}",
    "lines": "is of a file of lines: the order has its items from it",
    "other_lines": "is of a file of lines: the order does not have its items from it",
    "reverted": "does not count: its import is reverted",
    "correction_reverted": "does not count: the import of the row that it corrects is reverted",
    "held": "does not count yet: its import is held",
    "pending": "has yet to be processed: `etl-assets run`",
}
"""States of a version, each with its text."""


def explain_versions(
    versions: Sequence[Mapping[str, Any]], counting: int | None, counting_lines: int | None = None
) -> list[Version]:
    """Return the versions in the order of the rule, each with its `state`, its `text` and what it `changed`.

    Args:
        versions: `raw_id`, `import_status`, `is_correction_reverted`, `is_pending`, `corrected_by` (a raw id, or None),
            `entry` (of quarantine: `reason`, `resolution`; or None), `is_of_lines` (of a file of lines), and `values`,
            which are None where the row can't be read as an order.
        counting: raw id of the version that the stored order comes from; None where there is no such order.
        counting_lines: raw id of the row of a file of lines that it has its items from, if it has.
    """
    ordered = sorted(versions, key=_place)
    best = next((one for one in ordered if one["raw_id"] == counting), None)
    rivals = [one for one in ordered if one is not best and _fate(one) is None]
    explained, before = [], None
    for one in ordered:
        state = _fate(one) or (_why(one, rivals) if one is best else _why_not(one, best))
        state = "lines" if state == "other_lines" and one["raw_id"] == counting_lines else state
        text = str(version_text({**one, "state": state}, counting))
        explained.append({**one, "state": state, "text": text, "changed": changed_values(before, one["values"])})
        before = one["values"] if _fate(one) is None else before
    return explained


def version_text(version: Mapping[str, Any], counting: int | None) -> Text:
    """Return what is told of a version in its `state`; `counting` as for `explain_versions`."""
    reason = version["entry"]["reason"] if version["entry"] else ""
    values = {"counting": counting, "reason": reason, "correction": version["corrected_by"]}
    return Text(TEXTS[version["state"]], values)


def changed_values(before: Mapping[str, Any] | None, values: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """Return old and new value of each column that differs from the version before; nothing where there is none."""
    if before is None or values is None:
        return {}
    return {name: (before[name], value) for name, value in values.items() if before[name] != value}


def _place(version: Mapping[str, Any]) -> tuple[bool, Any, int]:
    """Return the place of a version in the order of the rule; rows that can't be read stand first, by number."""
    time = version["values"] and version["values"]["source_updated_at"]
    return (time is not None, time or 0, version["raw_id"])


def _fate(version: Mapping[str, Any]) -> str | None:
    """Return the state of a row that is no version to choose from; None for one that is."""
    if version["is_correction_reverted"]:
        return "correction_reverted"
    if version["import_status"] != "completed":
        return str(version["import_status"])
    if version["is_pending"]:
        return "pending"
    if version["corrected_by"] is not None:
        return "corrected"
    entry = version["entry"]
    if entry is not None and entry["resolution"] != "replayed":
        return {None: "quarantined", "dismissed": "dismissed"}.get(entry["resolution"], "rejected")
    return "other_lines" if version["is_of_lines"] else None


def _why(best: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> str:
    others = [one for one in rivals if one["values"] != best["values"]]
    if not others:
        return "only"
    time = best["values"]["source_updated_at"]
    if any(one["values"]["source_updated_at"] == time for one in others):
        return "last_of_none" if time is None else "last_of_time"
    return "newest"


def _why_not(version: Mapping[str, Any], best: Mapping[str, Any] | None) -> str:
    if best is None or version["values"] is None:
        return "not_yet"
    if version["values"] == best["values"]:
        return "same"
    (has_time, time, raw_id), (best_has_time, best_time, best_raw_id) = _place(version), _place(best)
    if (has_time, time) == (best_has_time, best_time):
        if raw_id > best_raw_id:
            return "not_yet"
        return "earlier_import" if has_time else "earlier_import_of_none"
    if not has_time:
        return "without_time"
    return "older" if best_has_time and time < best_time else "not_yet"
