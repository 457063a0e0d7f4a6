"""Passwords: argon2 hashes, by argon2-cffi with its defaults (RFC 9106, low memory)."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from etl_assets.errors import EtlError

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 200
"""A longer one is refused before it is hashed."""

_HASHER: Final = PasswordHasher()
_AT_ONCE: Final = BoundedSemaphore(2)
"""Hazard: each hash takes 64 MiB, so parallel log-ins could exhaust the memory."""
_NO_ONES: Final = _HASHER.hash("of no user")
"""Verified where there is no user of a name, so that the time of a refusal does not tell which names exist."""


class WeakPasswordError(EtlError):
    """Raised for a password that is too short or too long."""


def hash_password(password: str) -> str:
    """Return the hash of a new password.

    Raises:
        WeakPasswordError: it has too few or too many characters.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        msg = f"A password needs {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}."
        raise WeakPasswordError(msg)
    with _AT_ONCE:
        return _HASHER.hash(password)


def is_password(password: str, password_hash: str | None) -> bool:
    """Return whether a password has this hash; false, after the same time, for None."""
    if len(password) > MAX_LENGTH:
        return False
    with _AT_ONCE:
        try:
            matches = _HASHER.verify(password_hash or _NO_ONES, password)
        except (VerificationError, InvalidHashError):
            return False
    return matches and password_hash is not None
