"""What it saves to make ids unique, before the exchange and after it, on the demo's rows."""

from itertools import islice
from pathlib import Path

import torch
from rayrank.data.jagged import to_jagged
from rayrank.data.plan import plan_epochs
from rayrank.data.planned import PlannedBatches
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.run.config import load_config
from rayrank.run.run import Run
from rayrank.train.run import packing_of

ID_BYTES = 8


def dedup_bytes_saved(demo: Path, work: Path, ranks: int, steps: int) -> dict[str, float]:
    """Of steps of the demo's batches, one for each rank. exchange: the share of the bytes between
    ranks (an id one way, its vector back, its gradient back again) that are not sent since a rank
    asks for an id once; rows: the share of the bytes of rows that are not read and written since
    an owner reads a row once, of those that ranks ask it for."""
    run = Run(load_config(demo, []))
    _, schema = run.open_log()
    config = run.config.ranker(None)[1]
    plan_epochs(run.rows() / "train", packing_of(config), work / "plan")
    batches = PlannedBatches(run.rows() / "train", work / "plan", epoch=0)
    model = build_model(
        schema, config.model, LocalTables(schema.tables, init_std=1.0, seed=0), scales={}
    )
    asked = sent = read = 0
    for step in islice(batches.deal(0, 1, 0, ranks), steps):
        of_ranks = [model.ids(to_jagged(rows, schema)) for rows in step]
        for name, table in schema.tables.items():
            vector = 4 * table.dim
            each = [torch.unique(ids[name]) for ids in of_ranks]
            asked += sum(len(ids[name]) for ids in of_ranks) * (ID_BYTES + 2 * vector)
            sent += sum(map(len, each)) * (ID_BYTES + 2 * vector)
            read += len(torch.unique(torch.cat(each))) * (ID_BYTES + 2 * vector)
    return {"ranks": ranks, "exchange": 1 - sent / asked, "rows": 1 - read / sent}
