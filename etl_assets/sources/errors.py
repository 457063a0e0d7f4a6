"""What can go wrong with a source: its description, its database, a read of it."""

from __future__ import annotations

from etl_assets.errors import EtlError, ReadError


class SourceConfigError(EtlError):
    """`sources.yaml` or the URL of a source can't be used: names the source, the key and the remedy."""


class SourceError(EtlError):
    """A source does not hold what its description says, or its position can't be used."""


class SourceReadError(ReadError):
    """A source could not be read: refused, cut off, or not answered in time. Nothing of the pull was written."""
