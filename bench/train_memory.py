"""What recomputation and accumulation cost and save: memory and tokens/s of steps of one process.

    PYTHONPATH=kernels python -m bench.train_memory [--size small] [--tokens 16384]

Each way has a process of its own. Memory is the most that the process held in steps, less what it
held before the first. Figures go to runs/bench/train_memory.json.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch.distributed as dist
from benchmarks.cpu_measure import machine, versions
from rayrank.data.jagged import to_jagged
from rayrank.train.config import RankerConfig
from rayrank.train.worker import Worker
from torch.multiprocessing.spawn import spawn

from bench.engine_rows import REALTIME, SCHEMA, row
from bench.train_ranks import CPU, STATS
from bench.train_rows import candidates_of, long_tailed

WAYS: dict[str, dict[str, Any]] = {
    "one batch": {},
    "recomputed": {"recompute": True},
    "4 batches": {"accumulate": 4},
}


class Asked(NamedTuple):
    """What is measured."""

    size: str
    tokens: int
    """Of a batch."""
    steps: int


def measure(asked: Asked, ways: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Way -> `mb`, and `tokens_per_s`; a way is a training config's keys."""
    found = {}
    for way, config in ways.items():
        with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as name:
            spawn(_steps, (asked, config, name))
            found[way] = json.loads((Path(name) / "took.json").read_text())
    return found


def _steps(_: int, asked: Asked, config: dict[str, Any], name: str) -> None:
    folder = Path(name)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1)
    told = {"model": {"kind": "mtgr", "size": asked.size}, "train": config}
    ranker = RankerConfig.model_validate(told)
    worker = Worker(SCHEMA, ranker, STATS, folder / "run", folder / "rows", CPU)
    worker.sharded.train()
    batch = to_jagged(rows_of(asked.tokens), SCHEMA)
    batches = [batch] * ranker.train.accumulate
    before = most_mb(anew=True)
    begun = 0.0
    for step in range(asked.steps + 1):
        if step == 1:
            begun = time.perf_counter()
        worker.optimizer.step(batches, step, 0.0)
    tokens = asked.steps * len(batches) * batch.tokens
    took = {
        "mb": most_mb() - before,
        "tokens_per_s": tokens / (time.perf_counter() - begun),
    }
    (folder / "took.json").write_text(json.dumps(took))
    dist.destroy_process_group()


def rows_of(tokens: int, seed: int = 0) -> pa.Table:
    """Users of a long tail, so many tokens together, about."""
    tables: list[pa.Table] = []
    for user, length in enumerate(long_tailed(10_000, seed)):
        if tokens <= 0:
            break
        shown = int(candidates_of(length))
        tables.append(row(user, int(length - REALTIME - 1 - shown), shown))
        tokens -= int(length)
    return pa.concat_tables(tables).combine_chunks()


def most_mb(*, anew: bool = False) -> float:
    """The most memory that this process has held; anew: it is what is held now, from now on."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="small")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/train_memory.json"))
    told = parser.parse_args()
    found = measure(Asked(told.size, told.tokens, steps=2), WAYS)
    result = {"ways": found, "machine": machine(), "versions": versions(), "size": told.size}
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(result, indent=1) + "\n")
    for way, of in found.items():
        print(f"{way:12} {of['mb']:8,.0f} MB {of['tokens_per_s']:10,.0f} tokens/s")


if __name__ == "__main__":
    main()
