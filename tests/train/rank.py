"""One of the ranks of `worlds.py`: python -m tests.train.rank RANK WORLD_SIZE FOLDER.

FOLDER holds a folder per case. The ranks meet through a file in it, do what each case's `told.json`
says, and write what they saw beside it. Two of them then step the model of `hooks.py`, and rank 0
steps it once more by itself. (All in one process each: it is their start that takes long.)
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.row_stats import RowStats
from rayrank.errors import DivergedError
from rayrank.schema import Schema
from rayrank.train.config import RankerConfig
from rayrank.train.dense import own_part
from rayrank.train.finite import demand_finite
from rayrank.train.validate import validate
from rayrank.train.worker import Worker
from torch.distributed.tensor import DTensor

from .hooks import hooks_seen


def state_of(worker: Worker) -> dict[str, Any]:
    """Everything a step changes, as this rank has it."""
    return {
        "dense": worker.ranker.dense_state(),
        "adamw": worker.optimizer.state(),
        "rows": worker.tables.local_rows(),
    }


def held_by(worker: Worker) -> dict[str, Any]:
    """How many numbers this rank holds of what is dense, of how many; names of what is sharded."""
    dense = worker.optimizer.dense
    moments = [of["exp_avg"] for of in worker.optimizer.adamw.state.values()]
    named = worker.ranker.named_parameters()
    return {
        "parameters": sum(own_part(p).numel() for p in dense.values()),
        "moments": sum(own_part(moment).numel() for moment in moments),
        "whole": sum(p.numel() for p in dense.values()),
        "sharded": {name for name, p in named if isinstance(p, DTensor)},
    }


def fault_of_spoiled(worker: Worker) -> str:
    """What keeps a checkpoint from being written of a weight that is not finite where the last rank
    has it, and is for all that the others have."""
    name, weight = next(iter(worker.optimizer.dense.items()))
    if worker.rank == worker.world_size - 1:
        own_part(weight.detach())[-1] = torch.nan
    try:
        demand_finite(7, worker.optimizer.dense, worker.tables, worker.device)
    except DivergedError as error:
        return str(error).replace(name, "the weight")
    return "nothing"


def run(case: Path, rank: int) -> dict[str, Any]:
    """A new worker takes the case's steps, scores `alike.parquet` twice, validates."""
    told = json.loads((case / "told.json").read_text())
    schema = Schema.model_validate(told["schema"])
    config = RankerConfig.model_validate(told["ranker"])

    def batch(name: str) -> JaggedBatch:
        return to_jagged(pq.read_table(case / f"{name}.parquet"), schema)

    def worker_of(config: RankerConfig) -> Worker:
        # What a rank has drawn before must not matter.
        torch.manual_seed(1000 + rank)
        cpu = torch.device("cpu")
        return Worker(schema, config, RowStats(), case / "run", case / "rows", device=cpu)

    def taken_over(how: str) -> dict[str, Any]:
        """What another worker, which holds its dense part so, has of this one's state."""
        train = config.train.model_copy(update={"dense": how})
        other, state = worker_of(config.model_copy(update={"train": train})), state_of(worker)
        other.ranker.load_dense(state["dense"])
        other.optimizer.load_state(state["adamw"])
        return {**state_of(other), "held": held_by(other)}

    worker = worker_of(config)
    worker.sharded.train()
    states, facts = [state_of(worker)], []
    dealt = [
        [batch(path.stem) for path in sorted(case.glob(f"step-{number}-{rank}-*.parquet"))]
        for number in range(len(told["steps"]))
    ]
    # As the trainer does it: each step knows what comes after it.
    coming = [*(batches[0] for batches in dealt[1:]), None]
    for (step, done), batches, ahead in zip(told["steps"], dealt, coming, strict=False):
        fact = worker.optimizer.step(batches, step, done, ahead, warned=rank == 1)
        facts.append(fact._asdict())
        states.append(state_of(worker))
    seen = {
        "states": states,
        "held": held_by(worker),
        "facts": facts,
        "rates": [worker.optimizer.rate(step, done) for step, done in told["rates"]],
        "logits": [worker.sharded(batch("alike")).detach() for _ in range(2)],
        "before_validation": state_of(worker),
        "metrics": validate(worker.sharded, case / "rows" / "valid", schema, config.train),
        "after_validation": state_of(worker),
        "taken_over": {how: taken_over(how) for how in told["taken_over_by"]},
        "no_rows": validate(worker.sharded, case / "rows" / "nowhere", schema, config.train),
    }
    return {**seen, "spoiled": fault_of_spoiled(worker)}


@contextmanager
def world_of(size: int, rank: int, folder: Path) -> Iterator[None]:
    """So many ranks that have met, and part together."""
    meet = f"file://{folder}/meet-{size}"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=size)
    yield
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    rank, world_size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    with world_of(world_size, rank, folder):
        for case in sorted(path for path in folder.iterdir() if path.is_dir()):
            torch.save(run(case, rank), case / f"saw-{rank}.pt")
        if world_size == 2:
            torch.save(hooks_seen(rank, world_size), folder / f"hooks-{world_size}-{rank}.pt")
    if world_size == 2 and rank == 0:
        with world_of(1, rank, folder):
            torch.save(hooks_seen(rank, 1), folder / "hooks-1-0.pt")


if __name__ == "__main__":
    main()
