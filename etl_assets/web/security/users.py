"""Users of the web page and their sessions, as the database holds them.

A user who is removed, or whose password changes, loses all sessions in the same transaction: each request looks its
session up (docs/decisions.md, "Sessions in the database"). Changes are recorded as user actions.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa

from etl_assets.database.web_schema import web_sessions, web_users
from etl_assets.errors import EtlError
from etl_assets.user_actions import record_user_action
from etl_assets.web.permissions import Role, User

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME_LENGTH: Final = 100


class UserError(EtlError):
    """Raised for a user who exists already, does not exist, or would have an unusable name."""


@dataclass(frozen=True)
class Found:
    """Result of looking up a request's user.

    Attributes:
        user: None if the session or the name belongs to no user.
        has_users: false as long as no users are set up.
    """

    user: User | None
    has_users: bool


def add_user(connection: sa.Connection, name: str, role: Role, password_hash: str | None) -> None:
    """Add a user; without a password, a trusted proxy has to log it in.

    Raises:
        UserError: there is one of this name, or it can't be used.
    """
    if name != _clean_name(name) or not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        msg = f"A user's name needs 1 to {MAX_NAME_LENGTH} printable characters, without blanks around it."
        raise UserError(msg)
    row = {"user_name": name, "role": role, "password_hash": password_hash}
    if _find(connection, name) is not None:
        msg = f"There is a user {name!r} already: `etl-assets users password` and `users role` change it."
        raise UserError(msg)
    connection.execute(sa.insert(web_users).values(row))
    record_user_action(connection, "users add", name, {}, {"role": role})


def remove_user(connection: sa.Connection, name: str) -> None:
    """Remove a user and its sessions. Raises `UserError` if there is no such user."""
    user = _require(connection, name)
    end_sessions(connection, name)
    connection.execute(sa.delete(web_users).where(web_users.c.user_name == name))
    record_user_action(connection, "users remove", name, {"role": user["role"]}, {})


def set_password(connection: sa.Connection, name: str, password_hash: str) -> None:
    """Set a user's password and end its sessions. Raises `UserError` if there is no such user."""
    _require(connection, name)  # before its sessions: a log-in under way has started its own by then
    end_sessions(connection, name)
    connection.execute(sa.update(web_users).where(web_users.c.user_name == name).values(password_hash=password_hash))
    record_user_action(connection, "users password", name, {}, {})


def set_role(connection: sa.Connection, name: str, role: Role) -> None:
    """Set a user's role, from the next request on. Raises `UserError` if there is no such user."""
    user = _require(connection, name)
    connection.execute(sa.update(web_users).where(web_users.c.user_name == name).values(role=role))
    record_user_action(connection, "users role", name, {"role": user["role"]}, {"role": role})


def list_users(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return names, roles and kinds of log-in, without the hashes."""
    query = """
        SELECT user_name, role, password_hash IS NOT NULL AS has_password, created_at, (
            SELECT max(s.created_at) FROM web_sessions s WHERE s.user_name = u.user_name AND s.expires_at > now()
        ) AS logged_in_at
        FROM web_users u ORDER BY user_name
    """
    return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def password_hash_of(connection: sa.Connection, name: str, *, keep: bool = False) -> str | None:
    """Return the hash of a user's password; None without a user or a password.

    With `keep`, another transaction that changes or removes the user waits until this one ends.
    """
    user = _find(connection, name, "share" if keep else None)
    return None if user is None else user["password_hash"]


def user_of_session(connection: sa.Connection, session_id: str | None) -> Found:
    """Return the user who is logged in by a session."""
    query = """
        SELECT EXISTS (SELECT FROM web_users) AS has_users, u.user_name, u.role
        FROM (VALUES (1)) AS one_row (x)
        LEFT JOIN (web_sessions s JOIN web_users u USING (user_name)) ON session_hash = :hash AND expires_at > now()
    """
    return _found(connection, query, {"hash": b"" if session_id is None else _hashed(session_id)})


def user_of_name(connection: sa.Connection, name: str) -> Found:
    """Return the user of a name that a trusted proxy vouches for."""
    query = """
        SELECT EXISTS (SELECT FROM web_users) AS has_users, u.user_name, u.role
        FROM (VALUES (1)) AS one_row (x) LEFT JOIN web_users u ON user_name = :name
    """
    return _found(connection, query, {"name": name})


def start_session(connection: sa.Connection, session_id: str, name: str, *, hours: int) -> None:
    """Log a user in by a session; deletes sessions that have expired."""
    connection.execute(sa.text("DELETE FROM web_sessions WHERE expires_at <= now()"))
    expires_at = datetime.now(tz=UTC) + timedelta(hours=hours)
    row = {"session_hash": _hashed(session_id), "user_name": name, "expires_at": expires_at}
    connection.execute(sa.insert(web_sessions).values(row))


def end_session(connection: sa.Connection, session_id: str) -> None:
    """Log out."""
    connection.execute(sa.delete(web_sessions).where(web_sessions.c.session_hash == _hashed(session_id)))


def end_sessions(connection: sa.Connection, name: str) -> None:
    """Log a user out everywhere."""
    connection.execute(sa.delete(web_sessions).where(web_sessions.c.user_name == name))


def _found(connection: sa.Connection, query: str, values: Mapping[str, object]) -> Found:
    row = connection.execute(sa.text(query), values).one()
    user = None if row.user_name is None else User(row.user_name, Role(row.role))
    return Found(user, row.has_users)


def _find(connection: sa.Connection, name: str, lock: Literal["share", "update"] | None = None) -> sa.RowMapping | None:
    query = sa.select(web_users).where(web_users.c.user_name == name)
    if lock is not None:
        query = query.with_for_update(read=lock == "share")
    return connection.execute(query).mappings().one_or_none()


def _require(connection: sa.Connection, name: str) -> sa.RowMapping:
    """Return a user, and lock it. Raises `UserError`."""
    user = _find(connection, name, "update")
    if user is None:
        msg = f"There is no user {name!r}: see `etl-assets users list`."
        raise UserError(msg)
    return user


def _clean_name(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _hashed(session_id: str) -> bytes:
    return sha256(session_id.encode()).digest()
