"""Command line `etl-assets`: the list of its commands, each in a module of its own beside this one.

A module is imported when one of its commands is called, so that no command waits for the libraries of another.
Commands parse arguments and print results; everything else belongs in the packages that they call.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

MODULES: Final = {
    "import": "imports",
    "imports": "import_history",
    "sources": "sources",
    "run": "runs",
    "status": "status",
    "quarantine": "quarantine",
    "explain": "explain",
    "presets": "presets",
    "order-types": "order_types",
    "shops": "shops",
    "db": "databases",
    "doctor": "doctor",
    "ui": "ui",
    "dev": "dev",
    "alerts": "alerts",
    "generate": "generate",
    "demo": "demo",
}
"""Commands in the order of the help, and the module of this package that holds each as `app`."""


class LazyGroup(TyperGroup):
    """Group whose commands are imported on demand."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  # the type has no public name
        """Return the names of the commands."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  # as above
        """Return the command, or None; then all are loaded, so that the message can suggest one."""
        for name in [cmd_name] if cmd_name in MODULES else MODULES:
            if name not in self.commands:
                module = import_module(f"etl_assets.cli.{MODULES[name]}")
                command = typer.main.get_command(module.app)
                command.name = name
                self.add_command(command)
        return self.commands.get(cmd_name)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # Typer calls it by position
    if wanted:
        typer.echo(version("etl-assets"))
        raise typer.Exit


@app.callback()
def main(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn raw orders of webshops into shops, orders, items, processes, customers and leads.

    Exit codes: 0 done, 1 failed, 2 wrong use. Settings come from the environment or from .env.
    """
