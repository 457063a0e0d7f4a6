"""The unmapped columns of an order: the first value of each in its lines, wherever these lie in the file."""

from __future__ import annotations

import json
from typing import Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.presets.model import Preset
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.packed_columns import PACKED, merge_packed, pack_runs
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets_tests.helpers.literal_frames import frame_of

PRESET: Final = Preset.model_validate(
    {
        "name": "export",
        "shape": "line_item",
        "columns": {"shop": "Store", "order_id": "No.", "platform_order_id": "Id"},
        "item": {"name": "Item"},
    }
)
EXTRA: Final = ("__order", "Note", 'a "b"', "空")
"""Unmapped headers: none of a column of our own."""
LINES: Final = {
    LINE_NUMBER: pl.Int64(),
    ROW_ERROR: pl.String(),
    **dict.fromkeys(("Store", "No.", "Id", "Item", *EXTRA), pl.String()),
}


@pytest.mark.parametrize(
    ("values", "starts", "packed"),
    [
        pytest.param(["x", "y"], [True, True], ['{"n":"x"}', '{"n":"y"}'], id="runs of one line"),
        pytest.param(["x", None, "y"], [True, False, True], ['{"n":"x"}', None, '{"n":"y"}'], id="on the first line"),
        pytest.param(["", "x", "y"], [True, False, False], ['{"n":"x"}', None, None], id="on a later line"),
        pytest.param(
            [" ", "　", "y"], [True, False, True], [None, None, '{"n":"y"}'], id="never: not that of the next"
        ),
        pytest.param(["x", "", "z"], [True, True, False], ['{"n":"x"}', '{"n":"z"}', None], id="not that of the last"),
    ],
)
def test_a_run_has_its_first_value(values: list[str | None], starts: list[bool], packed: list[str | None]) -> None:
    lines = pl.DataFrame({"n": values}, schema={"n": pl.String})
    assert pack_runs(lines, ["n"], pl.Series(starts)).to_list() == packed


def test_no_unmapped_columns_are_no_object() -> None:
    assert pack_runs(pl.DataFrame({"n": ["x", "y"]}), [], pl.Series([True, False])).to_list() == [None, None]


def test_parts_are_merged_in_the_order_of_the_headers() -> None:
    parts = pl.DataFrame({"key": ["1", "2", "1"], PACKED: ['{"c":"\\n"}', '{"b":"2"}', '{"a":"\\u0001","c":"later"}']})
    merged = dict(merge_packed(parts, ["key"], ["a", "b", "c"]).rows())
    assert merged == {"1": '{"a":"\\u0001","c":"\\n"}', "2": '{"b":"2"}'}


TEXTS: Final = st.sampled_from([None, "", " ", "x", 'say "y"', "line\nbreak", "白色", "=1"])
ROW: Final = st.tuples(
    st.sampled_from(["s", None]), st.sampled_from(["1", "2", "3"]), st.sampled_from(["a", None]), *[TEXTS] * len(EXTRA)
)


@given(st.lists(ROW, min_size=1, max_size=12), st.integers(1, 12), st.sampled_from([3, 1000]))
def test_each_order_has_the_first_values_of_its_lines(
    rows: list[tuple[str | None, ...]], size: int, in_memory: int
) -> None:
    """Write the expectation row by row: what shops and ids do to the key is the same in all, so one shop is enough."""
    names = ("Store", "No.", "Id", *EXTRA)
    lines = frame_of(LINES, [{LINE_NUMBER: at, **dict(zip(names, row, strict=True))} for at, row in enumerate(rows, 2)])
    frames = [lines[at : at + size] for at in range(0, lines.height, size)]
    found = {
        raw["order_id"]: json.loads(raw["extra"] or "{}")
        for frame in group_lines(frames, PRESET, in_memory_lines=in_memory, partitions=2)
        for raw in frame.to_dicts()
    }
    expected: dict[str | None, dict[str, str]] = {}
    for row in rows:
        first = expected.setdefault(row[1], {})
        for name, value in zip(EXTRA, row[3:], strict=True):
            if value is not None and value.strip():
                first.setdefault(name, value)
    assert found == expected
    assert all(list(extra) == [name for name in EXTRA if name in extra] for extra in found.values())
