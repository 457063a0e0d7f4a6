"""The presets that stored imports were landed with, as they were then. Defining presets is in `presets`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from etl_assets.presets.model import Preset

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows_by_preset(connection: sa.Connection, rows: pl.DataFrame) -> Iterator[tuple[Preset, pl.DataFrame]]:
    """Yield the rows grouped by the preset of their import, usually one group.

    Args:
        connection: an open transaction.
        rows: has `import_batch_id`, the ledger's batch of the import; the order of rows is kept within a group.
    """
    stored = connection.execute(
        sa.text("SELECT batch_id, CAST(mapping AS text) FROM import_tasks WHERE batch_id = ANY (:batch_ids)"),
        {"batch_ids": rows["import_batch_id"].unique().to_list()},
    )
    batches_of: dict[str, list[int]] = {}
    for batch_id, mapping in stored:
        batches_of.setdefault(mapping, []).append(batch_id)
    for mapping, ids in sorted(batches_of.items()):
        yield _preset(mapping), rows.filter(pl.col("import_batch_id").is_in(ids)) if len(batches_of) > 1 else rows


@lru_cache(maxsize=256)
def _preset(mapping: str) -> Preset:
    return Preset.model_validate_json(mapping)
