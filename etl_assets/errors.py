"""Errors that the project raises deliberately. Each message names the object, the problem and the remedy.

Hazard: no message may hold a secret or a customer's data. Drivers quote values in their texts, so these are never
passed on (docs/decisions.md, "Errors without values"). An error of one package only is defined in that package.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class EtlError(Exception):
    """Base of all errors that the user can act on; commands print them without a traceback."""


class DatabaseUnavailableError(EtlError):
    """Raised if the database can't be reached or refuses the connection."""


class FolderError(EtlError):
    """Raised if a folder can't be written: missing permission, a read-only or a full disk."""


class SettingsUrlError(EtlError):
    """Raised for a URL setting that can't be used. The message names the setting and holds no part of the URL."""


class NotMigratedError(EtlError):
    """Raised if the schema in the database is not at the revision that this version needs."""


class MissingKeyError(EtlError):
    """Raised if a table lacks one of its keys and its rows violate it."""


class ReadError(EtlError):
    """Raised for a failed bulk read, including panics of the Rust reader, which are no `Exception`."""


class PanicError(ReadError):
    """Raised for a panic of Rust code."""


def is_panic(error: BaseException) -> bool:
    """Return whether an error is a panic of Rust code, whose class differs by library and can't be imported."""
    return type(error).__name__ == "PanicException"


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn panics of Rust code, which are no `Exception`, into `PanicError`, without their text: it may quote data."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        msg = "A library written in Rust failed on the rows of a batch (PanicException)."
        raise PanicError(msg) from None


class RowCountError(EtlError):
    """Raised if a statement affected another number of rows than it was given."""


class ConcurrentRunError(EtlError):
    """Raised if another run of the same asset committed since this batch was read; the batch is rolled back."""


class BatchFailedError(EtlError):
    """Raised if a batch could not be loaded; it stays pending."""
