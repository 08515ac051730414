"""User rows -> trained rankers, on Ray Train. Writes RUN_DIR/rankers/NAME; resumes what is."""

from argparse import Namespace

from rayrank.run.terminal import console, run_job
from rayrank.config import RunConfig
from rayrank.run.watched import train_watched


def main(config: RunConfig, arguments: Namespace) -> None:
    names = [config.ranker(arguments.ranker)[0]] if arguments.ranker else list(config.rankers)
    for name in names:
        checkpoint = train_watched(config, name)
        console.print(f"{name}: {checkpoint}", highlight=False)


if __name__ == "__main__":
    run_job(__doc__, main)
