"""User rows -> trained rankers, on Ray Train. Writes RUN_DIR/rankers/NAME; resumes what was cut."""

from rayrank.run.job import Arguments, add_ranker, run_job
from rayrank.run.run import Run
from rayrank.run.stages import train


def main(run: Run, arguments: Arguments) -> None:
    train(run, [run.config.ranker(arguments.ranker)[0]] if arguments.ranker else run.config.rankers)


if __name__ == "__main__":
    run_job(__doc__, main, lambda parser: add_ranker(parser, "all of them, one after the other,"))
