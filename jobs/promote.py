"""A bundle that passed its check becomes `current`, which serving follows, or stands beside it."""

import argparse

from rayrank.errors import ConfigError
from rayrank.run.job import Arguments, add_version, run_job
from rayrank.run.promotion import end, promote, promote_back, promote_canary, promote_shadow
from rayrank.run.run import Run
from rayrank.versions import CANARY, SHADOW


def add_what(parser: argparse.ArgumentParser) -> None:
    add_version(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--canary", type=float, metavar="SHARE", help="it answers this share of the users, say 0.05"
    )
    what.add_argument("--shadow", action="store_true", help="it scores along and answers nobody")
    what.add_argument("--end", choices=[CANARY, SHADOW], help="there is none any more")
    what.add_argument("--back", action="store_true", help="what was current before is so again")


def main(run: Run, told: Arguments) -> None:
    if told.version is not None and (told.end or told.back):
        raise ConfigError("--version: not with --end and --back, which know theirs")
    if told.canary is not None:
        promote_canary(run, told.canary, told.version)
    elif told.shadow:
        promote_shadow(run, told.version)
    elif told.end:
        end(run, told.end)
    elif told.back:
        promote_back(run)
    else:
        promote(run, told.version)


if __name__ == "__main__":
    run_job(__doc__, main, add_what, on_ray=False)
