"""Errors of sources: of a description, of its database, of a read."""

from __future__ import annotations

from etl_assets.errors import EtlError, ReadError


class SourceConfigError(EtlError):
    """Error of `sources.yaml` or of the URL of a source: names the source, the key and the remedy."""


class SourceError(EtlError):
    """Error of a source that does not match its description."""


class SourceReadError(ReadError):
    """Error of a read: refused, cut off, or not answered in time. Nothing of the pull was written."""
