"""The README's KuaiRand table: every ranker with three seeds, beside baselines."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import ray
from rayrank.run.terminal import connect, console, readable_errors, watching
from rayrank.config import RunConfig, load_config
from rayrank.data.build import build
from rayrank.data.source import prepare_log
from rayrank.evaluate.run import evaluate
from rayrank.run.watched import train_watched
from rich.table import Table

SEEDS = (0, 1, 2)
# From the data's own README: strictly causal, the same split.
PUBLISHED = {
    "item rate (published)": {"is_click": (0.759, 0.697), "long_view": (0.755, 0.690)},
    "LightGBM (published)": {"is_click": (0.809, 0.682), "long_view": (0.794, 0.697)},
}


def with_seeds(config: RunConfig) -> RunConfig:
    """Every ranker once per seed, named `NAME-SEED`."""
    rankers = {}
    for name, ranker in config.rankers.items():
        for seed in SEEDS:
            train = ranker.train.model_copy(update={"seed": seed})
            rankers[f"{name}-{seed}"] = ranker.model_copy(update={"train": train})
    return config.model_copy(update={"rankers": rankers})


def run(config: RunConfig) -> dict[str, Any]:
    """Build, train, evaluate; {ranker: {task: {metric: [mean, std over seeds, bootstrap se]}}}."""
    log, schema = prepare_log(config.data, config.run_dir)
    with watching("building user rows") as watch:
        build(log, schema, config.run_dir / "rows", config.data, watch)
    seeded = with_seeds(config)
    for name in seeded.rankers:
        train_watched(seeded, name)
    with watching("scoring the test rows") as watch:
        results = evaluate(seeded, log, schema, watch)
    table: dict[str, Any] = {}
    for name in config.rankers:
        runs = [results["rankers"][f"{name}-{seed}"] for seed in SEEDS]
        table[name] = {
            task: {
                metric: [
                    float(np.mean([quality[task][metric] for quality in runs])),
                    float(np.std([quality[task][metric] for quality in runs], ddof=1)),
                    float(np.mean([quality[task][metric + "_se"] for quality in runs])),
                ]
                for metric in ("auc", "gauc")
            }
            for task in schema.tasks
        }
    for name, quality in results["baselines"].items():
        table[name] = {
            task: {metric: [q[metric], 0.0, q[metric + "_se"]] for metric in ("auc", "gauc")}
            for task, q in quality.items()
        }
    return {
        "test_users": results["users"],
        "test_exposures": results["candidates"],
        "seeds": len(SEEDS),
        "quality": table,
    }


def show(found: dict[str, Any]) -> None:
    """Print the table: mean ± standard deviation over seeds (bootstrap error over users)."""
    table = Table(
        title=f"KuaiRand, {found['test_exposures']:,} test exposures of "
        f"{found['test_users']} users: mean ± deviation over {found['seeds']} seeds "
        "(bootstrap error over users)"
    )
    table.add_column("ranker")
    tasks = list(next(iter(PUBLISHED.values())))
    for task in tasks:
        table.add_column(f"{task} AUC")
        table.add_column(f"{task} GAUC")
    for name, quality in found["quality"].items():
        cells = [quality[task][metric] for task in tasks for metric in ("auc", "gauc")]
        table.add_row(name, *(f"{m:.4f} ± {s:.4f} ({e:.4f})" for m, s, e in cells))
    for name, published in PUBLISHED.items():
        table.add_row(name, *(f"{value:.3f}" for task in tasks for value in published[task]))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/kuairand")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    with readable_errors():
        config = load_config(
            Path("configs/kuairand.yaml"),
            [f"data.path={arguments.data}", "run_dir=runs/kuairand", *arguments.overrides],
        )
        connect(config.run_dir)
        try:
            found = run(config)
        finally:
            ray.shutdown()
        (config.run_dir / "table.json").write_text(json.dumps(found, indent=1))
        show(found)


if __name__ == "__main__":
    main()
