"""Signing key of cookies and CSRF tokens: random, made once, kept in the database for all processes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from etl_assets.database.database import Database

_MAKE: Final = "INSERT INTO web_keys (key_id, key) VALUES (1, :key) ON CONFLICT DO NOTHING"


def signing_key(database: Database) -> bytes:
    """Return the key; makes it at the first start."""
    query = sa.text("SELECT key FROM web_keys WHERE key_id = 1")
    with database.transaction() as connection:
        key = connection.execute(query).scalar_one_or_none()
        if key is None:
            connection.execute(sa.text(_MAKE), {"key": secrets.token_bytes(32)})
            key = connection.execute(query).scalar_one()
    return bytes(key)
