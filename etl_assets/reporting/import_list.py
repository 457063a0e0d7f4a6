"""Lists of imports for pages: filtered, page by page, with what the effects of a change of one would be.

Nothing here reads raw rows; numbers that could be large are counted up to a limit. What became of the rows of an import
is in `import_fates`, everything about one import in `imports`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from etl_assets.ledger.range_sql import BATCHES_OF_IMPORT
from etl_assets.raw_orders.findings import DRIFT
from etl_assets.reporting.failed_imports import NEEDS_USERS

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

Kind = Literal["file", "source", "corrections"]
Choice = Literal[
    "", "completed", "held", "refused", "dismissed", "reverted", "bad", "disagreeing", "columns", "statuses", "waiting",
]  # fmt: skip

PAGE_IMPORTS: Final = 25
MOST_COUNTED: Final = 10_000
SOURCE_PREFIX: Final = "source:"
_FINDING: Final = (
    "t.status = 'completed' AND EXISTS"
    " (SELECT FROM import_findings f WHERE f.import_id = t.import_id AND f.code IN ({codes}))"
)

CONDITIONS: Final[dict[Choice, str]] = {
    "": "true",
    "completed": "t.status IN ('completed', 'pending')",
    "held": "t.status = 'held'",
    "refused": NEEDS_USERS,
    "dismissed": "t.status = 'failed' AND t.dismissed_at IS NOT NULL",
    "reverted": "t.status = 'reverted'",
    "bad": "EXISTS (SELECT FROM quarantine q WHERE q.import_id = t.import_id AND q.resolved_at IS NULL)",
    "disagreeing": _FINDING.format(codes="'DISAGREEING_ROWS'") + " AND t.completed_at > now() - interval '30 days'",
    "columns": f"""{_FINDING.format(codes=", ".join(f"'{code}'" for code in DRIFT))} AND NOT EXISTS (
        SELECT FROM import_tasks n WHERE n.feed = t.feed AND n.batch_id > t.batch_id AND n.status = 'completed'
    )""",
    "statuses": _FINDING.format(codes="'UNKNOWN_STATUS'"),
    "waiting": """t.first_raw_id IS NOT NULL AND EXISTS (
        SELECT FROM line_versions v JOIN raw_orders r USING (raw_id)
        WHERE v.is_waiting AND v.raw_id BETWEEN t.first_raw_id AND t.last_raw_id AND r.import_id = t.import_id
    )""",
}
"""Choices of the list, and the condition on imports `t` of each."""


class Place(NamedTuple):
    """Place in the list: the last import of the page before."""

    created_at: datetime
    import_id: UUID


@dataclass(frozen=True, slots=True)
class ListedImport:
    """Import in a list."""

    import_id: UUID
    created_at: datetime
    source: str
    kind: Kind
    preset: str | None
    user_name: str | None
    lines: int | None
    rows: int | None
    status: str
    error: str | None
    dismissed_at: datetime | None
    note: str | None
    """Reason of a dismissal."""
    findings: int
    bad_rows: int
    """Open entries of quarantine, at most `MOST_COUNTED`."""

    @property
    def name(self) -> str:
        """Return the name to show: of a file, without its folders."""
        return shown_name(self.source)

    @property
    def place(self) -> Place:
        """Return its place in the list."""
        return Place(self.created_at, self.import_id)

    @property
    def problem(self) -> str | None:
        """Return the error without the folders of the file."""
        return self.error and without_folders(self.error, self.source)


@dataclass(frozen=True, slots=True)
class RevertEffects:
    """Effects of a revert on stored orders, each counted up to `MOST_COUNTED`."""

    orders: int
    """Orders that are as the import says, or have their lines from it."""
    only_here: int
    """Those of them that no earlier import had: they are deleted, unless another version of them was imported."""
    leads: int
    """Leads to which these orders belong."""

    @property
    def is_more(self) -> bool:
        """Return whether there are more orders than were counted."""
        return self.orders > MOST_COUNTED


def list_page(
    connection: sa.Connection,
    *,
    choice: Choice = "",
    search: str = "",
    before: Place | None = None,
    limit: int = PAGE_IMPORTS,
) -> list[ListedImport]:
    """Return imports, the newest first.

    Args:
        connection: an open transaction.
        choice: which ones, a key of `CONDITIONS`.
        search: only those whose file or source has this text in its name.
        before: the place that the page before ended at.
        limit: the most imports to return.
    """
    conditions = [CONDITIONS[choice]]
    parameters: dict[str, Any] = {"limit": limit, "most": MOST_COUNTED}
    if search:
        conditions.append("position(lower(:search) IN lower(t.source)) > 0")
        parameters["search"] = search
    if before is not None:
        conditions.append("(t.created_at, t.import_id) < (:created_at, CAST(:import_id AS uuid))")
        parameters |= before._asdict()
    rows = connection.execute(sa.text(_LIST.format(condition=" AND ".join(conditions))), parameters)
    return [ListedImport(**row) for row in rows.mappings()]


def read_listed(connection: sa.Connection, import_id: UUID) -> ListedImport | None:
    """Return one import as the list shows it; None where there is none."""
    query = sa.text(_LIST.format(condition="t.import_id = :import_id"))
    row = connection.execute(query, {"import_id": import_id, "limit": 1, "most": MOST_COUNTED}).mappings().first()
    return None if row is None else ListedImport(**row)


def count_choices(connection: sa.Connection) -> dict[str, int]:
    """Count the imports of the choices that may need users: `held` and `refused`."""
    return dict(connection.execute(sa.text(_CHOICES)).mappings().one())


def read_revert_effects(connection: sa.Connection, import_id: UUID) -> RevertEffects:
    """Count what a revert of an import would concern."""
    found = connection.execute(sa.text(_PLACE), {"import_id": import_id}).mappings().one_or_none()
    if found is None:
        return RevertEffects(0, 0, 0)
    parameters = {"import_id": import_id, "limit": MOST_COUNTED + 1, **found}
    return RevertEffects(**connection.execute(sa.text(_EFFECTS), parameters).mappings().one())


def shown_name(source: str) -> str:
    """Return the name of an origin: of a file, without its folders; of a source, its name in sources.yaml."""
    return source.removeprefix(SOURCE_PREFIX) if source.startswith(SOURCE_PREFIX) else PurePath(source).name or source


def without_folders(text: str, source: str) -> str:
    """Return an error text with the name of the file in place of its path."""
    return text.replace(source, shown_name(source))


_LIST: Final = f"""
    SELECT t.import_id, t.created_at, t.source, t.preset, t.user_name, t.line_count AS lines, t.row_count AS rows,
           t.status, t.error, t.dismissed_at, t.note, CASE
               WHEN t.source LIKE '{SOURCE_PREFIX}%' THEN 'source'
               WHEN (SELECT r.replaces_raw_id IS NOT NULL FROM raw_orders r WHERE r.raw_id = t.first_raw_id)
               THEN 'corrections' ELSE 'file'
           END AS kind,
           (SELECT count(*) FROM import_findings f WHERE f.import_id = t.import_id) + CAST(EXISTS (
               SELECT FROM line_versions v JOIN raw_orders r USING (raw_id)
               WHERE v.is_waiting AND v.raw_id BETWEEN t.first_raw_id AND t.last_raw_id AND r.import_id = t.import_id
           ) AS integer) AS findings,
           (SELECT count(*) FROM (
               SELECT FROM quarantine q WHERE q.import_id = t.import_id AND q.resolved_at IS NULL LIMIT :most
           ) bounded) AS bad_rows
    FROM import_tasks t WHERE {{condition}} ORDER BY t.created_at DESC, t.import_id DESC LIMIT :limit
"""  # noqa: S608  # constants only
_CHOICES: Final = f"""
    SELECT count(*) FILTER (WHERE {CONDITIONS["held"]}) AS held,
           count(*) FILTER (WHERE {CONDITIONS["refused"]}) AS refused
    FROM import_tasks t WHERE t.status IN ('held', 'failed')
"""  # noqa: S608  # constants only
_PLACE: Final = """
    SELECT batch_id, first_raw_id AS low, last_raw_id AS high FROM import_tasks
    WHERE import_id = :import_id AND batch_id IS NOT NULL AND last_raw_id IS NOT NULL
"""
_OWN: Final = "EXISTS (SELECT FROM raw_orders r WHERE r.raw_id = {of} AND r.import_id = :import_id)"
_EFFECTS: Final = f"""
    WITH concerned AS (
        (
            SELECT o.shop_id, o.order_id, o.order_no BETWEEN :low AND :high AS is_only_here FROM orders o
            WHERE o.batch_id = ANY (ARRAY(SELECT b.batch_id FROM etl_batches b WHERE {BATCHES_OF_IMPORT}))
            AND o.raw_id BETWEEN :low AND :high AND {_OWN.format(of="o.raw_id")} LIMIT :limit
        )
        UNION ALL
        (
            SELECT o.shop_id, o.order_id, false FROM orders o
            WHERE o.lines_raw_id BETWEEN :low AND :high AND {_OWN.format(of="o.lines_raw_id")} LIMIT :limit
        )
    )
    SELECT count(*) AS orders, count(*) FILTER (WHERE is_only_here) AS only_here, (
        SELECT count(DISTINCT a.lead_id) FROM concerned c JOIN lead_orders a USING (shop_id, order_id)
    ) AS leads FROM concerned
"""  # noqa: S608  # constants only
