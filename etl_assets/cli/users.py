"""`etl-assets users`: who may use the web page, and in which role."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl_assets.cli.output import AsJson, WrongUseError, failures_reported, note, print_json, print_records, say
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.web.permissions import Role  # noqa: TC001  # Typer reads the annotations

if TYPE_CHECKING:
    from etl_assets.settings import Settings

app = typer.Typer(help="Users of the web page: their roles and passwords.", no_args_is_help=True, add_completion=False)

COLUMNS: Final = ("user_name", "role", "has_password", "created_at", "logged_in_at")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user, as it is entered at log-in.")]


@app.command("list")
def list_all(*, as_json: AsJson = False) -> None:
    """List the users, their roles, and when those who are logged in did so."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        from etl_assets.web.security.users import list_users  # noqa: PLC0415  # argon2 is not needed by `--help`

        with database.transaction() as connection:
            users = list_users(connection)
        if as_json:
            print_json({"users": users})
        else:
            print_records("Users", users, COLUMNS)
            if not users:
                note("Without users, the web page answers on this machine only, to its user as administrator.")


@app.command("add")
def add(
    name: Name,
    *,
    role: Annotated[Role, typer.Option(help="What the user may do: see docs/web.md.")],
    no_password: Annotated[bool, typer.Option("--no-password", help="A trusted proxy logs this user in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a user. The password is asked for, or taken from ETL_USER_PASSWORD."""
    with failures_reported(as_json=as_json):
        from etl_assets.web.security import users  # noqa: PLC0415  # as above

        settings = load_settings()
        password_hash = None if no_password else _new_password_hash(settings)
        with opened_database(settings) as database, database.transaction() as connection:
            users.add_user(connection, name, role, password_hash)
        _report({"user_name": name, "role": role, "has_password": password_hash is not None}, "added", as_json=as_json)


@app.command("remove")
def remove(name: Name, *, as_json: AsJson = False) -> None:
    """Remove a user, and end its sessions."""
    with failures_reported(as_json=as_json):
        from etl_assets.web.security import users  # noqa: PLC0415  # as above

        with opened_database(load_settings()) as database, database.transaction() as connection:
            users.remove_user(connection, name)
            is_last = not users.list_users(connection)
        _report({"user_name": name}, "removed", as_json=as_json)
        if is_last:
            note("No users are left: the web page now answers on this machine only, to its user as administrator.")


@app.command("password")
def password(name: Name, *, as_json: AsJson = False) -> None:
    """Set a user's password, and end its sessions. It is asked for, or taken from ETL_USER_PASSWORD."""
    with failures_reported(as_json=as_json):
        from etl_assets.web.security import users  # noqa: PLC0415  # as above

        settings = load_settings()
        password_hash = _new_password_hash(settings)
        with opened_database(settings) as database, database.transaction() as connection:
            users.set_password(connection, name, password_hash)
        _report({"user_name": name}, "has a new password", as_json=as_json)


@app.command("role")
def role(name: Name, role: Annotated[Role, typer.Argument(help="The new role.")], *, as_json: AsJson = False) -> None:
    """Set a user's role; it counts from the next request on."""
    with failures_reported(as_json=as_json):
        from etl_assets.web.security import users  # noqa: PLC0415  # as above

        with opened_database(load_settings()) as database, database.transaction() as connection:
            users.set_role(connection, name, role)
        _report({"user_name": name, "role": role}, f"is now {role}", as_json=as_json)


def _new_password_hash(settings: Settings) -> str:
    """Return the hash of the password that is set or entered; it is never an argument, which `ps` would show."""
    from etl_assets.web.security.passwords import hash_password  # noqa: PLC0415  # as above

    if settings.user_password is not None:
        return hash_password(settings.user_password.get_secret_value())
    if not sys.stdin.isatty():
        msg = "There is no terminal to ask for the password: set ETL_USER_PASSWORD."
        raise WrongUseError(msg)
    return hash_password(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _report(user: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"user": user})
    else:
        say(f"User {user['user_name']}: {what}.")
