"""Filter of open rows of quarantine, by asset, import, reason code and shop: one for all commands and jobs.

Here: the values that a filter may have, and the SQL condition that it stands for. Not here: the queries that use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.asset_graph import QUARANTINING_ASSETS
from etl_assets.errors import EtlError
from etl_assets.ledger.import_ids import ImportIdError, find_import

if TYPE_CHECKING:
    from uuid import UUID

REASON_CODES: Final = (
    "BAD_AMOUNT", "BAD_ITEMS", "BAD_PROCESSES", "BAD_TEXT", "BAD_TIMESTAMP", "CONFLICTING_ORDER", "DB_REJECTED",
    "MISSING_ORDER_ID", "MISSING_SHOP", "ROUNDED_ORDER_ID",
)  # fmt: skip
"""Reason codes of the rules of this project. Modules of others may have more: see `build_filter`."""


class RowFilterError(EtlError):
    """Error of a filter for an asset, import or reason code that does not exist; lists the possible ones."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Filter of open rows; None stands for all."""

    asset: str | None = None
    import_id: UUID | None = None
    reason_code: str | None = None
    shop_id: int | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether all open rows pass."""
        return self == ALL_OPEN_ROWS

    @property
    def condition(self) -> str:
        """Return the SQL condition on the rows `q` of quarantine, with placeholders for `parameters`."""
        return " AND ".join(("q.resolved_at IS NULL", *(f"q.{column} = %({column})s" for column in self.parameters)))

    @property
    def parameters(self) -> dict[str, object]:
        """Return the parameters of `condition`, for the driver."""
        chosen = {
            "asset": self.asset,
            "import_id": self.import_id,
            "reason_code": self.reason_code,
            "shop_id": self.shop_id,
        }
        return {column: value for column, value in chosen.items() if value is not None}


ALL_OPEN_ROWS: Final = RowFilter()


def build_filter(
    connection: sa.Connection, *, asset: str | None = None, import_id: str | None = None, reason_code: str | None = None
) -> RowFilter:
    """Build a filter from what a user typed; empty texts stand for all.

    Args:
        connection: an open transaction.
        asset: name of an asset that rejects rows.
        import_id: id of an import, or a prefix that only one import has.
        reason_code: one of `REASON_CODES`, or a code that an open row has.

    Raises:
        RowFilterError: there is no such asset, import or reason code.
    """
    if asset and asset not in QUARANTINING_ASSETS:
        msg = f"asset: no row can be in quarantine for {asset!r}; use one of {', '.join(QUARANTINING_ASSETS)}."
        raise RowFilterError(msg)
    if reason_code:
        _require_reason_code(connection, reason_code)
    try:
        found = find_import(connection, import_id) if import_id else None
    except ImportIdError as error:
        msg = f"import: {error}"
        raise RowFilterError(msg) from None
    return RowFilter(asset or None, found, reason_code or None)


def _require_reason_code(connection: sa.Connection, reason_code: str) -> None:
    if reason_code in REASON_CODES:
        return
    others = connection.execute(sa.text("SELECT DISTINCT reason_code FROM quarantine WHERE resolved_at IS NULL"))
    known = sorted({*REASON_CODES, *others.scalars()})
    if reason_code not in known:
        msg = f"reason code: there is no {reason_code!r}; use one of {', '.join(known)}."
        raise RowFilterError(msg)
