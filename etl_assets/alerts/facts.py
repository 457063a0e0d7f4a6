"""Facts that users are told of once: refused imports, changed columns, unknown statuses, inputs left, new bad rows.

Pure: which facts are new, and the alerts about them, one for each kind however many facts are new. Bad rows make a
digest, at intervals. Current facts, and those that were told, are read in `told`. Texts hold no customer's data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal

from etl_assets.alerts.alert import Alert

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from etl_assets.settings import Settings

FactKind = Literal["import_refused", "inputs_left", "columns_changed", "unknown_statuses", "bad_rows"]
FACTS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Fact:
    """Fact about one subject, as it is now."""

    kind: FactKind
    subject: str
    """Key of the fact: it is told again only after it has ceased to hold."""
    name: str
    """Name of the subject in a title, such as that of a file."""
    text: str
    import_id: str | None = None
    count: int = 1
    """Rows; more of them are news."""


FactKey = tuple[FactKind, str]


@dataclass(frozen=True, slots=True)
class News:
    """Difference between the facts that hold and those that were told."""

    new: Sequence[Fact]
    """Facts that were not told, with the count of what is new in them."""
    lowered: Mapping[FactKey, int]
    """Told facts of which fewer rows are left."""
    gone: Sequence[FactKey]
    """Told facts that hold no more."""


def compare_facts(current: Iterable[Fact], told: Mapping[FactKey, int]) -> News:
    """Compare the facts that hold with the counts that were told."""
    by_key = {(fact.kind, fact.subject): fact for fact in current}
    new = [replace(fact, count=fact.count - told.get(key, 0)) for key, fact in by_key.items()]
    lowered = {key: fact.count for key, fact in by_key.items() if fact.count < told.get(key, 0)}
    return News([fact for fact in new if fact.count > 0], lowered, [key for key in told if key not in by_key])


def due_facts(
    news: News, settings: Settings, *, digest_at: dt.datetime | None, now: dt.datetime
) -> list[tuple[FactKind, list[Fact]]]:
    """Return the new facts of which to tell now, by kind.

    Args:
        news: the new facts.
        settings: from how many bad rows on, and how often, a digest is sent.
        digest_at: time of the last digest.
        now: the time.
    """
    by_kind: dict[FactKind, list[Fact]] = {}
    for fact in news.new:
        by_kind.setdefault(fact.kind, []).append(fact)
    rows = sum(fact.count for fact in by_kind.get("bad_rows", ()))
    minutes = None if digest_at is None else (now - digest_at).total_seconds() / 60
    is_early = minutes is not None and minutes < settings.notify_bad_rows_minutes
    if settings.notify_bad_rows == 0 or rows < settings.notify_bad_rows or is_early:
        by_kind.pop("bad_rows", None)
    return list(by_kind.items())


def alert_of(kind: FactKind, facts: Sequence[Fact], settings: Settings) -> Alert:
    """Compose the alert about all new facts of a kind."""
    first, number = facts[0], len(facts)
    name = PurePath(first.name).name
    match kind:
        case "import_refused":
            title = f"{name} was refused" if number == 1 else f"{number:,} files or sources were refused"
        case "inputs_left":
            title = "An input could not be taken in" if number == 1 else f"{number:,} inputs could not be taken in"
        case "columns_changed":
            imports = name if number == 1 else f"{number:,} imports"
            title = f"The columns of {imports} are not as before"
        case "unknown_statuses":
            title = f"{number:,} order statuses are unknown: orders with them count as not cancelled"
        case "bad_rows":
            title = f"{sum(fact.count for fact in facts):,} new bad rows of {number:,} imports"
    return Alert(kind=kind, title=title[:200], text="\n".join(_lines(facts)), url=_url(kind, facts, settings))


def _lines(facts: Sequence[Fact]) -> Iterator[str]:
    ordered = sorted(facts, key=lambda fact: -fact.count)
    for fact in ordered[:FACTS_SHOWN]:
        is_of_rows = fact.kind == "bad_rows"
        yield f"{PurePath(fact.name).name}: {fact.count:,} ({fact.text})" if is_of_rows else fact.text
    if len(facts) > FACTS_SHOWN:
        yield f"… and {len(facts) - FACTS_SHOWN:,} more."


def _url(kind: FactKind, facts: Sequence[Fact], settings: Settings) -> str | None:
    """Return the address of the web page where it is dealt with, or else of the asset in Dagster's UI."""
    imports = {fact.import_id for fact in facts}
    if settings.web_url:
        if kind == "bad_rows":
            path = "/bad-rows"
        else:
            path = f"/imports/{facts[0].import_id}" if len(imports) == 1 and facts[0].import_id else "/health"
        return f"{settings.web_url.rstrip('/')}{path}"
    return f"{settings.public_url.rstrip('/')}/assets/pipeline_health" if settings.public_url else None
