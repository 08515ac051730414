"""A training loop of ten lines: torch alone, one process, the trainer's own rows and model.

    python examples/ten_lines.py

No Ray and no TorchRec. It grows into a run when one process is too slow, without another model.
"""

import tempfile
from pathlib import Path

import rayrank
import torch
from rayrank.data.config import SimulateConfig
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.log import Log, tables_needed
from rayrank.data.partition import build_rows
from rayrank.data.simulate import simulate
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model, parse_model_config

USERS_PER_BATCH = 16


def batches_of(folder: Path) -> tuple[list[JaggedBatch], rayrank.Schema]:
    """The user rows of a log, as batches: what a cluster does for a log that is larger."""
    schema, log = rayrank.load_schema(folder / "schema.yaml"), Log(str(folder))
    tables = {table: log.read(table, columns) for table, columns in tables_needed(schema).items()}
    rows = build_rows(tables, schema, split_times_ms=[]).rows
    starts = range(0, len(rows), USERS_PER_BATCH)
    return [to_jagged(rows.slice(start, USERS_PER_BATCH), schema) for start in starts], schema


def main() -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"  # or one of your own, with its schema.yaml
        simulate(SimulateConfig(users=60, days=5), log)
        batches, schema = batches_of(log)

    config = parse_model_config({"kind": "mtgr", "size": "tiny"})
    tables = LocalTables(schema.tables, init_std=0.1, seed=0)
    model = build_model(schema, config, tables, scales={})
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(3):
        losses = []
        for batch in batches:
            loss = model.loss(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.4f}")


if __name__ == "__main__":
    main()
