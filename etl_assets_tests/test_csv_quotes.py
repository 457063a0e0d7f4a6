"""The check of quotes in delimited text: the quick way and the pattern agree, and blocks of bytes are cut rightly."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_assets.raw_orders.readers import csv_dialect
from etl_assets.raw_orders.readers.csv_dialect import Dialect, check_text
from etl_assets.raw_orders.readers.csv_quotes import check_quotes, complete_cells, end_of_plain_cells
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.header_row import HeaderRow

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH: Final = Path("a.csv")
PIECES: Final = ('"', '"', '""', ",", ",", "\n", "\r\n", "a", 'b"', "店", "🌿")
TEXTS: Final = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


@given(TEXTS)
@example('"a",b\n"c ""d""",""\n')
@example('a,"b')
@example('a,"b""')
@example('"a""",""""\n')
def test_the_end_of_plain_cells_is_that_of_the_pattern(text: str) -> None:
    sound = text.rstrip('"').encode()  # what the check has at the end of a block
    found = complete_cells(b",").match(sound)
    assert end_of_plain_cells(sound, b",") in {None, found and found.end()}


@pytest.mark.parametrize(
    ("text", "end"), [('a,"b, ""c"""\nd', 14), ("", 0), ("a,b", 3), ('a,"b', 2), ('5" pipe,a', None), ('"a"b', None)]
)
def test_usual_quotes_need_no_pattern(text: str, end: int | None) -> None:
    assert end_of_plain_cells(text.encode(), b",") == end


@given(TEXTS, st.integers(1, 12))
def test_quotes_are_judged_alike_however_blocks_fall(text: str, size: int) -> None:
    assert verdict(blocks(text, size)) == verdict(blocks(text, 1 << 20))


@pytest.mark.parametrize("size", [3, 4, 5, 100])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a,店\n🌿,é\n".encode(), None),
        (b"a\n" + b"\xe5\xba,\n", 2),
        (b"a\nb\n\xff\n", 3),
        (b"a\nb\xe5\xba", 2),
        (b"a\n\xed\xa0\x80\n", 2),
    ],
)
def test_bytes_that_are_no_utf8_are_found_in_their_line(
    content: bytes, line: int | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_dialect, "BLOCK_BYTES", size)
    header = HeaderRow(("a",), 1, 0, 0, None)
    dialect = Dialect("utf-8", ",", header, ("a",), (), may_guess=False)
    try:
        assert check_text(io.BytesIO(content), PATH, [dialect]) == dialect
        found = None
    except ImportFileError as error:
        found = error.line
    assert found == line


def blocks(text: str, size: int) -> Iterator[bytes]:
    yield from (text[at : at + size].encode() for at in range(0, len(text), size))
    yield b""


def verdict(parts: Iterator[bytes]) -> tuple[int | None, str] | None:
    try:
        check_quotes(PATH, parts, ",")
    except ImportFileError as error:
        return error.line, error.problem
    return None
