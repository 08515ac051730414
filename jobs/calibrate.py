"""What a visible pair costs a ranker on this cluster's device: the train.pair_cost to write into
its config. Reads training rows, changes nothing."""

from rayrank.run.calibrate import calibrate
from rayrank.run.job import Arguments, add_ranker, run_job
from rayrank.run.run import Run


def main(run: Run, arguments: Arguments) -> None:
    name, _ = run.config.ranker(arguments.ranker)
    calibrate(run, name)


if __name__ == "__main__":
    run_job(__doc__, main, lambda parser: add_ranker(parser, "the first one"))
