"""Saved views: filters and sort of the list of leads under a name, each of one user.

The filters are kept as the page's own fields, texts by name; what they mean is read by the page. Views that come with
the page are there, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.database.ledger_schema import saved_views
from etl_assets.errors import EtlError
from etl_assets.user_actions import record_user_action
from etl_assets.values.text import clean_text_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.database.database import Database

MAX_NAME_CHARACTERS: Final = 60
MAX_VIEWS: Final = 50


class SavedViewError(EtlError):
    """A view that can't be saved."""


def list_views(connection: sa.Connection, user_name: str) -> list[dict[str, Any]]:
    """Return the views of a user by name: `view_id`, `name`, `filters`."""
    columns = (saved_views.c.view_id, saved_views.c.name, saved_views.c.filters)
    query = sa.select(*columns).where(saved_views.c.user_name == user_name).order_by(saved_views.c.name)
    return [dict(row) for row in connection.execute(query.limit(MAX_VIEWS)).mappings()]


def save_view(database: Database, user_name: str, name: str, filters: Mapping[str, str]) -> str:
    """Save filters under a name, in place of the user's earlier ones of this name; return the name as it is stored.

    Raises:
        SavedViewError: the name is empty or too long, or the user has `MAX_VIEWS` views.
    """
    cleaned = clean_text_str(name)
    if not cleaned or len(cleaned) > MAX_NAME_CHARACTERS or not cleaned.isprintable():
        msg = f"The name of a view has 1 to {MAX_NAME_CHARACTERS} characters."
        raise SavedViewError(msg)
    with database.transaction() as connection:
        before = {view["name"]: view["filters"] for view in list_views(connection, user_name)}
        if len(before) >= MAX_VIEWS and cleaned not in before:
            msg = f"There are {MAX_VIEWS} views already: delete one first."
            raise SavedViewError(msg)
        connection.execute(sa.text(_SAVE), {"user_name": user_name, "name": cleaned, "filters": _json(filters)})
        old = {"filters": before[cleaned]} if cleaned in before else {}
        record_user_action(connection, "views save", cleaned, old, {"filters": dict(filters)}, user_name=user_name)
    return cleaned


def delete_view(database: Database, user_name: str, view_id: int) -> str | None:
    """Delete a view of the user, and return its name; None where the user has no such view."""
    with database.transaction() as connection:
        found = connection.execute(sa.text(_DELETE), {"user_name": user_name, "view_id": view_id}).one_or_none()
        if found is None:
            return None
        record_user_action(connection, "views delete", found.name, {"filters": found.filters}, {}, user_name=user_name)
        return str(found.name)


def _json(filters: Mapping[str, str]) -> str:
    return json.dumps(dict(filters))


_SAVE: Final = """
    INSERT INTO saved_views (user_name, name, filters) VALUES (:user_name, :name, CAST(:filters AS jsonb))
    ON CONFLICT (user_name, name) DO UPDATE SET filters = excluded.filters, saved_at = now()
"""
_DELETE: Final = """
    DELETE FROM saved_views WHERE user_name = :user_name AND view_id = :view_id RETURNING name, filters
"""
