"""`etl-assets alerts`: how people are told of failed runs and checks."""

from __future__ import annotations

import typer

from etl_assets.alerts.alert import Alert
from etl_assets.alerts.notifier import Notifier, channels
from etl_assets.cli.output import FAILED, AsJson, failures_reported, print_json, print_table
from etl_assets.cli.session import load_settings

app = typer.Typer(help="How people are told of failed runs and checks.", no_args_is_help=True, add_completion=False)


@app.callback()
def alerts() -> None:
    """Make this a group, although it has one command."""


@app.command("test")
def send_test(*, as_json: AsJson = False) -> None:
    """Send a test alert through each configured channel."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        through = channels(settings)
        delivery = Notifier(through)
        delivery.send(
            Alert(
                kind="test",
                title="Test of the alerts",
                text="Notices of failed runs and failed checks come this way.",
                url=settings.public_url,
            )
        )
        if as_json:
            states = [{"channel": channel.name, "error": delivery.failures.get(channel.name)} for channel in through]
            print_json({"ok": not delivery.failures, "channels": states})
        else:
            rows = [[channel.name, delivery.failures.get(channel.name, "sent")] for channel in through]
            print_table("Notices", ["channel", "result"], rows)
        if delivery.failures:
            raise typer.Exit(FAILED)
