"""Sheets of a workbook that one preset reads, such as a sheet per month (`each_sheet`): which they are.

Each is an import of its own. A preset for each of several different sheets does not belong here (`presets.detect`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_assets.raw_orders.findings import Finding
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.file_reader import FileContent, ImportFile


def presets_of_each_sheet(file: ImportFile, preset: Preset) -> list[tuple[Preset, Sequence[str] | None]]:
    """Return the preset for each sheet of a workbook that has its headers, with these; else the preset itself.

    Raises `ImportFileError` where the file can't be read.
    """
    if not preset.each_sheet:
        return [(preset, None)]
    fitting = _fitting(file.content(preset), preset)
    return [(preset.model_copy(update={"sheets": (name,)}), headers) for name, headers in fitting] or [(preset, None)]


def sheets_without_headers(content: FileContent, preset: Preset) -> list[Finding]:
    """Return a finding about the sheets that are not read; of the first sheet's import only."""
    fitting = _fitting(content, preset)
    others = len(content.sheets) - len(fitting)
    is_first = any(preset.sheets == (name,) for name, _ in fitting[:1])
    return [Finding("SHEETS_WITHOUT_HEADERS", count=others)] if others and is_first else []


def _fitting(content: FileContent, preset: Preset) -> list[tuple[str, tuple[str, ...]]]:
    expected = ExpectedFormat.of_preset(preset)
    return [(name, headers) for name, headers in content.sheets if name and expected.count_matches(headers)]
