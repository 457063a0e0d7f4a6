"""Validation of URL settings: the only place that decides which URLs are well formed.

Hazard: an unescaped `@` or `/` in a password shifts the boundaries of a URL's parts, so that a piece of the password
becomes the host, the port or the database, which messages name. A URL is refused unless all parsers read it alike, with
a message that holds no part of it (docs/decisions.md, "Strict URLs").
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from sqlalchemy import URL, make_url

from etl_assets.errors import SettingsUrlError

if TYPE_CHECKING:
    from collections.abc import Collection

DAGSTER_URL: Final = "ETL_DAGSTER_DATABASE_URL"
"""Variable that `deploy/dagster.yaml` reads; Dagster's, so not part of `Settings`."""
REMEDY: Final = (
    "In the user and the password, special characters must be percent-encoded:"
    " @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25."
)
FILE_SCHEMES: Final = ("sqlite",)
"""Schemes of URLs with a path and neither host nor password."""
WEB_SCHEMES: Final = ("http", "https")
"""Schemes of URLs whose path may hold an `@`, as Microsoft's webhooks do."""
SECRET_PARAMETERS: Final = ("pass", "secret", "token", "key")
"""Words in names of parameters whose values are hidden."""
HIGHEST_PORT: Final = 65_535

_CHARACTER: Final = r"(?:[^\s\x00-\x1f\x7f@:/?#%\[\]\\]|%(?!00)[0-9A-Fa-f]{2})"
_AUTHORITY: Final = re.compile(
    rf"(?:(?P<user>{_CHARACTER}*)(?P<secret>:{_CHARACTER}*)?@)?"
    rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_CHARACTER}*)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_REST: Final = re.compile(r"(?:/(?:[^\s?#@%]|%[0-9A-Fa-f]{2})*)?(?:\?(?:[^\s#@%]|%[0-9A-Fa-f]{2})*)?")


def checked_url(text: str, setting: str, form: str, schemes: Collection[str], *, needs_host: bool = False) -> str:
    """Return the URL of a setting, stripped, if all parsers split it alike.

    Args:
        text: the value of the setting.
        setting: the name of the setting, for the message.
        form: the expected form, for the message.
        schemes: the allowed schemes; a driver after a `+` is not checked.
        needs_host: whether the URL must name a host.

    Raises:
        SettingsUrlError: the URL is invalid or ambiguous. The message names the setting and holds no part of the URL.
    """
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if (
        not separator
        or scheme.partition("+")[0] not in schemes
        or not _is_unambiguous(scheme, rest, needs_host=needs_host)
    ):
        msg = f"{setting} is not a valid URL: it should be {form}. {REMEDY}"
        raise SettingsUrlError(msg)
    return text


def database_url(text: str, setting: str, form: str, schemes: Collection[str]) -> URL:
    """Parse the URL of a database. Raises `SettingsUrlError` as `checked_url` does."""
    return make_url(checked_url(text, setting, form, schemes))


def check_dagster_url() -> None:
    """Refuse an ambiguous URL of Dagster's own database, parts of which Dagster would log.

    Raises:
        SettingsUrlError: the message names the variable and holds no part of the URL.
    """
    url = os.environ.get(DAGSTER_URL)
    if url:
        checked_url(url, DAGSTER_URL, "postgresql+psycopg2://user:password@host:5432/dagster", ["postgresql"])


def shown(url: URL) -> str:
    """Write a URL for messages, without its password and other secret parameters."""
    hidden = {
        name: "***" for name in url.query if any(part in name.lower() for part in SECRET_PARAMETERS)
    }  # passwords may be parameters
    return url.update_query_dict(hidden).render_as_string(hide_password=url.password is not None)


def _becomes_separator(authority: str) -> bool:
    """Test for characters that are separators in Unicode's compatibility form: `urllib` refuses and quotes them."""
    others = "".join(character for character in authority if not character.isascii())
    return not set("/?#@:").isdisjoint(unicodedata.normalize("NFKC", others))


def _is_unambiguous(scheme: str, rest: str, *, needs_host: bool) -> bool:
    if scheme in FILE_SCHEMES:
        return rest.startswith("/")
    authority = re.match(r"[^/?#]*", rest)
    after = rest[authority.end() :] if authority else ""
    before = rest[: len(rest) - len(after)]
    found = _AUTHORITY.fullmatch(before)
    if found is None or (needs_host and not found["host"]):
        return False
    if _becomes_separator(before):
        return False
    if found["port"] is not None and not 0 < int(found["port"]) <= HIGHEST_PORT:
        return False
    if scheme in WEB_SCHEMES:
        after = after.replace("@", "")
    return _REST.fullmatch(after) is not None
