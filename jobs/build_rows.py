"""Exposure log -> user rows. Writes RUN_DIR/rows: all of them, or those of some days beside the
days that are there."""

import argparse

from rayrank.run.job import run_job
from rayrank.run.stages import build, build_days


def add_day(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--day",
        help="2026-11-24, 2026-11-20..2026-11-24, or new: what is not there yet; all at once "
        "unless said",
    )


if __name__ == "__main__":
    run_job(
        __doc__,
        lambda run, told: build(run) if told.day is None else build_days(run, told.day),
        add_day,
    )
