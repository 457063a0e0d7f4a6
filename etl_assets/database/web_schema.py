"""Tables of the web page's users: names and roles, sessions, attempts to log in, the signing key.

They belong to no asset and hold no data of orders. `schema` imports this module: its `metadata` has all tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, SmallInteger, Table, Text

from etl_assets.database.columns import metadata, now_column, timestamp_column

web_users: Final = Table(
    "web_users",
    metadata,
    Column("user_name", Text, primary_key=True),
    Column("role", Text, nullable=False, comment="see web.permissions"),
    Column("password_hash", Text, comment="argon2; null for a user whom a trusted proxy logs in"),
    now_column("created_at"),
)

web_sessions: Final = Table(
    "web_sessions",
    metadata,
    Column("session_hash", LargeBinary, primary_key=True, comment="SHA-256 of the id in the browser's cookie"),
    Column("user_name", Text, nullable=False),
    now_column("created_at"),
    timestamp_column("expires_at", required=True),
    Index(None, "user_name"),
)

web_login_attempts: Final = Table(
    "web_login_attempts",
    metadata,
    Column("subject", LargeBinary, primary_key=True, comment="keyed hash of a name, an address, or both"),
    Column("attempts", Integer, nullable=False, comment="since first_at"),
    timestamp_column("first_at", required=True),
    Index(None, "first_at"),
)

web_keys: Final = Table(
    "web_keys",
    metadata,
    Column("key_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False, comment="signs cookies and CSRF tokens; random"),
    now_column("created_at"),
)
