"""Detection of a file's preset by its headers, and the presets that come nearest where none fits.

Pure. Headers are compared by their normal form (`headers`). Reading the headers does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_assets.presets.headers import nearest, normal_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.presets.model import Preset

NEAR_SHARE: Final = 0.5
"""Share of a preset's headers that a file has if the preset comes near."""
MOST_SHOWN: Final = 3
MOST_MISSING_SHOWN: Final = 5


@dataclass(frozen=True)
class NearPreset:
    """Preset that nearly fits the headers of a file."""

    name: str
    missing: tuple[str, ...]
    """Headers by which it is detected and that the file lacks."""
    similar: dict[str, str]
    """Of the missing ones, those for which the file has a header like them."""

    def __str__(self) -> str:
        """Return the name with the missing headers, for a message."""
        shown = [
            repr(header) + (f" (did you mean {self.similar[header]!r}?)" if header in self.similar else "")
            for header in self.missing[:MOST_MISSING_SHOWN]
        ]
        further = len(self.missing) - len(shown)
        return f"{self.name}, for which it lacks {' and '.join(shown)}" + (f" and {further} more" if further else "")

    def as_dict(self) -> dict[str, object]:
        """Return the preset for JSON."""
        return {"preset": self.name, "lacks": self.missing, "did_you_mean": self.similar}


def detect_preset(headers: Iterable[str], presets: Iterable[Preset]) -> Preset | None:
    """Return the preset with a set of `detect_headers` that are all present; None where there is none.

    Of several the one with the largest set; of those the first.
    """
    present = tuple(headers)
    fitting = [(len(matching_headers(present, preset)), preset) for preset in presets]
    return max((one for one in fitting if one[0]), key=lambda one: one[0], default=(0, None))[1]


def matching_headers(headers: Iterable[str], preset: Preset) -> tuple[str, ...]:
    """Return the largest set of a preset's `detect_headers` that are all present; empty where there is none."""
    present = {normal_header(header) for header in headers}
    fitting = (wanted for wanted in preset.detect_headers if present >= set(map(normal_header, wanted)))
    return max(fitting, key=len, default=())


def presets_of_sheets(
    sheets: Iterable[tuple[str, Sequence[str]]], presets: Sequence[Preset], first: Preset
) -> list[tuple[Preset, Sequence[str]]]:
    """Return the presets that take a sheet of a workbook besides the one that it was detected as.

    Only presets that name their sheet do: another sheet may hold the same orders once more.

    Args:
        sheets: names and headers.
        presets: all there are.
        first: the one that was detected.

    Returns:
        The presets, each with the headers of its sheet.
    """
    found: dict[str, tuple[Preset, Sequence[str]]] = {}
    for name, headers in sheets:
        naming = [preset for preset in presets if normal_header(name) in map(normal_header, preset.sheets)]
        preset = detect_preset(headers, naming)
        if preset is not None and preset.name != first.name:
            found.setdefault(preset.name, (preset, headers))
    return list(found.values())


def nearest_presets(headers: Sequence[str], presets: Iterable[Preset]) -> list[NearPreset]:
    """Return the presets of whose headers a file has at least half, those with most of them first.

    Either of those that it is detected by, or of all that it reads.
    """
    found = []
    for preset in presets:
        near = [(_share_missing(headers, wanted), wanted) for wanted in preset.detect_headers]
        share, wanted = min(near, key=lambda one: one[0], default=(1.0, ()))
        read = {header for one in (*preset.columns.values(), *preset.item.values()) for header in one.headers}
        share = min(share, _share_missing(headers, sorted(read))) if wanted and read else share
        if share <= 1 - NEAR_SHARE:
            found.append((share, preset.name, _missing(headers, wanted)))
    return [_near(name, missing, headers) for _, name, missing in sorted(found)[:MOST_SHOWN]]


def _near(name: str, missing: tuple[str, ...], headers: Sequence[str]) -> NearPreset:
    alike = {header: nearest(header, headers) for header in missing}
    return NearPreset(name, missing, {header: found for header, found in alike.items() if found is not None})


def _missing(headers: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    present = {normal_header(header) for header in headers}
    return tuple(header for header in wanted if normal_header(header) not in present)


def _share_missing(headers: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the share of the wanted headers that are missing; one that has a like header counts half."""
    missing = _missing(headers, wanted)
    alike = sum(nearest(header, headers) is not None for header in missing)
    return (len(missing) - alike / 2) / len(wanted)
