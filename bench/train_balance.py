"""How alike the ranks' work of a step is: the time of all steps, each as long as its dearest rank's
FLOPs, over the time that an even share would take."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from rayrank.data.plan import Packing, plan_epochs
from rayrank.data.planned import Part, PlannedBatches, read_here
from rayrank.model.flops import Attended, hstu_flops
from rayrank.model.mtgr import SIZES, MTGRConfig
from rayrank.storage import AnyPath

from bench.train_rows import candidates_of, long_tailed, pairs_of, write_costs

RANKS = (2, 8, 64, 1024)
MAX_COST = 16_384
STEPS = 12
"""At least, of every number of ranks."""


def balance(size: str, ranks: tuple[int, ...] = RANKS) -> dict[str, dict[str, float]]:
    """By ranks, of the plan by the model's FLOPs (`planned`), of one that sees tokens
    alone (`tokens`), and of as many users in each batch (`fixed_users`)."""
    pair_cost = MTGRConfig.model_validate({"size": size}).pair_in_tokens()
    found: dict[str, dict[str, float]] = {}
    for world_size in ranks:
        users = max(4096, STEPS * world_size * MAX_COST // 600)
        tokens = long_tailed(users, seed=world_size)
        flops = flops_of(size, tokens)
        found[str(world_size)] = {
            "planned": _planned(tokens, flops, pair_cost, world_size),
            "tokens": _planned(tokens, flops, 0.0, world_size),
            "fixed_users": _fixed(flops, MAX_COST // 600, world_size),
        }
    return found


def flops_of(size: str, tokens: np.ndarray) -> np.ndarray:
    """float64 [users]: of the encoder's forward pass over each."""
    of, candidates = SIZES[size], candidates_of(tokens)
    pairs = pairs_of(tokens, candidates)
    # What a candidate sees: all but other candidates.
    of_candidates = candidates * (tokens - candidates + 1)
    told = zip(tokens, pairs, candidates, of_candidates, strict=True)
    return np.array(
        [hstu_flops(of["layers"], of["d_model"], Attended(*map(int, each))) for each in told],
        np.float64,
    )


def _planned(tokens: np.ndarray, flops: np.ndarray, pair_cost: float, world_size: int) -> float:
    with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as name:
        folder = Path(name)
        write_costs(tokens, folder / "rows")
        plan_epochs(folder / "rows", Packing(0, 1, MAX_COST, pair_cost), folder / "plan")
        batches = PlannedBatches(folder / "rows", folder / "plan", epoch=0)
        steps = _steps(batches, world_size)
        return _over_even([flops[rows["user"].to_numpy()].sum() for rows in step] for step in steps)


def _steps(batches: PlannedBatches, world_size: int) -> Iterator[list[pa.Table]]:
    """What `deal` gives all ranks, whole steps read once for all of them."""
    whole = len(batches) // world_size * world_size
    for step in batches.deal(0, 1, 0, each=world_size):
        if len(step) == world_size:
            yield step
    if whole < len(batches):
        read: list[pa.Table] = []

        def once(rows: AnyPath, parts: list[Part]) -> Iterator[pa.Table]:
            """What is left, which all ranks read to share it."""
            if not read:
                read.extend(read_here(rows, parts))
            return iter(read)

        ranks = range(world_size)
        last = [batches.deal(rank, world_size, whole, read=once) for rank in ranks]
        yield [rows for dealt in last for (rows,) in dealt]


def _fixed(flops: np.ndarray, users: int, world_size: int) -> float:
    mixed = np.random.default_rng(0).permutation(flops)
    whole = len(mixed) // (users * world_size)
    steps = mixed[: whole * users * world_size].reshape(whole, world_size, users).sum(2)
    return _over_even(steps.tolist())


def _over_even(steps: Iterator[list[float]] | list[list[float]]) -> float:
    told = [(max(step), sum(step) / len(step)) for step in steps]
    return sum(most for most, _ in told) / sum(mean for _, mean in told)
