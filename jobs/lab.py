"""The model lab: what MTGR brings, what of it brings it, and what more compute would bring.

Goes on where it came to."""

import argparse
from pathlib import Path

from rayrank.lab.config import load_lab
from rayrank.lab.folder import LabFolder
from rayrank.lab.run import lab
from rayrank.run.cluster import cluster
from rayrank.run.folder import RunFolder
from rayrank.run.terminal import readable_errors, say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("lab.yaml"))
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    with readable_errors():
        config = load_lab(arguments.config, arguments.overrides)
        folder = LabFolder(config.run_dir)
        with cluster(RunFolder(str(folder.root)), "lab"):
            lab(config, say)
        say(f"report   {folder.report}\ntables   {folder.table('*')}")


if __name__ == "__main__":
    main()
