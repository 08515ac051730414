"""What training costs and what its parts bring on this machine: ratios of one run, in
runs/bench/train.json.

    python -m bench.train [--size tiny] [--out runs/bench/train.json]

- balance, by ranks (at most 1.02, 1.02, 1.05, 1.05 of 2, 8, 64 and 1,024): the FLOPs of each
  step's dearest rank over an even share, of 16 k tokens a batch and users of 600 tokens on average
  and 3,000 at most; beside it what a plan that sees tokens alone, and a fixed number of users,
  give. (A simulation: nothing is trained.)
- over_fixed (at least 1.25): tokens/s of two ranks, a thread each, over those of a fixed number of
  users in each batch, without padding.
- over_padded (at least 3): the same over batches of like lengths, padded to the longest, with dense
  attention in plain PyTorch.
- over_plain (at most 1.15): CPU time for a token at two ranks over that of a plain loop in one
  process; over_two_plain: over two plain loops that run beside each other and know nothing of one
  another, which is what the machine takes for the second core; two_over_one: tokens/s of two ranks
  over one.
- waiting_share (at most 0.05): of the time of two ranks, what rank 0 had no batch to train on.
- loader_tokens_per_s: what one thread reads and makes batches of; h100_tokens_per_s: what a step of
  size small would take on an H100 that reaches 40 % of its peak in dense bfloat16 (arithmetic, from
  the model's FLOPs, of which a step is three forward passes: nothing ran on one).
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.cpu_measure import machine, versions
from rayrank.data.jagged import to_jagged
from rayrank.data.plan import plan_epochs
from rayrank.data.planned import PlannedBatches
from rayrank.strict import Strict
from rayrank.train.config import RankerConfig
from rayrank.train.peak import PEAK_TFLOPS
from rayrank.train.run import packing_of

from bench.engine_rows import SCHEMA
from bench.train_balance import balance, flops_of
from bench.train_ranks import Job, ranks
from bench.train_rows import long_tailed, write_rows

BALANCE = {"2": 1.02, "8": 1.02, "64": 1.05, "1024": 1.05}
MFU, H100_FLOPS = 0.4, 1e12 * PEAK_TFLOPS["H100"]
BOUNDS = {
    "over_fixed": ">= 1.25",
    "over_padded": ">= 3",
    "over_plain": "<= 1.15",
    "over_two_plain": "",
    "two_over_one": "",
    "waiting_share": "<= 0.05",
}


class Sizes(Strict):
    """How much is measured."""

    size: str = "tiny"
    users: int = 2048
    max_cost: int = 16_384
    steps: int = 40
    rounds: int = 4
    simulated_ranks: tuple[int, ...] = (2, 8, 64, 1024)


def measure(sizes: Sizes) -> dict[str, Any]:
    """All figures."""
    before = os.getloadavg()
    ranker = RankerConfig.model_validate(
        {
            "model": {"kind": "mtgr", "size": sizes.size},
            "train": {"max_cost": sizes.max_cost, "pair_cost": None, "warmup_steps": 0},
        }
    )
    tokens = long_tailed(sizes.users, seed=0)
    with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as name:
        folder = Path(name)
        write_rows(tokens, folder / "rows")
        plan_epochs(folder / "rows", packing_of(ranker), folder / "plan")
        batches = PlannedBatches(folder / "rows", folder / "plan", epoch=0)
        job = Job(
            folder=folder,
            ranker=ranker.model_dump(mode="json"),
            ways=("planned", "fixed", "padded", "plain"),
            users=max(1, round(sizes.users / len(batches))),
            steps=sizes.steps,
            rounds=sizes.rounds,
        )
        two, one = ranks(2, job), ranks(1, job._replace(ways=("planned", "plain")))
        per_s = loader_tokens_per_s(batches)
    planned, plain = two["planned"], one["plain"]
    return {
        "balance": balance(sizes.size, sizes.simulated_ranks),
        "over_fixed": planned.per_s() / two["fixed"].per_s(),
        "over_padded": planned.per_s() / two["padded"].per_s(),
        "over_plain": planned.cpu_per_token() / plain.cpu_per_token(),
        "over_two_plain": planned.cpu_per_token() / two["plain"].cpu_per_token(),
        "two_over_one": planned.per_s() / one["planned"].per_s(),
        "waiting_share": planned.waited_s / planned.seconds,
        "loader_tokens_per_s": per_s,
        "h100_tokens_per_s": h100_tokens_per_s(tokens),
        "two": {way: took._asdict() for way, took in two.items()},
        "one": {way: took._asdict() for way, took in one.items()},
        "tokens_per_user": {"mean": float(np.mean(tokens)), "max": int(tokens.max())},
        # What else ran: figures of a run that began on a busy machine say little.
        "load_average_before": before[0],
        "sizes": sizes.model_dump(),
        "machine": machine(),
        "versions": versions(),
    }


def loader_tokens_per_s(batches: PlannedBatches) -> float:
    """Of one thread that reads batches and makes them ready."""
    begun, tokens = time.perf_counter(), 0
    for (rows,) in batches.deal(0, 1, 0):
        tokens += to_jagged(rows, SCHEMA).tokens
    return tokens / (time.perf_counter() - begun)


def h100_tokens_per_s(tokens: np.ndarray) -> float:
    """Of users of so many tokens."""
    return float(tokens.sum() / (3 * flops_of("small", tokens).sum() / (MFU * H100_FLOPS)))


def table(result: dict[str, Any]) -> str:
    """The figures beside what is asked of them."""
    lines = [
        f"balance of {ranks:>4} ranks {of['planned']:10.4f}   <= {BALANCE[ranks]}"
        f"   (tokens alone {of['tokens']:.3f}, fixed users {of['fixed_users']:.3f})"
        for ranks, of in result["balance"].items()
    ]
    lines += [f"{name:22} {result[name]:8.3f}   {bound}" for name, bound in BOUNDS.items()]
    loader, h100 = result["loader_tokens_per_s"], result["h100_tokens_per_s"]
    lines.append(
        f"loader: {loader:,.0f} tokens/s of one thread; an H100 at {MFU:.0%} of its peak would "
        f"take {h100:,.0f} of size small, {h100 / loader:.1f} times as many"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/train.json"))
    asked = parser.parse_args()
    result = measure(Sizes(size=asked.size))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
