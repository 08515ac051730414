"""Scores of user rows, or of a raw log's exposures, with a bundle. Writes OUT/scores/*.parquet."""

import argparse
from datetime import date

from rayrank.run.cluster import cluster
from rayrank.run.scoring import Scoring
from rayrank.run.terminal import readable_errors, say
from rayrank.run.to_score import LogToScore, RowsToScore


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a day such as 2026-11-24") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True, help="a version's folder, or BUNDLES/current")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--rows", help="a folder of user rows, such as RUN_DIR/rows/VERSION/test")
    given.add_argument("--log", help="a folder of raw tables, those of the bundle's schema")
    parser.add_argument("--since", type=day, help="of the log, score the days from this one on")
    parser.add_argument("--out", required=True, help="a new folder for the scores")
    arguments = parser.parse_args()
    if arguments.since and not arguments.log:
        parser.error("--since belongs to --log")
    with readable_errors():
        rows, log = arguments.rows, arguments.log
        what = RowsToScore.at(rows) if rows else LogToScore.at(log, arguments.since)
        scoring = Scoring(arguments.bundle, what, arguments.out)
        scores = scoring.done
        if scores is not None:
            say(f"{scoring.out}: scored already ({scores.candidates:,} candidates)")
            return
        with cluster(scoring.folder, "score"):
            scores = scoring.run()
        say(
            f"{scoring.scores}: {scores.candidates:,} candidates of {scores.rows:,} user rows, by "
            f"{scores.ranker} {scores.version}"
        )


if __name__ == "__main__":
    main()
