"""The errors that the project raises on purpose. Each says what happened, to what, and what to do.

No message holds a secret or a customer's data: drivers quote values in theirs, so those are never passed on.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class EtlError(Exception):
    """Base of all errors that are the user's to act on; the commands print them without a traceback."""


class DatabaseUnavailableError(EtlError):
    """The database can't be reached or refuses us."""


class FolderError(EtlError):
    """A folder that the project writes into can't be written: no right, a read-only or a full disk."""


class SettingsUrlError(EtlError):
    """A URL among the settings can't be used. The message names the setting and holds no part of the URL."""


class NotMigratedError(EtlError):
    """The schema in the database is not the one that this version needs."""


class MissingKeyError(EtlError):
    """A table in the database lacks one of its keys, and its rows stand against making it."""


class ReadError(EtlError):
    """A bulk read failed (also raised for panics of the Rust reader, which are no `Exception`)."""


class PanicError(ReadError):
    """Rust code gave up on the rows that it was given."""


def is_panic(error: BaseException) -> bool:
    """Whether Rust code panicked; each library has a class of its own for that, which can't be imported."""
    return type(error).__name__ == "PanicException"


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn panics of Rust code, which are no `Exception`, into `PanicError`; their text may quote a customer's data."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        msg = "A library written in Rust gave up on the rows of a batch (PanicException)."
        raise PanicError(msg) from None


class RowCountError(EtlError):
    """A statement touched other rows than those that it was given."""


class ConcurrentRunError(EtlError):
    """Another run of the same asset committed since this batch was read; nothing of this batch was written."""


class BatchFailedError(EtlError):
    """A batch could not be loaded; it stays pending."""
