"""Ids of imports as users type them: complete, or a prefix that only one import has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

import sqlalchemy as sa

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEX_DIGITS: Final = 32
_FOUND: Final = sa.text(
    "SELECT import_id FROM import_tasks WHERE import_id BETWEEN :low AND :high ORDER BY import_id LIMIT 6"
)
_LAST: Final = sa.text("SELECT import_id FROM import_tasks ORDER BY created_at DESC, import_id LIMIT 5")


class ImportIdError(EtlError):
    """Error of an id that names no import, or several; lists the possible ones."""


def find_import(connection: sa.Connection, typed: str) -> UUID:
    """Return the import whose id begins with `typed`; upper case and hyphens make no difference.

    Raises:
        ImportIdError: no import has such an id, or more than one has.
    """
    prefix = typed.strip().lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{1,{_HEX_DIGITS}}}", prefix):
        msg = f"{typed!r} is no id of an import. {_listed('The last ones are', _ids(connection, _LAST))}"
        raise ImportIdError(msg)
    ends = {"low": UUID(prefix.ljust(_HEX_DIGITS, "0")), "high": UUID(prefix.ljust(_HEX_DIGITS, "f"))}
    found = _ids(connection, _FOUND, **ends)
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"Several imports have an id that begins with {typed!r}. {_listed('Give more of it', found)}"
    else:
        msg = f"No import has the id {typed!r}. {_listed('The last ones are', _ids(connection, _LAST))}"
    raise ImportIdError(msg)


def _ids(connection: sa.Connection, query: sa.TextClause, **parameters: UUID) -> Sequence[UUID]:
    return connection.execute(query, parameters).scalars().all()


def _listed(introduction: str, ids: Sequence[UUID]) -> str:
    return f"{introduction}: {', '.join(map(str, ids))}." if ids else "There is none yet."
