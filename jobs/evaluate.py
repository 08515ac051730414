"""Trained rankers and baselines on the test rows. Writes RUN_DIR/eval."""

from argparse import Namespace

from rayrank.run.terminal import run_job, watching
from rayrank.config import RunConfig
from rayrank.data.source import open_log
from rayrank.evaluate.run import evaluate
from rayrank.evaluate.table import print_quality


def main(config: RunConfig, arguments: Namespace) -> None:
    log, schema = open_log(config.data, config.run_dir)
    with watching("scoring the test rows") as watch:
        results = evaluate(config, log, schema, watch)
    print_quality(results)


if __name__ == "__main__":
    run_job(__doc__, main)
