"""URLs among the settings: the one place that says which are well formed, so that no parser reads one as it stands.

A password with an unescaped `@` or `/` moves the borders of the parts: a piece of it becomes the host, the port or the
database, which messages name. So such a URL is refused, in words that hold no part of it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import URL, make_url

from etl_assets.errors import SettingsUrlError

if TYPE_CHECKING:
    from collections.abc import Collection

DAGSTER_URL: Final = "ETL_DAGSTER_DATABASE_URL"
"""The variable that `deploy/dagster.yaml` reads: Dagster's, so it is none of `Settings`."""
REMEDY: Final = (
    "In the user and the password, special characters must be percent-encoded:"
    " @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25."
)
FILE_SCHEMES: Final = ("sqlite",)
"""Those whose URLs hold a path and neither host nor password."""
WEB_SCHEMES: Final = ("http", "https")
"""Those whose paths may hold an `@`: Microsoft's webhooks do."""
SECRET_PARAMETERS: Final = ("pass", "secret", "token", "key")
"""Words in the names of parameters whose values are not shown."""
HIGHEST_PORT: Final = 65_535

_CHARACTER: Final = r"(?:[^\s\x00-\x1f\x7f@:/?#%\[\]\\]|%(?!00)[0-9A-Fa-f]{2})"
_AUTHORITY: Final = re.compile(
    rf"(?:(?P<user>{_CHARACTER}*)(?P<secret>:{_CHARACTER}*)?@)?"
    rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_CHARACTER}*)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_REST: Final = re.compile(r"(?:/(?:[^\s?#@%]|%[0-9A-Fa-f]{2})*)?(?:\?(?:[^\s#@%]|%[0-9A-Fa-f]{2})*)?")


def checked_url(text: str, setting: str, form: str, schemes: Collection[str], *, needs_host: bool = False) -> str:
    """The URL of a setting, if every reader of URLs takes it apart in the same way.

    Args:
        text: the setting's value.
        setting: its name, for the message.
        form: what it should look like, for the message.
        schemes: those that it may have; a driver after a `+` is left to whoever uses it.
        needs_host: whether it must name a host.

    Raises:
        SettingsUrlError: it is none, or not unambiguous. The message names the setting and holds no part of the URL.
    """
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.partition("+")[0] not in schemes or not _is_whole(scheme, rest, needs_host=needs_host):
        msg = f"{setting} is no URL that can be used: it should be {form}. {REMEDY}"
        raise SettingsUrlError(msg)
    return text


def database_url(text: str, setting: str, form: str, schemes: Collection[str]) -> URL:
    """The URL of a database. Raises `SettingsUrlError` as `checked_url` does."""
    return make_url(checked_url(text, setting, form, schemes))


def check_dagster_url() -> None:
    """Refuse a URL of Dagster's own database that Dagster would take apart otherwise than it was meant, and then show.

    Raises:
        SettingsUrlError: it names the variable and holds no part of the URL.
    """
    url = os.environ.get(DAGSTER_URL)
    if url:
        checked_url(url, DAGSTER_URL, "postgresql+psycopg2://user:password@host:5432/dagster", ["postgresql"])


def shown(url: URL) -> str:
    """A URL as people may see it: without its password, wherever that stands."""
    hidden = {
        name: "***" for name in url.query if any(part in name.lower() for part in SECRET_PARAMETERS)
    }  # a client may give its password as a parameter
    return url.update_query_dict(hidden).render_as_string(hide_password=url.password is not None)


def _is_whole(scheme: str, rest: str, *, needs_host: bool) -> bool:
    if scheme in FILE_SCHEMES:
        return rest.startswith("/")
    authority = re.match(r"[^/?#]*", rest)
    after = rest[authority.end() :] if authority else ""
    found = _AUTHORITY.fullmatch(rest[: len(rest) - len(after)])
    if found is None or (needs_host and not found["host"]):
        return False
    if found["port"] is not None and not 0 < int(found["port"]) <= HIGHEST_PORT:
        return False
    if scheme in WEB_SCHEMES:
        after = after.replace("@", "")
    return _REST.fullmatch(after) is not None
