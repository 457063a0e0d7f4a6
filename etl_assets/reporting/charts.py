"""Charts of figures as SVG: texts and paths that the browser draws, with its own fonts.

Pure functions of numbers and texts: drawing takes less than a millisecond and imports nothing (docs/decisions.md,
"Charts"). The ground is transparent and texts are readable on white and on black: the UI has a light and a dark theme.
Reading figures and composing pages belong in `figures` and `pages`.
"""

from __future__ import annotations

import datetime as dt
import re
from html import escape
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 704
INK: Final = "#747b85"
COLOUR: Final = "#4a7dbd"
GROUND: Final = "#808c9924"
TITLE: Final = 14
LABEL: Final = 13
"""Sizes of the texts in pixels."""

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even escaped: one of them and a browser shows no picture."""


def short(number: float) -> str:
    """Write a number in at most four digits: 950, 1.2k, 35k, 4.1M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if abs(scaled) < 9.95 else f"{scaled:.0f}{unit}"  # noqa: PLR2004  # two digits
    return f"{number:.0f}"


def draw_rates(rates: Sequence[float]) -> str:
    """Draw bars without text: some hundred bytes, small enough for the UI to show in place."""
    slot, height, most = 13, 36, max(rates)
    tops = (round(height * (1 - rate / most)) for rate in rates)
    bars = "".join(f"M{place * slot} {height}V{top}h9V{height}" for place, top in enumerate(tops))
    return _svg(max(len(rates), 20) * slot, height, _path(bars))


def draw_funnel(stages: Sequence[tuple[str, int, str]], leads: int) -> str:
    """Draw the share of leads that have orders of each type, given as (type, leads with such orders, label)."""
    left, full, top, step, thick = 70, 620, 52, 56, 14
    parts = [_title(f"How many of the {leads:,} leads have orders of each type")]
    for place, (name, count, label) in enumerate(stages):
        y = top + place * step
        parts += [
            _text(left, y, label),
            _path(f"M{left} {y + 7}h{full}v{thick}h-{full}z", GROUND),
            _path(f"M{left} {y + 7}h{_number(full * count / leads)}v{thick}H{left}z"),
            _text(left - 6, y + 18, name, "end"),
        ]
    return _svg(WIDTH, top + len(stages) * step - 12, *parts)


def draw_shops(shops: Sequence[tuple[str, int]], title: str) -> str:
    """Draw orders per shop, given as (name, orders), the largest first."""
    left, full, top, step, thick = 232, 400, 32, 24, 17
    most = max(count for _, count in shops)
    parts = [_title(title)]
    for place, (name, count) in enumerate(shops):
        y, width = top + place * step, full * count / most
        parts += [
            _text(left - 6, y + 13, name, "end"),
            _path(f"M{left} {y}h{_number(width)}v{thick}H{left}z"),
            _text(left + width + 5, y + 13, f"{count:,}"),
        ]
    return _svg(WIDTH, top + len(shops) * step, *parts)


def draw_days(days: Sequence[tuple[dt.date, int]], title: str, *, slots: int) -> str:
    """Draw orders per day, given as (day, orders), the oldest first; days that are left out had none.

    The axis always has `slots` days and ends with the last of `days`, so that charts can be compared.
    """
    last = days[-1][0]
    first = last - dt.timedelta(days=slots - 1)
    left, full, top, ground = 50, 640, 40, 180
    counts = [0] * slots
    for day, count in days:
        counts[(day - first).days] = count
    most = max(counts)
    edges = (_number(left + full * place / slots) for place in range(1, slots + 1))
    heights = (_number(ground - (ground - top) * count / most) for count in counts)
    steps = "".join(f"V{height}H{edge}" for height, edge in zip(heights, edges, strict=True))
    middle = first + dt.timedelta(days=slots // 2)
    return _svg(
        WIDTH,
        ground + 28,
        _title(title),
        _path(f"M{left} {ground}{steps}V{ground}z"),
        _path(f"M{left} {ground}h{full}v1h-{full}z", INK),
        _text(left - 7, top + 5, short(most), "end"),
        _text(left - 7, ground + 5, "0", "end"),
        _text(left, ground + 20, first.isoformat()),
        _text(left + full / 2, ground + 20, middle.isoformat(), "middle"),
        _text(left + full, ground + 20, last.isoformat(), "end"),
    )


def _svg(width: int, height: int, *parts: str) -> str:
    """Return a picture of the parts on a transparent ground, `width` by `height` pixels."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'


def _title(text: str) -> str:
    return _text(7, 18, text, size=TITLE)


def _text(x: float, y: float, text: str, anchor: Literal["start", "middle", "end"] = "start", size: int = LABEL) -> str:
    """Return a text whose baseline starts, has its middle or ends at a place."""
    font = f'font-family="sans-serif" font-size="{size}" fill="{INK}" text-anchor="{anchor}"'
    return f'<text x="{_number(x)}" y="{_number(y)}" {font}>{escape(_NO_XML.sub("", text))}</text>'


def _path(steps: str, colour: str = COLOUR) -> str:
    return f'<path fill="{colour}" d="{steps}"/>'


def _number(value: float) -> str:
    """Write a coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
