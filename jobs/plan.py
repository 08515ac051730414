"""What tables, memory, exchange and a step would be on 1 to 1,024 ranks, without having them: an
estimate. Reads training rows, changes nothing."""

import argparse

from rayrank.run.job import Arguments, add_ranker, run_job
from rayrank.run.plan import plan
from rayrank.run.run import Run
from rayrank.train.devices import DEVICES


def add_device(parser: argparse.ArgumentParser) -> None:
    add_ranker(parser, "the first one")
    parser.add_argument(
        "--device", choices=DEVICES, default="H100", help="what each rank has; H100 unless said"
    )


def main(run: Run, arguments: Arguments) -> None:
    name, _ = run.config.ranker(arguments.ranker)
    plan(run, name, arguments.device)


if __name__ == "__main__":
    run_job(__doc__, main, add_device, on_ray=False)
