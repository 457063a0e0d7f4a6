"""Blocks of code in the pages of the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

BLOCK: Final = re.compile(r"^```([\w-]*)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it shows (if it names one) and its text."""

    language: str
    file: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page, of these languages if any are given."""
    return blocks_of(page.read_text(encoding="utf-8"), *languages)


def blocks_of(text: str, *languages: str) -> list[Block]:
    """The blocks of a part of a page."""
    found = [Block(*match.groups("")) for match in BLOCK.finditer(text)]
    return [block for block in found if not languages or block.language in languages]
