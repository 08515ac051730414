"""Exposure log -> user rows, on Ray Data. Writes RUN_DIR/rows."""

from argparse import Namespace

from rayrank.run.terminal import console, run_job, watching
from rayrank.config import RunConfig
from rayrank.data.build import build
from rayrank.data.source import prepare_log


def main(config: RunConfig, arguments: Namespace) -> None:
    log, schema = prepare_log(config.data, config.run_dir)
    with watching("building user rows") as watch:
        stats = build(log, schema, config.run_dir / "rows", config.data, watch)
    lengths = stats.length_summary()
    console.print(
        f"{stats.exposures:,} exposures -> {stats.rows:,} user rows "
        f"({stats.exposures / stats.rows:.1f} to one), {stats.tokens:,} tokens; tokens per row: "
        f"mean {lengths['mean']:.0f}, p50 {lengths['p50']:.0f}, p99 {lengths['p99']:.0f}, "
        f"max {lengths['max']:.0f}",
        highlight=False,
    )


if __name__ == "__main__":
    run_job(__doc__, main)
