"""The raw rows that orders are decided anew from: those of a reverted or restored import, and all of the same orders.

No index finds the raw rows of an order, as it would be kept up with every import and is needed only here: the server
reads `raw_orders` once for each batch (docs/decisions.md, "Reverted imports"). Which of the rows count is a rule
(`orders.redecide`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.ledger.queue import max_rows
from etl_assets.ledger.range_sql import LIVE, imported_rows
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange

ROLE: Final = "role"
"""Column of raw rows: why a row is read where orders are decided anew; null for a row that is only pending."""
OWN: Final = "own"
"""The row is pending, and counts: its import is restored."""
GONE: Final = "gone"
"""The row does not count: it only names an order that is to be decided anew."""
REPLACED: Final = "replaced"
"""The row counts, and a row that is pending corrects it."""
OTHER: Final = "other"
"""The row counts, and seems to be of one of these orders."""


def is_redecided(connection: sa.Connection, ranges: Sequence[RawIdRange]) -> bool:
    """Test that ranges hold rows of reverted or restored imports."""
    exists = "SELECT EXISTS (SELECT FROM import_tasks WHERE is_redecided AND batch_id = ANY (:batches))"
    found = connection.execute(sa.text(exists), {"batches": [one.batch_id for one in ranges]})
    return bool(found.scalar_one())


def read_redecided(database: Database, ranges: Sequence[RawIdRange], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Read the rows of ranges of reverted and restored imports, and the others that their orders are decided from.

    Args:
        database: the store.
        ranges: of imports that are marked so (`import_tasks.is_redecided`).
        schema: `raw_id`, `import_batch_id` and texts of `raw_orders`.

    Returns:
        The columns of `schema` and `ROLE`. Some rows may be pending besides: what they say is known then.
    """
    known = {"replaces_raw_id": pl.Int64(), "is_live": pl.Boolean()}
    columns = f"{_columns(schema)}, r.replaces_raw_id, {LIVE} AS is_live"
    query = f"SELECT {columns} FROM {imported_rows(ranges)}"  # noqa: S608  # integers only
    own = database.read(query, {**schema, **known}, rows=max_rows(ranges))
    own = own.with_columns(_role_of("is_live", OWN)).drop("is_live")
    with database.transaction() as connection:
        replaced = _read_rows(connection, own["replaces_raw_id"].drop_nulls(), schema, REPLACED)
        named = pl.concat([own.drop("replaces_raw_id"), replaced.join(own, on="raw_id", how="anti")])
        found = find_raw_rows(connection, named.select(clean_text(pl.col("order_id")))["order_id"], LIVE)
        others = _read_rows(connection, found, schema, OTHER).filter(pl.col(ROLE) == OTHER)
    return pl.concat([named, others.join(named, on="raw_id", how="anti")])


def _columns(schema: Mapping[str, pl.DataType]) -> str:
    return ", ".join("t.batch_id AS import_batch_id" if name == "import_batch_id" else f"r.{name}" for name in schema)


def _role_of(is_live: str, role: str) -> pl.Expr:
    return pl.when(pl.col(is_live)).then(pl.lit(role)).otherwise(pl.lit(GONE)).alias(ROLE)


def _read_rows(
    connection: sa.Connection, raw_ids: pl.Series, schema: Mapping[str, pl.DataType], role: str
) -> pl.DataFrame:
    """Read raw rows by their ids, with `role`, or `GONE` where they do not count."""
    if raw_ids.is_empty():
        return pl.DataFrame(schema={**schema, ROLE: pl.String()})
    copy_to_temp_table(connection, "raw_orders", raw_ids.unique().sort().alias("raw_id").to_frame(), name="wanted_rows")
    rows = fetch_frame(
        connection,
        f"SELECT {_columns(schema)}, {LIVE} FROM wanted_rows JOIN raw_orders r USING (raw_id)"  # noqa: S608  # constants
        " JOIN import_tasks t ON t.import_id = r.import_id",
        {**schema, "is_live": pl.Boolean()},
    )
    return rows.with_columns(_role_of("is_live", role)).drop("is_live")


def find_raw_rows(connection: sa.Connection, order_ids: pl.Series, condition: str = "true") -> pl.Series:
    """Return the ids of the raw rows that may have one of these cleaned order ids, of whichever shop.

    Hazard: a raw id may be written in another way ("＃１", "='1'"), and the database must clean it as `clean_text`
    does. Nearly all are clean as they are, which is seen at little cost.

    Args:
        connection: an open transaction.
        order_ids: the cleaned ids.
        condition: in SQL, of the rows `r` and their imports `t` to search; by default all.
    """
    texts = order_ids.drop_nulls().unique().to_list()
    if not texts:
        return pl.Series("raw_id", [], pl.Int64)
    query = sa.text(f"{_SEARCH} AND {condition}")
    found = connection.execute(query, {"texts": texts, "blank": _WHITE_SPACE}).scalar_one()
    return pl.Series("raw_id", found or [], pl.Int64)


_WHITE_SPACE: Final = "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)))) + "".join(
    map(chr, (0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
_IS_ODD: Final = (
    "(octet_length(r.order_id) <> length(r.order_id) OR left(r.order_id, 1) IN ('''', '=')"
    " OR strpos(:blank, left(r.order_id, 1)) > 0 OR strpos(:blank, right(r.order_id, 1)) > 0)"
)
_CLEANED: Final = (
    r"btrim(regexp_replace(regexp_replace(btrim(normalize(r.order_id, NFKC), :blank), '^=\"(.*)\"$', '\1'),"
    r" '^''(\d)', '\1'), :blank)"
)
_SEARCH: Final = f"""
    SELECT array_agg(r.raw_id) FROM raw_orders r JOIN import_tasks t USING (import_id)
    WHERE (
        r.order_id = ANY (CAST(:texts AS text[]))
        OR ({_IS_ODD} AND {_CLEANED} = ANY (CAST(:texts AS text[])))
    )
"""  # noqa: S608  # constants only
"""One sequential scan, with parallel workers where the server has them; the texts are looked up by their hashes."""
