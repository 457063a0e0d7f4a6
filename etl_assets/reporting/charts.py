"""Charts of figures, drawn with Matplotlib as small PNG files.

Import this module only where a chart is drawn: Matplotlib takes half a second to import. No state of pyplot is used, so
that charts can be drawn in any thread. The ground is transparent and texts are readable on white and on black: the UI
has a light and a dark theme. Reading figures and composing pages belong in `figures` and `pages`.
"""

from __future__ import annotations

import datetime as dt
import io
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

WIDTH: Final = 6.4
DPI: Final = 110
COLOURS: Final = 32
INK: Final = "#747b85"
COLOUR: Final = "#4a7dbd"
GROUND: Final = (0.5, 0.55, 0.6, 0.14)

LATIN: Final = "DejaVu Sans"
"""Bundled with Matplotlib."""
CHINESE: Final = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip
"""Fonts with Chinese glyphs; the first that is installed is used."""


@cache
def families() -> tuple[str, ...]:
    """Return the fonts to draw with: each glyph is taken from the first that has it."""
    return (LATIN, *(_installed_chinese() or _newly_installed_chinese())[:1])


def _installed_chinese() -> list[str]:
    """Return the fonts of `CHINESE` that Matplotlib knows, in that order."""
    known = {font.name for font in fontManager.ttflist}
    return [name for name in CHINESE if name in known]


def _newly_installed_chinese() -> list[str]:
    """Return the same after a search of the system's folders.

    Hazard: Matplotlib keeps its list of fonts in a file and never looks again, so that a font that was installed since
    would not be found until that file is deleted.
    """
    known = {font.fname for font in fontManager.ttflist}
    for path in set(findSystemFonts()) - known:
        with suppress(OSError, RuntimeError):  # a file that is no font, or of a kind that Matplotlib can't read
            fontManager.addfont(path)
    return _installed_chinese()


def is_drawable(text: str) -> bool:
    """Return whether the installed fonts have a glyph for every character of a text."""
    fonts = [get_font(fontManager.findfont(FontProperties(family=name))) for name in families()]
    return all(any(font.get_char_index(ord(character)) for font in fonts) for character in text)


def short(number: float) -> str:
    """Write a number in at most four digits: 950, 1.2k, 35k, 4.1M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if abs(scaled) < 9.95 else f"{scaled:.0f}{unit}"  # noqa: PLR2004  # two digits
    return f"{number:.0f}"


def draw_rates(rates: Sequence[float]) -> bytes:
    """Draw bars without text in two colours: some hundred bytes, small enough for the UI to show in place."""
    figure = Figure(figsize=(2.6, 0.36), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    _bars(axes, rates)
    axes.set_xlim(-0.5, max(len(rates), 20) - 0.5)
    axes.set_ylim(0, max(rates))
    return _png(figure, colours=2)


def draw_funnel(stages: Sequence[tuple[str, int, str]], leads: int) -> bytes:
    """Draw the share of leads that have orders of each type, given as (type, leads with such orders, label)."""
    figure, axes = _figure(1.9, (0.1, 0.02, 0.88, 0.83), f"How many of the {leads:,} leads have orders of each type")
    for place, (name, count, text) in enumerate(stages):
        bar = [place + 0.12, place + 0.36]
        axes.stairs([leads], bar, orientation="horizontal", fill=True, color=GROUND)
        axes.stairs([count], bar, orientation="horizontal", fill=True, color=COLOUR)
        axes.text(0, place, text, ha="left", va="bottom", **_font(8.5))
        axes.text(-leads * 0.008, place + 0.24, name, ha="right", va="center_baseline", **_font(9))
    axes.set_xlim(0, leads)
    axes.set_ylim(len(stages) - 0.5, -0.5)
    return _png(figure)


def draw_shops(shops: Sequence[tuple[str, int]], title: str) -> bytes:
    """Draw orders per shop, given as (name, orders), the largest first."""
    height = 0.5 + 0.22 * len(shops)
    figure, axes = _figure(height, (0.33, 0.06 / height, 0.57, (height - 0.42) / height), title)
    _bars(axes, [count for _, count in shops], across=True)
    most = max(count for _, count in shops)
    for place, (name, count) in enumerate(shops):
        axes.text(count, place, f" {count:,}", ha="left", va="center_baseline", **_font(8))
        axes.text(
            -0.01 * most,
            place,
            name,
            ha="right",
            va="center_baseline",
            **_font(8.5, fonts=(LATIN,) if name.isascii() else families()),
        )
    axes.set_xlim(0, most)
    axes.set_ylim(len(shops) - 0.4, -0.6)
    return _png(figure)


def draw_days(days: Sequence[tuple[dt.date, int]], title: str, *, slots: int) -> bytes:
    """Draw orders per day, given as (day, orders), the oldest first; days that are left out had none.

    The axis always has `slots` days and ends with the last of `days`, so that charts can be compared.
    """
    last = days[-1][0]
    first = last - dt.timedelta(days=slots - 1)
    figure, axes = _figure(1.9, (0.07, 0.14, 0.91, 0.68), title)
    counts = [0] * slots
    for day, count in days:
        counts[(day - first).days] = count
    most = max(counts)
    axes.stairs(counts, fill=True, color=COLOUR)
    axes.set_xlim(0, slots)
    axes.set_ylim(0, most)
    axes.plot((0, slots), (0, 0), color=INK, linewidth=0.8, clip_on=False)
    for height in (0, most):
        axes.text(-0.01, height / most, short(height), ha="right", va="center", transform=axes.transAxes, **_font(8))
    for day, side in ((first, "left"), (first + dt.timedelta(days=slots // 2), "center"), (last, "right")):
        place = {"left": 0.0, "center": 0.5, "right": 1.0}[side]
        axes.text(place, -0.04, day.isoformat(), ha=side, va="top", transform=axes.transAxes, **_font(8))
    return _png(figure)


def _figure(height: float, box: tuple[float, float, float, float], title: str) -> tuple[Figure, Axes]:
    """Return a figure of `height` inches with a title only, and its axes in `box` (left, bottom, width, height)."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    figure.text(0.01, 1 - 0.08 / height, title, ha="left", va="top", **_font(9))
    return figure, axes


def _bars(axes: Axes, values: Sequence[float], *, across: bool = False) -> None:
    """Draw bars at 0, 1, … as one shape, which is much faster than a shape for each."""
    edges = [place + side for place in range(len(values)) for side in (-0.35, 0.35)]
    steps = [step for value in values for step in (value, 0)][:-1]
    axes.stairs(
        steps, edges, orientation="horizontal" if across else "vertical", fill=True, color=COLOUR, antialiased=False
    )


def _font(size: float, colour: str = INK, fonts: Sequence[str] = (LATIN,)) -> dict[str, Any]:
    """Return text properties; dollar signs start no formula."""
    return {"fontsize": size, "color": colour, "fontfamily": list(fonts), "parse_math": False}


def _png(figure: Figure, *, colours: int = COLOURS) -> bytes:
    """Render as PNG in few colours, on a transparent ground: a third of the size."""
    figure.patch.set_alpha(0)
    canvas: Any = FigureCanvasAgg(figure)  # Matplotlib has no types for it
    canvas.draw()
    # The other ways to choose the colours know no transparency.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).quantize(colours, Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
