"""What a budget of a tenth of a log's ids costs in quality, by policy.

    python -m bench.table_policies [--items 20000] [--out runs/policies]

A simulated log of many restaurants; MTGR is trained on it with room for all ids, and, on the same
rows with the same seed, with tables that may hold a tenth of them together. Beside the quality of
each, paired differences to the first with their standard errors over users. Demanded: the best
policy loses at most 0.005 of GAUC, of each task.

    OUT/policies.json     the figures; OUT/run has the rankers
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.cpu_measure import machine, versions
from rayrank.evaluate.results import Evaluation
from rayrank.run.cluster import cluster
from rayrank.run.config import RunConfig
from rayrank.run.run import Run
from rayrank.run.stages import build, evaluate, train
from rayrank.run.terminal import readable_errors
from rayrank.train.checkpoint import read_rows
from rayrank.train.finished import JOURNAL, finished_checkpoint
from rayrank.train.journal import StepLine, read_story

from bench.demo_ranker import RANKER

UNLIMITED, WORST = "unlimited", 0.005
POLICIES: dict[str, dict[str, Any]] = {
    "least_recent": {"evict": "least_recent"},
    "least_frequent": {"evict": "least_frequent"},
    "least_frequent_halved": {"evict": "least_frequent", "half_life": 50},
    "least_recent_admit_2": {"evict": "least_recent", "admit_after": 2},
    "least_frequent_admit_2": {"evict": "least_frequent", "admit_after": 2},
}
"""Name -> train.tables, beside the budget."""
PART = 10
"""The budget is one of so many parts of the ids."""


def config(out: Path, items: int, budget: int | None) -> RunConfig:
    """The demo's ranker, with room for all ids, and, with a budget, under each policy."""

    def ranker(tables: dict[str, Any]) -> dict[str, Any]:
        return {**RANKER, "train": {**RANKER["train"], "tables": tables}}

    rankers = {UNLIMITED: ranker({})}
    if budget is not None:
        rankers |= {name: ranker({"budget": budget, **of}) for name, of in POLICIES.items()}
    return RunConfig.model_validate(
        {
            "run_dir": str(out / "run"),
            "data": {"source": "simulate", "simulate": {"items": items}},
            "rankers": rankers,
        }
    )


def told_of(run: Run, name: str) -> dict[str, float]:
    """What a ranker's tables held at the end, and did over all steps."""
    folder = run.trained(name).folder
    steps: list[StepLine] = read_story(folder / JOURNAL).steps
    held = read_rows(finished_checkpoint(folder)).values()
    sums = {
        what: sum(of[what] for line in steps for of in line.tables.values())
        for what in ("inserted", "refused", "evicted")
    }
    return {"ids": sum(len(of.keys) for of in held), **sums}


def figures(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """Of every ranker: GAUC of each task, differences to the unlimited one, what its tables did."""
    found: dict[str, Any] = {}
    for name in run.config.rankers:
        quality = evaluation.rankers[name]
        found[name] = {
            "gauc": {task: of["gauc"].value for task, of in quality.items()},
            "tables": told_of(run, name),
        }
        if name != UNLIMITED:
            found[name]["gauc_less"] = {
                task: [of["gauc"].value, of["gauc"].standard_error]
                for task, of in evaluation.differences[name].items()
            }
    return found


def table(found: dict[str, Any]) -> str:
    """For docs/tables.md."""
    lines = ["| policy | ids | came | went | no row | GAUC click | GAUC order |", "|---" * 7 + "|"]
    for name, of in found.items():
        told, less = of["tables"], of.get("gauc_less", {})
        gauc = [
            f"{value:.4f}" + (f" ({less[task][0]:+.4f} ± {less[task][1]:.4f})" if less else "")
            for task, value in of["gauc"].items()
        ]
        counts = [f"{told[what]:,.0f}" for what in ("ids", "inserted", "evicted", "refused")]
        lines.append(f"| {' | '.join([name, *counts, *gauc])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("runs/policies"))
    told, begun = parser.parse_args(), time.perf_counter()
    with readable_errors():
        first = Run(config(told.out, told.items, None))
        with cluster(first.folder, "policies"):
            build(first)
            train(first, [UNLIMITED])
            ids = told_of(first, UNLIMITED)["ids"]
            run = Run(config(told.out, told.items, int(ids) // PART))
            build(run)
            train(run, run.config.rankers)
            found = figures(run, evaluate(run))
    best = max(
        POLICIES, key=lambda name: min(less for less, _ in found[name]["gauc_less"].values())
    )
    loss = -min(less for less, _ in found[best]["gauc_less"].values())
    result = {
        "ids": ids,
        "budget": int(ids) // PART,
        "rankers": found,
        "best": best,
        "loss": loss,
        "seconds": time.perf_counter() - begun,
        "machine": machine(),
        "versions": versions(),
    }
    (told.out / "policies.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(found))
    print(f"best: {best}, which loses {max(loss, 0):.4f} of GAUC at most (<= {WORST})")
    sys.exit(loss > WORST)


if __name__ == "__main__":
    main()
