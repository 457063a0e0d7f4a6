"""Permissions of the web page's users: one table of roles.

Each route names the permission that it needs (`page.PageRoute`), and templates ask `user.can(…)` before they offer an
action. Sessions and passwords are in `security`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """Permission that a route may need."""

    SEE = "see"
    """Pages, searches and exports."""
    SET_STAGE = "set stage"
    SAVE_VIEWS = "save views"
    CORRECT_ROWS = "correct rows"
    """Corrections, replays and dismissals of quarantined rows."""
    MANAGE_IMPORTS = "manage imports"
    """Uploads; revert, restore and accept of imports."""
    CONFIGURE = "configure"
    """Order types and shops."""
    ADMINISTER = "administer"
    """Users, and the log of user actions."""


class Role(StrEnum):
    """Role of a user."""

    VIEWER = "viewer"
    SALES = "sales"
    OPERATOR = "operator"
    ADMIN = "admin"


_SALES: Final = frozenset({Permission.SEE, Permission.SET_STAGE, Permission.SAVE_VIEWS})
_OPERATOR: Final = _SALES | {Permission.CORRECT_ROWS, Permission.MANAGE_IMPORTS, Permission.CONFIGURE}

PERMISSIONS_OF: Final[dict[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.SEE}),
    Role.SALES: _SALES,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _OPERATOR | {Permission.ADMINISTER},
}


@dataclass(frozen=True)
class User:
    """User of the page: of `users add`, of a trusted proxy, or of the operating system."""

    name: str
    role: Role

    def can(self, permission: Permission | str) -> bool:
        """Return whether the role includes a permission. Raises `ValueError` for an unknown one."""
        return Permission(permission) in PERMISSIONS_OF[self.role]
