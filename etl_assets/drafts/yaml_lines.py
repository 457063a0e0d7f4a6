"""Lines of YAML: scalars, lists and comments of a drafted mapping. Deciding what they say does not belong here."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH: Final = 110
COMMENT_AT: Final = 34
_PLAIN: Final = re.compile(r"[^\W\d][\w. -]*[\w.]|[^\W\d]")


def scalar(text: str) -> str:
    """Write a text as a YAML scalar on one line, quoted where it has to be."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))
    return quoted.strip()


def line(text: str, told: str = "") -> str:
    """Return a line, with a comment at its end."""
    return f"{text:<{COMMENT_AT}}  # {told}" if told else text


def comment(text: str, indent: str = "") -> list[str]:
    """Return a comment as lines."""
    start = f"{indent}# "
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
    )


def listed(texts: Iterable[str]) -> str:
    """Write texts as a YAML list on one line."""
    return f"[{', '.join(map(scalar, texts))}]"


def one_or_listed(texts: Sequence[str]) -> str:
    """Write a single text as a scalar, several as a list."""
    return scalar(texts[0]) if len(texts) == 1 else listed(texts)
