"""A trained ranker -> a bundle for serving. Writes RUN_DIR/bundles/VERSION."""

from rayrank.run.job import Arguments, add_ranker, run_job
from rayrank.run.run import Run
from rayrank.run.stages import export


def main(run: Run, arguments: Arguments) -> None:
    export(run, run.config.ranker(arguments.ranker)[0])


if __name__ == "__main__":
    run_job(__doc__, main, lambda parser: add_ranker(parser, "the first"))
