"""Trained rankers and baselines on the test rows. Writes RUN_DIR/eval."""

from rayrank.evaluate.table import quality_table
from rayrank.run.job import Arguments, run_job
from rayrank.run.run import Run
from rayrank.run.stages import evaluate
from rayrank.run.terminal import console


def main(run: Run, arguments: Arguments) -> None:
    console.print(quality_table(evaluate(run)))


if __name__ == "__main__":
    run_job(__doc__, main)
