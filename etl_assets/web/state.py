"""State of the web application and of a visit: built once in `app`, and once a request in `endpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from babel.support import NullTranslations
    from itsdangerous import URLSafeTimedSerializer
    from jinja2 import Environment

    from etl_assets.database.database import Database
    from etl_assets.settings import Settings
    from etl_assets.web.language import Language
    from etl_assets.web.permissions import User
    from etl_assets.web.security.sessions import Sessions


@dataclass(frozen=True)
class WebState:
    """State of the application: what all requests share."""

    settings: Settings
    database: Database
    key: bytes
    """Signing key."""
    sessions: Sessions
    message_signer: URLSafeTimedSerializer
    environments: Mapping[Language, Environment]
    """Jinja environments."""
    translations: Mapping[Language, NullTranslations]


@dataclass(frozen=True)
class Visit:
    """Session and user of a request.

    Attributes:
        session_id: the browser's, from its signed cookie or new.
        is_new: true if the cookie has yet to be set.
        csrf_token: belongs to the session.
        user: None before log-in.
        is_local: true for the user of the operating system, while there are no other users.
        can_log_out: true if the user has logged in here, not at a proxy.
    """

    session_id: str
    is_new: bool
    csrf_token: str
    user: User | None = None
    is_local: bool = False
    can_log_out: bool = False
