"""Users of the web page: names and roles, sessions, attempts to log in, the signing key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def _time(name: str, *, defaults: bool = False) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now() if defaults else None
    )


def upgrade() -> None:
    """Go to this revision: new tables only."""
    op.create_table(
        "web_users",
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="see web.permissions"),
        sa.Column("password_hash", sa.Text(), comment="argon2; null for a user whom a trusted proxy logs in"),
        _time("created_at", defaults=True),
        sa.PrimaryKeyConstraint("user_name", name=op.f("pk_web_users")),
    )
    op.create_table(
        "web_sessions",
        sa.Column(
            "session_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the id in the browser's cookie"
        ),
        sa.Column("user_name", sa.Text(), nullable=False),
        _time("created_at", defaults=True),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_web_sessions")),
    )
    op.create_index(op.f("ix_web_sessions_user_name"), "web_sessions", ["user_name"])
    op.create_table(
        "web_login_attempts",
        sa.Column("subject", sa.LargeBinary(), nullable=False, comment="keyed hash of a name, an address, or both"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="since first_at"),
        _time("first_at"),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_web_login_attempts")),
    )
    op.create_index(op.f("ix_web_login_attempts_first_at"), "web_login_attempts", ["first_at"])
    op.create_table(
        "web_keys",
        sa.Column("key_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="signs cookies and CSRF tokens; random"),
        _time("created_at", defaults=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_web_keys")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    for table in ("web_keys", "web_login_attempts", "web_sessions", "web_users"):
        op.drop_table(table)
