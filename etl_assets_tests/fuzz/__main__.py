"""`python -m etl_assets_tests.fuzz`: odd values and files for some minutes; exit code 1 where something is wrong."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from etl_assets.database import embedded, migrate
from etl_assets.run.registry import build_services
from etl_assets.settings import Settings
from etl_assets_tests.fuzz.known import KNOWN
from etl_assets_tests.fuzz.rounds import Round
from etl_assets_tests.fuzz.session import Session


def main() -> int:
    """Run a session; returns the exit code."""
    options = _options()
    folder = options.folder.resolve() / f"seed-{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    directory = folder / "postgres" / "data"
    url = embedded.start(directory)
    services = build_services(Settings(home=folder, database_url=url.render_as_string(hide_password=False)))
    migrate.upgrade(services.database)
    session = Session(services, folder, options.seed, options.rows, _say)
    _say(f"seed {options.seed}, {options.rows} rows a round, files in {folder}")
    for fault, what in KNOWN.items():
        _say(f"left out as known ({fault}): {what}")
    try:
        if options.replay:
            session.try_round(Round.load(options.replay), options.replay.stem)
        else:
            ends_at = time.monotonic() + options.minutes * 60
            session.run(first=options.first, until=lambda so_far: _is_over(so_far, options, ends_at))
    finally:
        services.database.dispose()
        embedded.stop(directory)
    rate = session.cells / max(session.seconds, 1e-9) * 60
    _say(f"{session.rounds} rounds, {session.lines} rows, {session.cells} values, {rate:,.0f} values a minute")
    return 1 if session.failures else 0


def _is_over(session: Session, options: argparse.Namespace, ends_at: float) -> bool:
    if session.rounds and session.rounds % 20 == 0:
        _say(f"round {options.first + session.rounds}: {session.cells} values, nothing found")
    if options.values:
        return session.cells >= int(options.values)
    return session.rounds >= int(options.rounds) if options.rounds else time.monotonic() > ends_at


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m etl_assets_tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--values", type=int, help="how many values, however long it takes")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what decides all that is drawn")
    parser.add_argument("--rows", type=int, default=5_000, help="rows a round (default: 5000)")
    parser.add_argument("--replay", type=Path, help="a round that was kept")
    parser.add_argument("--folder", type=Path, default=Path(".etl/fuzz"), help="where files and the database lie")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
