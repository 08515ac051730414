"""Seven days one after the other, the fourth of them damaged: its clicks are dealt at random.

    python -m bench.daily [--out runs/daily] [--picture docs/daily.svg]

A simulated log, a file for each day; MTGR learns day by day as jobs/daily.py does it. Demanded: the
damaged day is refused, before it is learned from; every other one is promoted; the last models are
better on a new day than the first. Ends with status 1 where any of it is not so.

    OUT/run/daily/mtgr/DAY.json     what came of each day
    OUT/run/daily/mtgr.svg          the picture; PICTURE is a copy
    OUT/daily.json                  AUCs by day, the demands, the sizes, how long it took
"""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.cpu_measure import machine, versions
from rayrank.data.config import SimulateConfig
from rayrank.run.cluster import cluster
from rayrank.run.config import RunConfig
from rayrank.run.daily import demand_daily
from rayrank.run.daily_days import learn_days
from rayrank.run.daily_outcome import DayOutcome
from rayrank.run.run import Run
from rayrank.run.terminal import readable_errors, say
from rayrank.strict import Strict

from bench.daily_log import write_log
from bench.demo_ranker import RANKER

NAME = "mtgr"


class Sizes(Strict):
    """How much is learned."""

    users: int = 2000
    mean_length: int = 60
    days: int = 7
    damaged: int = 4
    """The number of a day, from 1."""


def config(out: Path) -> RunConfig:
    """The demo's ranker on the log."""
    return RunConfig.model_validate(
        {
            "run_dir": str(out / "run"),
            "data": {"source": "parquet", "path": str(out / "log"), "split": {"test": 0}},
            "rankers": {NAME: RANKER},
        }
    )


def demands(outcomes: list[DayOutcome], sizes: Sizes) -> dict[str, bool]:
    """What must be seen."""
    damaged = outcomes[sizes.damaged - 1]
    others = [outcome for outcome in outcomes if outcome is not damaged]
    return {
        "the damaged day was refused": not damaged.accepted,
        "before it was learned from": damaged.version is None,
        "every other day was promoted": all(outcome.accepted for outcome in others),
        "the last day's AUC is above the second's": click_auc(others[-1]) > click_auc(others[1]),
    }


def click_auc(outcome: DayOutcome) -> float:
    """Of the model before, on the day."""
    return outcome.measure["click"].metrics["auc"].value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/daily"))
    parser.add_argument("--picture", type=Path, help="where a copy of the picture goes")
    told = parser.parse_args()
    sizes, begun = Sizes(), time.perf_counter()
    if not (told.out / "log" / "schema.yaml").exists():
        simulated = SimulateConfig(
            users=sizes.users, days=sizes.days, mean_length=sizes.mean_length
        )
        write_log(told.out / "log", simulated, damaged=[sizes.damaged])
    with readable_errors():
        run = Run(config(told.out))
        demand_daily(run)
        with cluster(run.folder, "daily"):
            outcomes = learn_days(run, NAME, f"2026-03-02..2026-03-{1 + sizes.days:02d}")
    held = demands(outcomes, sizes)
    result = {
        "click_auc": {outcome.day: click_auc(outcome) for outcome in outcomes},
        "accepted": {outcome.day: outcome.accepted for outcome in outcomes},
        "demands": held,
        "seconds": time.perf_counter() - begun,
        "sizes": sizes.model_dump(),
        "machine": machine(),
        "versions": versions(),
    }
    (told.out / "daily.json").write_text(json.dumps(result, indent=1) + "\n")
    if told.picture is not None:
        told.picture.write_text(Path(str(run.folder.days_picture(NAME))).read_text() + "\n")
    for demand, so in held.items():
        say(f"{'held' if so else 'NOT HELD'}: {demand}")
    sys.exit(0 if all(held.values()) else 1)


if __name__ == "__main__":
    main()
