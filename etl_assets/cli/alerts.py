"""`etl-assets alerts`: the channels that deliver alerts about failed runs and checks."""

from __future__ import annotations

import typer

from etl_assets.alerts.alert import Alert
from etl_assets.alerts.notifier import Notifier, configured_channels
from etl_assets.cli.output import FAILED, AsJson, failures_reported, print_json, print_table
from etl_assets.cli.session import load_settings

app = typer.Typer(help="Alerts about failed runs and checks.", no_args_is_help=True, add_completion=False)


@app.callback()
def alerts() -> None:
    """Alerts about failed runs and checks."""


@app.command("test")
def send_test(*, as_json: AsJson = False) -> None:
    """Send a test alert through each configured channel."""
    with failures_reported(as_json=as_json):
        settings = load_settings()
        channels = configured_channels(settings)
        notifier = Notifier(channels)
        notifier.send(
            Alert(
                kind="test",
                title="Test alert",
                text="Alerts about failed runs and failed checks are delivered like this one.",
                url=settings.public_url,
            )
        )
        if as_json:
            states = [{"channel": channel.name, "error": notifier.failures.get(channel.name)} for channel in channels]
            print_json({"ok": not notifier.failures, "channels": states})
        else:
            rows = [[channel.name, notifier.failures.get(channel.name, "sent")] for channel in channels]
            print_table("Alerts", ["channel", "result"], rows)
        if notifier.failures:
            raise typer.Exit(FAILED)
