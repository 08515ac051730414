"""Dense parameters replicated and sharded (FSDP2): the same steps, and what each rank holds.

    PYTHONPATH=kernels python -m bench.train_dense --gpus 2 --size middle      # NCCL
    PYTHONPATH=kernels python -m bench.train_dense --ranks 2 --size tiny       # Gloo, CPUs

Each way is trained by processes of its own. Ends with status 1 where losses or gradients' norms
differ by more than rounding. Figures go to runs/bench/train_dense.json.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from benchmarks.cpu_measure import machine, versions
from rayrank.data.jagged import to_jagged
from rayrank.train.config import RankerConfig
from rayrank.train.dense import own_part
from rayrank.train.worker import Worker
from torch.multiprocessing.spawn import spawn

from bench.engine_rows import SCHEMA
from bench.train_memory import most_mb, rows_of
from bench.train_ranks import STATS

WAYS: dict[str, dict[str, Any]] = {
    "replicated": {},
    "sharded": {"dense": "sharded"},
    "sharded, recomputed": {"dense": "sharded", "recompute": True},
}
CLOSE = {"float32": 1e-4, "bfloat16": 2e-2}
"""How far losses and norms may lie apart, of themselves: sums are in another order, and what a step
rounds, later ones amplify."""


class Asked(NamedTuple):
    """What is trained."""

    size: str
    tokens: int
    """Of a rank's batch."""
    steps: int
    """After a first one, which is not timed."""
    precision: str = "float32"
    gpu: bool = False


def measure(asked: Asked, ranks: int) -> dict[str, dict[str, Any]]:
    """Way -> `losses` and `norms` of the steps, `numbers` of weights that rank 0 holds, `mb` that
    its steps took, `tokens_per_s` over all ranks."""
    found = {}
    for way, config in WAYS.items():
        with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as name:
            spawn(_rank, (ranks, asked, config, name), nprocs=ranks)
            found[way] = json.loads((Path(name) / "took.json").read_text())
    return found


def apart(found: dict[str, dict[str, Any]]) -> float:
    """How far the losses and norms of any way lie from the replicated one's, of themselves."""
    expected = found["replicated"]
    return max(
        abs(one - other) / abs(other)
        for of in found.values()
        for what in ("losses", "norms")
        for one, other in zip(of[what], expected[what], strict=True)
    )


def _rank(rank: int, ranks: int, asked: Asked, config: dict[str, Any], name: str) -> None:
    folder = Path(name)
    device = torch.device("cuda", rank) if asked.gpu else torch.device("cpu")
    if asked.gpu:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    backend = "nccl" if asked.gpu else "gloo"
    meet = f"file://{folder}/meet"
    dist.init_process_group(backend, init_method=meet, rank=rank, world_size=ranks)
    train = {"precision": asked.precision, "warmup_steps": 0, **config}
    told = {"model": {"kind": "mtgr", "size": asked.size}, "train": train}
    worker = Worker(
        SCHEMA, RankerConfig.model_validate(told), STATS, folder / "run", folder / "rows", device
    )
    worker.sharded.train()
    batch = to_jagged(rows_of(asked.tokens, seed=rank), SCHEMA).to(device)
    _mb(device, anew=True)
    facts = [worker.optimizer.step([batch], 0, 0.0)]
    begun = time.perf_counter()
    facts += [worker.optimizer.step([batch], step, 0.0) for step in range(1, asked.steps + 1)]
    seconds = time.perf_counter() - begun
    if rank == 0:
        took = {
            "losses": [of.loss for of in facts],
            "norms": [of.gradient_norm for of in facts],
            "numbers": sum(own_part(p).numel() for p in worker.optimizer.dense.values()),
            "mb": _mb(device),
            "tokens_per_s": sum(of.tokens for of in facts[1:]) / seconds,
        }
        (folder / "took.json").write_text(json.dumps(took))
    dist.destroy_process_group()


def _mb(device: torch.device, *, anew: bool = False) -> float:
    """The most memory that was held: on a GPU by tensors, else by the process."""
    if device.type == "cpu":
        return most_mb(anew=anew)
    if anew:
        torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.max_memory_allocated(device) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="small")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=CLOSE, default="float32")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--gpus", type=int)
    where.add_argument("--ranks", type=int, help="on CPUs")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/train_dense.json"))
    told = parser.parse_args()
    asked = Asked(told.size, told.tokens, told.steps, told.precision, told.gpus is not None)
    found = measure(asked, told.gpus or told.ranks)
    result = {"ways": found, "machine": machine(), "versions": versions(), "asked": asked._asdict()}
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(result, indent=1) + "\n")
    for way, of in found.items():
        print(
            f"{way:20} {of['numbers']:12,} weights on rank 0 {of['mb']:9,.0f} MB "
            f"{of['tokens_per_s']:10,.0f} tokens/s, last loss {of['losses'][-1]:.6f}"
        )
    print(f"apart by {apart(found):.1e} of themselves at most")
    raise SystemExit(int(apart(found) > CLOSE[told.precision]))


if __name__ == "__main__":
    main()
