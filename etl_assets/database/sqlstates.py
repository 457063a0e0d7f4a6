"""Meanings of PostgreSQL's SQLSTATEs, with the remedy.

The only table of them (docs/decisions.md, "One table of SQLSTATEs"): messages show these texts, never a driver's.
"""

from __future__ import annotations

from typing import Final

MEANINGS: Final = {
    "28": "the user, the password or this host is not accepted: correct the URL, or the server's pg_hba.conf",
    "3D000": "there is no database of that name: create it, or correct the name in the URL",
    "42501": "the user lacks a right: `etl-assets doctor` says which one",
    "53100": "the disk of the database server is full: free space on it, then run again: nothing is lost",
    "53200": "the database server is out of memory: give it more, or lower ETL_BATCH_SIZE",
    "53300": "the server has no connection left: end some, or raise its max_connections",
    "57014": "it was cancelled, or took longer than the server allows: try again",
    "57P01": "the server was shut down or restarted: try again when it runs",
    "57P02": "the server crashed and recovers: try again in a while",
    "57P03": "the server is starting up, recovering or shutting down: try again in a while",
    "58030": "the server can't read or write its files: see its log for the disk's fault",
    "55P03": "another session holds a lock for too long: see pg_stat_activity, then try again",
    "25006": "the server is a standby or read-only: use the primary's URL",
    "08": "the connection was lost or could not be made: check that the server runs and can be reached, then try again",
    "53": "the database server lacks a resource: see its log",
}
"""Meanings by code, or by the class that a code begins with."""

OTHER: Final = "see the server's log, then try again"

_TEXTS: Final = {
    "too many clients": "53300",
    "too many connections": "53300",  # names the role or the database: before those
    "remaining connection slots": "53300",
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    "authentication failed": "28000",
    "is not permitted to log in": "28000",
    'role "': "28000",
    'database "': "3D000",
    "is starting up": "57P03",
    "is shutting down": "57P03",
    "is in recovery mode": "57P03",
    "not yet accepting connections": "57P03",
    "No space left on device": "53100",
    "Permission denied": "28000",
    "Connection refused": "08001",
    "No such file or directory": "08001",
    "could not translate host name": "08001",
    "timeout expired": "08001",
    "server closed the connection": "08006",
}
"""Codes by texts of refused connections, with which libpq gives no code; texts in other languages stay unknown."""


def meaning_of(state: str | None) -> str:
    """Return the meaning of a SQLSTATE, with the remedy."""
    found = (MEANINGS.get(prefix) for prefix in (state or "", (state or "")[:2]))
    return next((meaning for meaning in found if meaning), OTHER)


def state_of_refused_connection(text: str) -> str | None:
    """Return the SQLSTATE that the text of a refused connection implies; None for unknown texts."""
    return next((state for words, state in _TEXTS.items() if words in text), None)
