"""The presets that stored imports were landed with."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from etl_assets.presets.model import Preset

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows_by_preset(connection: sa.Connection, rows: pl.DataFrame) -> Iterator[tuple[Preset, pl.DataFrame]]:
    """The rows grouped by the preset of their import, usually one group.

    Args:
        connection: an open transaction.
        rows: has `import_id` (text); the order of rows is kept within a group.
    """
    import_ids = rows["import_id"].unique().to_list()
    stored = connection.execute(
        sa.text(
            "SELECT CAST(import_id AS text), CAST(mapping AS text) FROM import_tasks"
            " WHERE import_id = ANY (CAST(:import_ids AS uuid[]))"
        ),
        {"import_ids": import_ids},
    )
    imports_of: dict[str, list[str]] = {}
    for import_id, mapping in stored:
        imports_of.setdefault(mapping, []).append(import_id)
    for mapping, ids in sorted(imports_of.items()):
        yield _preset(mapping), rows.filter(pl.col("import_id").is_in(ids)) if len(imports_of) > 1 else rows


@lru_cache(maxsize=256)
def _preset(mapping: str) -> Preset:
    return Preset.model_validate_json(mapping)
