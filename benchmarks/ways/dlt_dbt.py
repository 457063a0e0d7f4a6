"""dlt loads and merges the orders (Arrow, COPY), dbt-postgres builds the other tables. Runs in `.venv-bench`.

dlt reads all landed rows and merges them by key, and dbt rebuilds its tables. That is right for a first load, the only
case in which it is measured.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import connectorx
import dlt
import psycopg
import pyarrow as pa
from dbt.cli.main import dbtRunner
from psycopg.conninfo import conninfo_to_dict

from benchmarks.ways.way import Stopwatch, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ways.way import Way

FOLDER = Path(__file__).parents[1]
SCHEMA = "dlt_dbt"
ASSET_OF = {
    "shop_configs": "shop",
    "quarantine": "orders",
    "order_items": "order_items",
    "process_items": "process_items",
    "customers": "customers",
    "business_leads": "leads",
    "lead_orders": "leads",
}
KEY = ("shop_id", "order_id")


class DltDbt:
    """dlt and dbt; both are set up in `prepare`, so that their start is not timed, just as Dagster's is not."""

    def __init__(self, task: Task) -> None:
        self.task = task
        parts = conninfo_to_dict(task.url)
        os.environ.update(
            BENCH_HOST=str(parts["host"]),
            BENCH_PORT=str(parts.get("port", 5432)),
            BENCH_USER=str(parts["user"]),
            BENCH_DATABASE=str(parts["dbname"]),
            DBT_LOG_PATH=str(task.folder / "logs"),
            DBT_TARGET_PATH=str(task.folder / "target"),
            RUNTIME__DLTHUB_TELEMETRY="false",
            LOAD__DELETE_COMPLETED_JOBS="true",
        )
        dlt.config["load.workers"] = 2
        self.dbt = dbtRunner()

    def prepare(self) -> None:
        """Make the schema, and let dbt read its project."""
        with psycopg.connect(self.task.url) as connection:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
        self.dbt = dbtRunner(manifest=self._dbt("parse").result)

    def run(self) -> dict[str, float]:
        """The shops by dbt, the orders by dlt, the rest by dbt."""
        watch = Stopwatch()
        self._models(watch, "--select", "shop_configs")
        with watch.of("orders"):
            self._load_orders()
        self._models(watch, "--exclude", "shop_configs")
        return watch.seconds

    def _load_orders(self) -> None:
        """Merge the orders, and give the table the key and the index that ours has."""
        dlt.pipeline(
            "bench",
            pipelines_dir=str(self.task.folder / "dlt"),
            destination=dlt.destinations.postgres(credentials=_credentials(self.task.url)),
            dataset_name=SCHEMA,
            dev_mode=False,
        ).run(_orders(self.task.url), loader_file_format="csv")
        with psycopg.connect(self.task.url) as connection:
            table = f"{SCHEMA}.orders"
            connection.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS orders_key ON {table} ({', '.join(KEY)})")
            connection.execute(f"CREATE INDEX IF NOT EXISTS orders_customer ON {table} (customer_global_id)")
            connection.execute(f"ANALYZE {table}")

    def _models(self, watch: Stopwatch, *selection: str) -> None:
        """Run models, two at a time; the time of all is shared out in proportion to what each of them took."""
        self._dbt("run", *selection)
        done = json.loads((self.task.folder / "target" / "run_results.json").read_text(encoding="utf-8"))
        taken = {one["unique_id"].rpartition(".")[2]: one["execution_time"] for one in done["results"]}
        shared = done["elapsed_time"] / sum(taken.values())
        for model, seconds in taken.items():
            asset = ASSET_OF[model]
            watch.seconds[asset] = watch.seconds.get(asset, 0.0) + seconds * min(shared, 1.0)

    def _dbt(self, *arguments: str) -> Any:  # noqa: ANN401  # what dbt gives has no type
        project = ["--project-dir", str(FOLDER / "dbt"), "--profiles-dir", str(FOLDER / "dbt"), "--quiet"]
        result = self.dbt.invoke([*arguments, *project])
        if not result.success:
            msg = f"dbt {arguments[0]} failed: {result.exception or result.result}"
            raise RuntimeError(msg)
        return result


def _credentials(url: str) -> dict[str, str]:
    """The URL in dlt's terms; a socket's folder must be written as the host of a URL."""
    parts = conninfo_to_dict(url)
    return {
        "host": quote(str(parts["host"]), safe=""),
        "port": str(parts.get("port", 5432)),
        "username": str(parts["user"]),
        "password": str(parts.get("password", "none")),
        "database": str(parts["dbname"]),
    }


@dlt.resource(
    name="orders",
    write_disposition={"disposition": "merge", "strategy": "delete-insert"},
    primary_key=KEY,
    columns={
        "source_updated_at": {"data_type": "timestamp", "dedup_sort": "desc"},
        "customer_global_id": {"data_type": "text"},
        "amount": {"data_type": "decimal", "precision": 18, "scale": 4},
    },
)
def _orders(url: str) -> Iterator[pa.Table]:
    query = (FOLDER / "sql" / "orders_for_dlt.sql").read_text(encoding="utf-8")
    table = connectorx.read_sql(url.replace("@/", "@localhost/"), query, return_type="arrow")  # it wants a host
    amounts = table["amount"].cast(pa.string()).cast(pa.decimal128(18, 4))
    yield table.set_column(table.schema.get_field_index("amount"), "amount", amounts)


def build(task: Task) -> Way:
    return DltDbt(task)
