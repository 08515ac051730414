"""The README's KuaiRand table: every ranker with three seeds, beside baselines."""

import argparse
import json
from pathlib import Path

from rayrank.run.cluster import cluster
from rayrank.run.config import load_config
from rayrank.run.job import add_overrides, begin
from rayrank.run.seeds import over_seeds, seeds_table, with_seeds
from rayrank.run.stages import build, evaluate, train
from rayrank.run.terminal import console, readable_errors
from rayrank.storage import write_whole

SEEDS = 3
# From the data's own README: strictly causal, the same split.
PUBLISHED = {
    "item rate (published)": {"is_click": (0.759, 0.697), "long_view": (0.755, 0.690)},
    "LightGBM (published)": {"is_click": (0.809, 0.682), "long_view": (0.794, 0.697)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/kuairand")
    add_overrides(parser)
    arguments = parser.parse_args()
    told = [f"data.path={arguments.data}", "run_dir=runs/kuairand-table", *arguments.overrides]
    with readable_errors():
        config = load_config(Path(__file__).with_name("kuairand.yaml"), told)
        run = begin(with_seeds(config, SEEDS), new=arguments.new)
        with cluster(run.folder, "kuairand table"):
            build(run)
            train(run, run.config.rankers)
            evaluation = evaluate(run)
    spreads = over_seeds(config, SEEDS, evaluation)
    write_whole(run.folder.seeds, json.dumps(spreads, indent=1))
    table = seeds_table(
        f"KuaiRand, {evaluation.exposures:,} test exposures of {evaluation.users} users, "
        f"{SEEDS} seeds",
        spreads,
    )
    for name, published in PUBLISHED.items():
        table.add_row(name, *(f"{value:.3f}" for task in published.values() for value in task))
    console.print(table)


if __name__ == "__main__":
    main()
