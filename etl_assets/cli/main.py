"""Command line `etl-assets`: the list of its commands, each in a module of its own beside this one.

A module is imported when one of its commands is called, so that no command waits for the libraries of another.
Commands parse arguments and print results; everything else belongs in the packages that they call.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: Final = {
    "import": (
        "imports",
        "Land files as raw orders. A file that can't be imported lands no row; the others are not affected.",
    ),
    "imports": ("import_history", "Imports: list, show, revert, restore, accept, dismiss."),
    "sources": ("sources", "Orders in other databases: check, pull, reconcile."),
    "run": ("runs", "Run the assets in order, in a Dagster run that the UI shows."),
    "status": (
        "status",
        "Show the last imports and batches, pending rows per asset, stored rows and the open quarantine.",
    ),
    "quarantine": ("quarantine", "Rows that can't be loaded: list, export for correction, replay, dismiss."),
    "leads": ("leads", "Leads: export the list, set the stage."),
    "explain": ("explain", "Explain the state of a lead or an order."),
    "changes": (
        "changes",
        "Show what a run or an import changed: counts per table, and rows with their old and new values.",
    ),
    "presets": ("presets", "Known export formats."),
    "order-types": ("order_types", "Mappings of the shops' order types to SAMPLE, PROOF or BULK."),
    "shops": ("shops", "Shops: their time zone, currency and shown name."),
    "db": ("databases", "Database in use and its migrations."),
    "doctor": (
        "doctor",
        "Check configuration, connection, rights, migrations and the Dagster instance; show remedies.",
    ),
    "web": ("web", "Serve the web page: leads, orders, bad rows, imports, health. Until stopped."),
    "users": ("users", "Users of the web page: their roles and passwords."),
    "ui": ("ui", "Serve the Dagster UI on 127.0.0.1, to its own pages only, until stopped."),
    "dev": ("dev", "Run the code server, the daemon with its sensors, the UI and the web page, until stopped."),
    "alerts": ("alerts", "Alerts about failed runs and checks."),
    "generate": (
        "generate",
        "Write made-up exports in the layouts of platforms, each with its expectation; deterministic for a seed.",
    ),
    "demo": (
        "demo",
        "Generate exports under ETL_HOME/demo, import them, run all assets, print a summary. Safe to repeat.",
    ),
}
"""Commands in the order of the list: the module of this package that holds each as `app`, and what the list says of it.

The list does not import the modules, which takes a second; a test compares its texts with those of the commands.
"""


class LazyGroup(TyperGroup):
    """Group whose commands are imported on demand."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  # the type has no public name
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  # as above
        """Return the command, or None; then all are loaded, so that the message can suggest one."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                module = import_module(f"etl_assets.cli.{COMMANDS[name][0]}")
                command = typer.main.get_command(module.app)
                command.name = name
                self.add_command(command)
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  # as above
        """List the commands without importing them."""
        for name, (_, text) in COMMANDS.items():
            self.commands.setdefault(name, TyperCommand(name, help=text))
        super().format_help(ctx, formatter)


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
