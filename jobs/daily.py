"""A day of the log: measured with the model before it, learned from, gated, promoted. Or several
days, or those to come.

    python jobs/daily.py --config mine.yaml --day 2026-11-24
    python jobs/daily.py --config mine.yaml --watch

Ends with status 3 (--refused-status) where a day was refused. Writes RUN_DIR/daily; a cut day is
gone on with."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from rayrank.run.cluster import cluster
from rayrank.run.config import load_config
from rayrank.run.daily import demand_daily
from rayrank.run.daily_days import learn_days, watch_days
from rayrank.run.job import add_overrides, add_ranker, begin
from rayrank.run.terminal import readable_errors

REFUSED = 3
"""Not 1, which says that no decision could be made."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--day",
        help="2026-11-24, 2026-11-20..2026-11-24, or new: days that are over, and not decided on",
    )
    what.add_argument(
        "--watch", action="store_true", help="decide on days as they come, until interrupted"
    )
    parser.add_argument("--every", type=float, default=60.0, help="look for days so often (s)")
    parser.add_argument("--again", action="store_true", help="try a refused day once more")
    parser.add_argument(
        "--refused-status",
        type=int,
        default=REFUSED,
        help="exit status where a day was refused: 0 for whoever tries failed jobs again",
    )
    add_ranker(parser, "the first")
    add_overrides(parser)
    told = parser.parse_args()
    with readable_errors():
        run = begin(load_config(told.config, told.overrides), new=told.new)
        name, _ = run.config.ranker(told.ranker)
        demand_daily(run)
        with cluster(run.folder, Path(sys.argv[0]).stem):
            if told.watch:
                stop = threading.Event()
                for number in (signal.SIGINT, signal.SIGTERM):  # a day under way is ended first
                    signal.signal(number, lambda *_: stop.set())
                outcomes = watch_days(run, name, told.every, stop)
            else:
                outcomes = learn_days(run, name, told.day, again=told.again)
    sys.exit(0 if all(outcome.accepted for outcome in outcomes) else told.refused_status)


if __name__ == "__main__":
    main()
