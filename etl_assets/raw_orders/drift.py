"""Drift of exports: what differs in the headers and columns of an import from the last one of the same feed.

A feed is a series of imports that should look alike: files of one preset, platform and shop (as far as the mapping or
an option names these; where they are columns of the file, files of the preset), or one source. Differences are findings
of the newer import (docs/decisions.md, "Feeds"). Values do not belong here: counts come from `profile`.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.presets.headers import AmbiguousHeaderError, fit_to_headers, normal_header, show_headers
from etl_assets.raw_orders.extract import missing_headers
from etl_assets.raw_orders.findings import Finding
from etl_assets.raw_orders.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.extract import ReadCounts
    from etl_assets.raw_orders.findings import FindingCode

MOSTLY: Final = 0.8
"""Share of orders or lines from which a column counts as mostly filled, or as taken from one header."""
ENOUGH_ORDERS: Final = 5
"""Fewer orders say nothing about the shares of their columns."""
HEADERS_SHOWN: Final = 8
LONGEST_FEED: Final = 1000
"""Longer names, which no index might hold, are hashed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Headers and profile of one import."""

    headers: Sequence[str]
    profile: Profile


def compare_with_last(
    connection: sa.Connection | None, origin: str, preset: Preset, counts: ReadCounts
) -> list[Finding]:
    """Set the feed of an import that is being landed; return its unknown statuses, and what differs from the last one.

    An import without headers (corrected rows of others) is compared with nothing, as is one without a database yet.
    """
    if not counts.headers:
        return []
    unknown = counts.profile.status_findings()
    counts.feed = feed_of(origin, preset)
    found = None if connection is None else connection.execute(sa.text(_LAST), {"feed": counts.feed})
    last = None if found is None else found.one_or_none()
    if last is None:
        return unknown
    before = Layout(last.headers, Profile.of_stored(last.profile))
    return unknown + find_drift(before, Layout(counts.headers, counts.profile), preset)


def feed_of(origin: str, preset: Preset) -> str:
    """Return the name of the feed of an import: of `source:NAME` that name, of a file its preset, platform and shop."""
    if origin.startswith("source:"):
        return origin
    platform, shop = preset.columns.get("platform"), preset.columns.get("shop")
    name = json.dumps(["file", preset.name, platform and platform.constant, shop and shop.constant])
    return name if len(name) <= LONGEST_FEED else hashlib.sha256(name.encode()).hexdigest()


def find_drift(before: Layout, now: Layout, preset: Preset) -> list[Finding]:
    """Compare the layouts of two imports of a feed, the newer one with its preset."""
    lost = _missing(now.headers, preset) - _missing(before.headers, preset)
    return [
        *_list_headers("NEW_HEADERS", now.headers, before.headers),
        *_list_headers("GONE_HEADERS", before.headers, now.headers),
        *(Finding("LOST_COLUMN", column, now.profile.orders) for column in sorted(lost)),
        *_moved_columns(before.profile, now.profile, lost),
    ]


def _missing(headers: Sequence[str], preset: Preset) -> set[str]:
    """Return the mapped columns that headers can't give; where several are meant by a name, it must be exact."""
    with suppress(AmbiguousHeaderError):
        preset = fit_to_headers(preset, headers)
    return set(missing_headers(headers, preset))


def _list_headers(code: FindingCode, headers: Sequence[str], others: Sequence[str]) -> Iterator[Finding]:
    known = set(map(normal_header, others))
    found = [header for header in headers if normal_header(header) not in known]
    if found:
        further = f" and {len(found) - HEADERS_SHOWN:,} more" if len(found) > HEADERS_SHOWN else ""
        yield Finding(code, (show_headers(found[:HEADERS_SHOWN]) or "not shown") + further, len(found))


def _moved_columns(before: Profile, now: Profile, lost: set[str]) -> Iterator[Finding]:
    """Find mapped columns that were mostly filled and are empty, or that come from another of their headers."""
    if min(before.orders, now.orders) < ENOUGH_ORDERS:
        return
    for column, filled in before.filled.items():
        if column in lost:
            continue
        if not now.filled.get(column):
            if filled >= MOSTLY * before.orders:
                yield Finding("EMPTIED_COLUMN", column, now.orders)
            continue
        old, new = before.taken.get(column, {}), now.taken.get(column, {})
        main = max(old, key=lambda header: old[header], default=None)
        if main is None or new.get(main) or not any(new.values()):
            continue
        if old[main] >= MOSTLY * sum(old.values()):
            names = show_headers([main, max(new, key=lambda header: new[header])]) or "not shown"
            yield Finding("MOVED_COLUMN", f"{column} ({names.replace(', ', ' → ', 1)})", now.orders)


_LAST: Final = """
    SELECT headers, profile FROM import_tasks
    WHERE feed = :feed AND status = 'completed' AND profile IS NOT NULL
    ORDER BY batch_id DESC LIMIT 1
"""
