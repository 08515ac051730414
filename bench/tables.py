"""What tables cost on this machine: ratios of one run, in runs/bench/tables.json.

    python -m bench.tables [--out runs/bench/tables.json] [--demo jobs/demo.yaml]

Batches of 100 k ids, of which the n-th most popular comes as often as 1 / n, at a million ids and
at ten (the id map of one thread, keys as tables have them):

- find_or_insert_over_khash, find_over_khash (at least 1): how many times as fast as pandas' khash.
- find_or_insert_over_mch (at least 10): as TorchRec's managed collisions, least frequent, which
  choose anew every tenth batch.
- growth_worst_over_median (under 5): of batches of new ids, from none to all.
- bytes_per_id_over_payload (under 1.5): all that is kept of an id, with a vector of 32, over key,
  vector and momentum.
- evict_over_insert (at most 1.5): a step of sharded tables that are full, on average, over one with
  room; a third of what comes is new. slowest_over_insert: the slowest of them.
- dedup_bytes_saved: between ranks and at the rows, of eight ranks on the demo's rows.
- distinct: twenty million ids, one after the other, without a collision.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from benchmarks.cpu_measure import machine, versions
from rayrank.strict import Strict

from bench.tables_dedup import dedup_bytes_saved
from bench.tables_map import distinct, growth_worst_over_median, over_khash, over_mch
from bench.tables_step import evict_over_insert

BOUNDS = {
    "find_or_insert_over_khash": ">= 1.0",
    "find_over_khash": ">= 1.0",
    "find_or_insert_over_mch": ">= 10",
    "growth_worst_over_median": "< 5",
    "bytes_per_id_over_payload": "< 1.5",
    "evict_over_insert": "<= 1.5",
}


class Sizes(Strict):
    """How much is measured."""

    ids: tuple[int, ...] = (1_000_000, 10_000_000)
    batches: int = 40
    """That are timed, of each kind."""
    distinct: int = 20_000_000
    ranks: int = 8
    """Whose lookups are counted."""


def measure(sizes: Sizes, demo: Path | None) -> dict[str, Any]:
    """All figures; demo: the config of a run whose rows are there, for what duplicates save."""
    before = os.getloadavg()
    threads = torch.get_num_threads()
    of_ids = {}
    for ids in sizes.ids:
        torch.set_num_threads(1)
        of_map = {
            **over_khash(ids, sizes.batches),
            "find_or_insert_over_mch": over_mch(ids, sizes.batches),
            "growth_worst_over_median": growth_worst_over_median(ids),
        }
        torch.set_num_threads(threads)
        of_ids[f"{ids}"] = of_map | evict_over_insert(ids, sizes.batches)
    saved = None
    if demo is not None:
        with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as name:
            saved = dedup_bytes_saved(demo, Path(name), sizes.ranks, sizes.batches)
    return {
        "ids": of_ids,
        "distinct": distinct(sizes.distinct),
        "dedup_bytes_saved": saved,
        # What else ran: figures of a run that began on a busy machine say little.
        "load_average_before": before[0],
        "sizes": sizes.model_dump(),
        "machine": machine(),
        "versions": versions(),
    }


def table(result: dict[str, Any]) -> str:
    """The figures beside what is asked of them."""
    lines = []
    for name, bound in BOUNDS.items():
        told = "   ".join(f"{of[name]:8.2f} at {int(ids):,}" for ids, of in result["ids"].items())
        lines.append(f"{name:26} {told}   {bound}")
    distinct_ids, saved = result["distinct"], result["dedup_bytes_saved"]
    lines.append(
        f"{distinct_ids['ids']:,} distinct ids: {distinct_ids['collisions']} collisions, "
        f"{distinct_ids['lost']} lost, {distinct_ids['inserted_per_s'] / 1e6:.0f} M/s inserted"
    )
    if saved is not None:
        lines.append(
            f"duplicates, {saved['ranks']} ranks: {saved['exchange']:.1%} of the bytes between "
            f"ranks saved, {saved['rows']:.1%} of those of rows"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bench/tables.json"))
    parser.add_argument("--demo", type=Path, default=Path("jobs/demo.yaml"))
    asked = parser.parse_args()
    result = measure(Sizes(), asked.demo)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
