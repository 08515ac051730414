"""A log of which the last day is to be scored, a bundle that can, and what came of it."""

from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from rayrank.schema import Schema
from rayrank.storage import AnyPath, files_in, read_parquet

from ..data.builds import LOG
from ..data.logs import DAY, START, TYPES, shop_schema
from ..infer.bundles import trained, write

SCHEMA: Schema = shop_schema(
    {
        "sequences.buys": None,
        "features.i.tokens": ["views", "clicks", "orders", "candidate"],
        "sequences.views.keep": 20,
    }
)
LAST, LAST_MS = date(2022, 4, 18), START + 2 * DAY
ROWS = len({(shown["u"], (shown["t"] - START) // DAY) for shown in LOG.exposures})
IDS = ("city", "i", "cat", "tags", "click", "query")
COLUMNS = {
    "user": pa.int64(),
    "item": pa.int64(),
    "time": pa.int64(),
    "p.click": pa.float32(),
    "p.order": pa.float32(),
}


def unlabelled() -> dict[str, pa.Table]:
    """A log of three days; what was clicked on the last one is not known."""
    tables = {name: LOG.table(name) for name in TYPES}
    shown = tables["exposures"]
    click = pc.if_else(pc.less(shown["t"], LAST_MS), shown["click"], None)
    tables["exposures"] = shown.set_column(shown.column_names.index("click"), "click", click)
    return tables


def write_bundle(bundles: Path, weights: int = 0) -> str:
    manifest = write(
        bundles,
        trained("mtgr", weights, SCHEMA),
        "mtgr",
        schema=SCHEMA,
        id_types=dict.fromkeys(IDS, "integer"),
        ranges={"candidate.ctr": (0.2, 0.8)},
    )
    return str(bundles / manifest.version)


def read(out: AnyPath) -> pd.DataFrame:
    """All lines, by who, when and what."""
    table = pa.concat_tables([read_parquet(part) for part in files_in(out / "scores", "*.parquet")])
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == COLUMNS
    return table.to_pandas().sort_values(["user", "time", "item"], ignore_index=True)
