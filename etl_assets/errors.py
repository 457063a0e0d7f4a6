"""The errors that the project raises on purpose. Each says what happened, to what, and what to do.

No message holds a secret or a customer's data: drivers quote values in theirs, so those are never passed on.
"""

from __future__ import annotations


class EtlError(Exception):
    """Base of all errors that are the user's to act on; the commands print them without a traceback."""


class DatabaseUnavailableError(EtlError):
    """The database can't be reached or refuses us."""


class NotMigratedError(EtlError):
    """The schema in the database is not the one that this version needs."""


class MissingKeyError(EtlError):
    """A table in the database lacks one of its keys, and its rows stand against making it."""


class ReadError(EtlError):
    """A bulk read failed (also raised for panics of the Rust reader, which are no `Exception`)."""


class FencedError(EtlError):
    """Another run of the same asset committed since this batch was read; nothing of this batch was written."""


class BatchFailedError(EtlError):
    """A batch could not be loaded; it stays pending."""
