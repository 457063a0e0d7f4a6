"""Expectations of the parent process of a file: the notation and the headers that a preset, or any preset, prescribes.

The child process gets it with its requests; it finds encoding, delimiter, sheet and header row by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from etl_assets.limits import MAX_COLUMNS
from etl_assets.presets.headers import normal_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.presets.model import Preset


@dataclass(frozen=True)
class ExpectedFormat:
    """Format that a file is expected to have; the default expects nothing but headers in the first filled row."""

    encodings: tuple[str, ...] = ()
    """Encodings to try in this order; empty where they are to be guessed."""
    delimiter: str = ","
    header_sets: tuple[tuple[str, ...], ...] = ()
    """A row that has all headers of any set is the header row."""
    mapped: tuple[str, ...] = ()
    """Headers whose values are used: each may occur once only."""
    skip_rows_matching: tuple[str, ...] = ()
    """Patterns of rows to leave out, whatever cells they have."""
    sheets: tuple[str, ...] = ()
    """Names of the sheet to read, where a workbook has one of them."""

    @classmethod
    def of_preset(cls, preset: Preset) -> Self:
        """Return the format of a preset: the header row has the order number, or any mapped column without one.

        Where rows are numbered, it has a set of `detect_headers`: a word of a title is no header row.
        """
        mapped = tuple(dict.fromkeys(header for one in preset.mappings.values() for header in one.headers))
        number = preset.columns["order_id"]
        required = number.headers if number.constant is None else mapped
        sets: tuple[tuple[str, ...], ...] = tuple((header,) for header in required)
        if number.number_rows_by:
            sets = preset.detect_headers or tuple((header,) for header in mapped)
        skipped = tuple(pattern.matches for pattern in preset.skip_rows_matching if not pattern.when)
        return cls(preset.encodings, preset.delimiter, sets, mapped, skipped, preset.sheets)

    @classmethod
    def of_any(cls, presets: Iterable[Preset]) -> Self:
        """Return the format for detecting a preset: the header row has a set of `detect_headers`."""
        return cls(header_sets=tuple(wanted for preset in presets for wanted in preset.detect_headers))

    @classmethod
    def from_request(cls, fields: dict[str, Any]) -> Self:
        """Return the format that `as_request` wrote, after its way through JSON."""
        return cls(
            tuple(fields["encodings"]),
            fields["delimiter"],
            tuple(map(tuple, fields["header_sets"])),
            tuple(fields["mapped"]),
            tuple(fields["skip_rows_matching"]),
            tuple(fields["sheets"]),
        )

    def as_request(self) -> dict[str, Any]:
        """Return the format as the child process gets it."""
        return {
            "encodings": self.encodings,
            "delimiter": self.delimiter,
            "header_sets": self.header_sets,
            "mapped": self.mapped,
            "skip_rows_matching": self.skip_rows_matching,
            "sheets": self.sheets,
        }

    def count_matches(self, cells: Sequence[str]) -> int:
        """Count the expected headers that a row has; 0 where it lacks one of every set."""
        if len(cells) > MAX_COLUMNS:
            return 0
        present = {normal_header(cell) for cell in cells}
        largest = max((len(wanted) for wanted in self._normal_sets if wanted <= present), default=0)
        return largest + len(self._normal_mapped & present) if largest else 0

    def is_named(self, sheet: str) -> bool:
        """Test that the format names the sheet."""
        return normal_header(sheet) in map(normal_header, self.sheets)

    def is_mapped(self, header: str) -> bool:
        """Test that the values of a header are used."""
        return normal_header(header) in self._normal_mapped

    @cached_property
    def _normal_sets(self) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(map(normal_header, wanted)) for wanted in self.header_sets)

    @cached_property
    def _normal_mapped(self) -> frozenset[str]:
        return frozenset(map(normal_header, self.mapped))
