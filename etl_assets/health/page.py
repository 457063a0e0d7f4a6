"""Health as Markdown, for the metadata of `pipeline_health`: the needs first, then the state of each part.

What needs somebody is decided in `needs`; here it is only written.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from etl_assets.health.durations import duration
from etl_assets.health.needs import headline
from etl_assets.health.rhythm import shop_rhythms
from etl_assets.reporting.pages import cell, table

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence

    from etl_assets.health.needs import HealthState, Need
    from etl_assets.health.records import Records
    from etl_assets.health.tables import TableState
    from etl_assets.reporting.held import HeldImport

NONE: Final = "None."
SHOWN: Final = 5
NEEDS_SHOWN: Final = 50
LONGEST_DETAIL: Final = 300


def health_page(state: HealthState, needs: Sequence[Need], links: Links) -> str:
    """Return the whole page."""
    sections = {"": _needs_table(needs, links)} if needs else {}
    if state.tables is not None:
        sections |= table_sections(state.tables, state.now)
    if state.records is not None:
        sections |= _record_sections(state.records)
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections.items()]
    return "\n\n".join([f"**{headline(needs)}** As of {state.now:%Y-%m-%d %H:%M} UTC.", *parts])


class Links:
    """Addresses of the pages that needs link to; None where a setting names no address."""

    def __init__(self, *, web_url: str | None, public_url: str | None) -> None:
        self._web_url, self._public_url = web_url, public_url

    def of(self, need: Need) -> str | None:
        """Return the address of the web page about a need, or else that of Dagster's UI."""
        return self.web(need.web_path) or self.dagster(need.dagster_path)

    def web(self, path: str | None) -> str | None:
        """Return the address of a page of `etl-assets web`."""
        return f"{self._web_url.rstrip('/')}{path}" if self._web_url and path else None

    def dagster(self, path: str | None) -> str | None:
        """Return the address of a page of Dagster's UI."""
        return f"{self._public_url.rstrip('/')}/{path}" if self._public_url and path else None


def summary(state: HealthState, needs: Sequence[Need]) -> str:
    """Summarise the state in a line."""
    parts = [headline(needs).rstrip(".")]
    if state.tables is not None:
        parts += _summary_of_tables(state.tables)
    if state.records is not None:
        parts.append(f"{len(state.records.failed_checks):,} failed checks")
    return " · ".join(parts)


def _summary_of_tables(tables: TableState) -> Iterator[str]:
    pending, age = tables.pending_rows, duration(tables.longest_waiting)
    yield f"{pending:,} rows pending for {age}" if pending else "nothing pending"
    yield f"{tables.quarantined_rows:,} rows in quarantine"
    yield f"{tables.failed_imports.total:,} failed imports"
    if tables.held_imports:
        yield f"{len(tables.held_imports):,} held imports"


def table_sections(tables: TableState, now: dt.datetime) -> dict[str, str]:
    """Return the state of the tables as sections of the page: title → Markdown."""
    assets = [
        [one.asset, _timestamp(one.last_batch_at), duration(one.age), one.pending_rows, duration(one.waiting)]
        for one in tables.assets
    ]
    quarantine = [
        [one["asset"], one["reason_code"], one["rows"], _timestamp(one["since"])] for one in tables.quarantine
    ]
    imports = [
        [_timestamp(one["created_at"]), PurePath(one["source"]).name, (one["error"] or "")[:LONGEST_DETAIL]]
        for one in tables.failed_imports.shown[:SHOWN]
    ]
    unreadable = [
        [PurePath(one.source).name, one.rows, one.unreadable, one.hint] for one in tables.quarantined_imports[:SHOWN]
    ]
    correct = "Correct them with the jobs `export_quarantine` and `replay_quarantine`, or with `etl-assets quarantine`."
    dismiss = "Import the corrected file, or dismiss the import: `etl-assets imports dismiss`."
    return {
        "Freshness and backlog": table(
            ["asset", "last batch (UTC)", "age", "pending rows, at most", "oldest pending for"], assets
        ),
        "Open quarantine": f"{table(['asset', 'code', 'rows', 'since'], quarantine)}\n\n{correct}"
        if quarantine
        else NONE,
        "Held imports": _held_imports(tables.held_imports),
        "Refused imports": (
            f"{tables.failed_imports.total} in all, the last ones:\n\n"
            f"{table(['at (UTC)', 'file', 'error'], imports)}\n\n{dismiss}"
            if imports
            else NONE
        ),
        "Imports of the last 7 days with orders that could not be read": (
            table(["file", "orders", "could not be read", "why"], unreadable) if unreadable else NONE
        ),
        "Shops": _shops(tables, now),
    }


def _record_sections(records: Records) -> Mapping[str, str]:
    checks = [
        [one.asset, one.check, one.severity, one.count, _timestamp(one.at), one.run_id[:8]]
        for one in records.failed_checks
    ]
    runs = [[_timestamp(one.at), one.job, one.run_id[:8], one.reason] for one in records.failed_runs]
    return {
        "Failed checks": (
            table(["asset", "check", "severity", "violations", "at (UTC)", "in run"], checks) if checks else NONE
        ),
        "Jobs whose last run failed": table(["at (UTC)", "job", "run", "why"], runs) if runs else NONE,
    }


def _needs_table(needs: Sequence[Need], links: Links) -> str:
    rows = [
        [one.severity, one.text, str(one.detail or "")[:LONGEST_DETAIL], _timestamp(one.since)]
        for one in needs[:NEEDS_SHOWN]
    ]
    lines = table(["", "what", "", "since (UTC)"], rows).split("\n")
    for at, need in enumerate(needs[:NEEDS_SHOWN], start=2):
        url = links.of(need)
        if url is not None:
            text = cell(need.text)
            lines[at] = lines[at].replace(text, f"[{text}]({url})", 1)
    return "\n".join(lines)


def _held_imports(held: Sequence[HeldImport]) -> str:
    if not held:
        return NONE
    rows = [[PurePath(one.source).name, str(one.import_id), one.rows, one.message] for one in held]
    decide = "Let them through with the job `accept_import`, or take them back with `revert_import`."
    return f"{table(['file', 'import', 'orders', 'why'], rows)}\n\n{decide}"


def _shops(tables: TableState, now: dt.datetime) -> str:
    rhythms = shop_rhythms(tables.arrivals, now.date())
    if rhythms.is_empty():
        return NONE
    rows = [
        [row["shown_name"], row["platform"], str(row["last_day"]), row["silent_days"], row["usual_days"]]
        for row in rhythms.head(SHOWN).iter_rows(named=True)
    ]
    header = ["shop", "platform", "last import on", "days since", "usually within (days)"]
    return f"{rhythms.height:,} shops, those silent for longest:\n\n{table(header, rows)}"


def _timestamp(instant: dt.datetime | None) -> str | None:
    return None if instant is None else f"{instant:%Y-%m-%d %H:%M}"
