"""Outcome of a bad row: what became of it, or of the row that corrects it, for the page on which users correct it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa

from etl_assets.asset_graph import QUARANTINING_ASSETS
from etl_assets.ledger.range_sql import LIVE
from etl_assets.values.text import clean_text_str

if TYPE_CHECKING:
    from uuid import UUID

State = Literal["loaded", "overtaken", "pending", "quarantined", "dismissed", "held", "reverted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """State of a bad row, and the order and lead that it is about, where they exist."""

    state: State
    """`loaded`: the order is as the row says. `overtaken`: another version of the order counts."""
    raw_id: int
    """The row that stands for it: its last correction, or itself."""
    is_corrected: bool
    shop_id: int | None = None
    order_id: str | None = None
    lead_id: UUID | None = None
    customer: str | None = None


def read_outcome(connection: sa.Connection, raw_id: int) -> Outcome:
    """Read what became of a raw row that is, or was, in quarantine."""
    last = connection.execute(sa.text(_LAST), {"raw_id": raw_id}).mappings().one()
    parameters = {"raw_id": last["raw_id"], "assets": list(QUARANTINING_ASSETS), **_names(last)}
    order = connection.execute(sa.text(_ORDER), parameters).mappings().one_or_none()
    entries = connection.execute(sa.text(_ENTRIES), parameters).one()
    found = dict(order) if order is not None else {}
    is_current = last["raw_id"] in {found.pop("raw_id", None), found.pop("lines_raw_id", None)}
    state = _state(last, is_current=is_current, is_open=entries.is_open, is_dismissed=entries.is_dismissed)
    return Outcome(state, last["raw_id"], last["raw_id"] != raw_id, **found)


def _names(row: Any) -> dict[str, str | None]:  # noqa: ANN401  # a row of SQLAlchemy
    return {name: row[name] and clean_text_str(row[name]) for name in ("platform", "shop", "order_id")}


def _state(last: Any, *, is_current: bool, is_open: bool | None, is_dismissed: bool | None) -> State:  # noqa: ANN401
    if last["is_pending"]:
        return "pending"
    if last["status"] == "held":
        return "held"
    if not last["is_live"]:
        return "reverted"
    if is_open:
        return "quarantined"
    if is_current:
        return "loaded"
    return "dismissed" if is_dismissed else "overtaken"


_LAST: Final = f"""
    WITH RECURSIVE chain AS (
        SELECT CAST(:raw_id AS bigint) AS raw_id
        UNION ALL
        SELECT r.raw_id FROM chain c JOIN raw_orders r ON r.replaces_raw_id = c.raw_id
        JOIN import_tasks t USING (import_id)
        WHERE t.status IN ('completed', 'held') AND r.corrects_reverted IS NOT TRUE
    )
    SELECT r.raw_id, r.platform, r.shop, r.order_id, t.status, {LIVE} AS is_live, EXISTS (
        SELECT FROM etl_work w WHERE w.asset IN ('shop', 'orders') AND w.batch_id = t.batch_id
        AND r.raw_id BETWEEN w.low AND w.high
    ) AS is_pending
    FROM raw_orders r JOIN import_tasks t USING (import_id) WHERE r.raw_id = (SELECT max(raw_id) FROM chain)
"""  # noqa: S608  # constants only
_ENTRIES: Final = """
    SELECT bool_or(resolved_at IS NULL) AS is_open, bool_or(resolution = 'dismissed') AS is_dismissed
    FROM quarantine WHERE raw_id = :raw_id AND asset = ANY (:assets)
"""
_ORDER: Final = """
    SELECT o.raw_id, o.lines_raw_id, o.shop_id, o.order_id, o.customer_nickname AS customer, l.lead_id
    FROM shop_configs s JOIN orders o ON o.shop_id = s.shop_id AND o.order_id = :order_id
    LEFT JOIN lead_orders l ON l.shop_id = o.shop_id AND l.order_id = o.order_id
    WHERE s.platform = :platform AND s.shop_name = :shop
"""
