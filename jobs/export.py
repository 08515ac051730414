"""A trained ranker -> a bundle for serving. Writes RUN_DIR/bundle."""

import json
from argparse import Namespace

from rayrank.run.terminal import console, run_job
from rayrank.config import RunConfig
from rayrank.data.row_stats import read_stats
from rayrank.data.source import open_log
from rayrank.train.export import export


def main(config: RunConfig, arguments: Namespace) -> None:
    name, _ = config.ranker(arguments.ranker)
    _, schema = open_log(config.data, config.run_dir)
    evaluated = config.run_dir / "eval" / "metrics.json"
    metrics = json.loads(evaluated.read_text())["rankers"][name] if evaluated.exists() else {}
    stats = read_stats(config.run_dir / "rows")
    out = config.run_dir / "bundle"
    manifest = export(config, name, schema, stats, metrics, out)
    console.print(f"{out}: {name}, version {manifest.version}", highlight=False)


if __name__ == "__main__":
    run_job(__doc__, main)
