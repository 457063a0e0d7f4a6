"""Log-in by password: attempts are counted per name, per address and per both, before a password is looked at.

The counts are in the database, so that they hold for all processes and survive restarts. Their subjects are keyed
hashes: a password that was typed into the wrong field is not stored. See
docs/decisions.md, "Attempts are counted before the password".
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal

import sqlalchemy as sa

from etl_assets.user_actions import record_user_action
from etl_assets.web.security.passwords import is_password
from etl_assets.web.security.users import end_session, password_hash_of, start_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database

WINDOW_SECONDS: Final = 15 * 60
"""Attempts are counted for so long from the first one."""
LIMIT_OF_PAIR: Final = 10
"""Attempts with one name from one address."""
LIMIT_OF_ADDRESS: Final = 100
LIMIT_OF_NAME: Final = 100
"""From all addresses: an attacker with many can lock a name for the rest of the window, but not guess its password."""

Outcome = Literal["logged in", "refused", "limited"]

_COUNT: Final = """
    INSERT INTO web_login_attempts AS a (subject, attempts, first_at)
    SELECT subject, 1, now() FROM unnest(CAST(:subjects AS bytea[])) AS s (subject) ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET
        attempts = CASE WHEN a.first_at < now() - make_interval(secs => :window) THEN 1 ELSE a.attempts + 1 END,
        first_at = CASE WHEN a.first_at < now() - make_interval(secs => :window) THEN now() ELSE a.first_at END
    RETURNING subject, attempts
"""
_FORGET: Final = """
    DELETE FROM web_login_attempts WHERE subject IN (
        SELECT subject FROM web_login_attempts WHERE subject = ANY(CAST(:subjects AS bytea[]))
        OR first_at < now() - make_interval(secs => :window) FOR UPDATE SKIP LOCKED
    )
"""
"""Skips what is being counted: waiting for it, in any order, could end in a deadlock."""
_TAKE_BACK: Final = "UPDATE web_login_attempts SET attempts = attempts - 1 WHERE subject = :subject"


@dataclass(frozen=True)
class Attempt:
    """Attempt to log in: a name and a password from an address."""

    name: str
    password: str
    address: str

    def subjects(self, key: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the subjects that it counts for: both, the address, the name."""
        address = _network_of(self.address)
        return (
            _hashed(key, "both", address, self.name),
            _hashed(key, "address", address),
            _hashed(key, "name", self.name),
        )


def log_in(database: Database, attempt: Attempt, *, key: bytes, sessions: tuple[str, str], hours: int) -> Outcome:
    """Try to log in. No transaction is open while the password is hashed.

    Args:
        database: the database with the users.
        attempt: what was entered.
        key: the signing key.
        sessions: the browser's old session, which ends, and its new one: an id from before log-in is never logged in.
        hours: the life of the new session.
    """
    old_session, new_session = sessions
    subjects = attempt.subjects(key)
    with database.transaction() as connection:
        is_allowed = count_attempt(connection, subjects)
    if not is_allowed:
        return "limited"
    with database.transaction() as connection:
        password_hash = password_hash_of(connection, attempt.name)
    if not is_password(attempt.password, password_hash):
        return "refused"
    with database.transaction() as connection:
        if password_hash_of(connection, attempt.name, keep=True) != password_hash:  # removed or changed meanwhile
            return "refused"
        _forget(connection, subjects)
        end_session(connection, old_session)
        start_session(connection, new_session, attempt.name, hours=hours)
        record_user_action(connection, "log in", attempt.name, {}, {"address": attempt.address}, user_name=attempt.name)
    return "logged in"


def count_attempt(connection: sa.Connection, subjects: tuple[bytes, bytes, bytes]) -> bool:
    """Count an attempt; return whether all of its subjects are within their limits.

    Hazard: each name is a row. An address beyond its limit adds none, so that no one address can fill the disk.
    """
    pair, address, name = subjects
    if _count(connection, [address])[address] > LIMIT_OF_ADDRESS:
        return False
    counted = _count(connection, [pair, name])
    return counted[pair] <= LIMIT_OF_PAIR and counted[name] <= LIMIT_OF_NAME


def _count(connection: sa.Connection, subjects: Sequence[bytes]) -> dict[bytes, int]:
    values = {"subjects": list(subjects), "window": WINDOW_SECONDS}
    return {bytes(row.subject): row.attempts for row in connection.execute(sa.text(_COUNT), values)}


def _forget(connection: sa.Connection, subjects: tuple[bytes, bytes, bytes]) -> None:
    """Clear the counts of the user who has logged in, and old ones; the address keeps those of its other attempts."""
    pair, address, name = subjects
    connection.execute(sa.text(_TAKE_BACK), {"subject": address})
    connection.execute(sa.text(_FORGET), {"subjects": [pair, name], "window": WINDOW_SECONDS})


def _network_of(address: str) -> str:
    """Return the address, or of IPv6 the /64 network: each host has all of that."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))  # noqa: PLR2004


def _hashed(key: bytes, *parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), key=key, digest_size=16).digest()
