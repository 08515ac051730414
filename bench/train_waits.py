"""How often the host reads what its device holds in one training step, by phase and by who asks:
on a GPU each would be a wait.

    PYTHONPATH=kernels python -m bench.train_waits

Counted on one process on a CPU, in a step after some others. AdamW's counters of steps are not
counted: where weights are on a GPU, torch keeps those in the host's memory.
"""

import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import torch.distributed as dist
from rayrank.data.jagged import to_jagged
from rayrank.train.config import RankerConfig
from rayrank.train.worker import Worker
from torch.utils._python_dispatch import TorchDispatchMode

from bench.engine_rows import SCHEMA, row
from bench.train_ranks import CPU, STATS

READS = {"_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select", "equal"}
"""Operators whose result, or its size, the host must know."""

ASKERS = {"rayrank", "torchrec", "fbgemm_gpu", "optim"}
"""Folders of those who may ask."""


class Reads(TorchDispatchMode):
    """Counts them: (phase, file) -> how often."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker
        self.counts: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _reads(func._schema.name.split("::")[1], args, kwargs or {}):
            files = [Path(frame.filename) for frame in traceback.extract_stack()[:-1]]
            asker = next(file for file in reversed(files) if set(file.parts) & ASKERS)
            if "optim" not in asker.parts:
                phase, _ = self.worker.optimizer.phases._marks[-1]
                self.counts[phase, asker.name] += 1
        return func(*args, **(kwargs or {}))


def _reads(name: str, args: Any, kwargs: Any) -> bool:
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return any(of is not None and of.dtype == torch.bool for of in args[1])
    unknown_size = name == "repeat_interleave" and kwargs.get("output_size") is None
    return name in READS or unknown_size


def count() -> Counter[tuple[str, str]]:
    """Of one step."""
    config = RankerConfig.model_validate({"model": {"kind": "mtgr"}, "train": {"warmup_steps": 0}})
    rows = pa.concat_tables([row(user, 20 * user + 3, user + 1) for user in range(5)])
    with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as name:
        folder = Path(name)
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1)
        worker = Worker(SCHEMA, config, STATS, folder / "run", folder / "rows", CPU)
        worker.sharded.train()
        batch = to_jagged(rows, SCHEMA)
        for step in range(3):
            worker.optimizer.step([batch], step, 0.0, batch)
        with Reads(worker) as reads:
            worker.optimizer.step([batch], 3, 0.0, batch)
        dist.destroy_process_group()
    return reads.counts


def main() -> None:
    counts = count()
    for (phase, asker), reads in sorted(counts.items()):
        print(f"{phase:10} {asker:30} {reads:4}")
    print(f"{'all':41} {counts.total():4}")


if __name__ == "__main__":
    main()
