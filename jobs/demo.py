"""The main job from end to end: log, user rows, training, evaluation, bundle, scores over HTTP.

In a folder that holds the same run already it goes on from where that came to."""

import argparse
import json
import shlex
from pathlib import Path

from rayrank.data.source import SCHEMA
from rayrank.errors import DataError
from rayrank.run.cluster import cluster
from rayrank.run.config import RunConfig, load_config
from rayrank.run.job import add_overrides, begin
from rayrank.run.pipeline import pipeline
from rayrank.run.seeds import over_seeds, seeds_table, with_seeds
from rayrank.run.terminal import console, readable_errors, say
from rayrank.storage import place, write_whole

HERE = Path(__file__).parent


def config_for(data: str | None, config: Path | None, overrides: list[str]) -> RunConfig:
    """What to run on DATA: the config that is given, or the one for a simulated log, a folder with
    a schema, or KuaiRand's files; each log has a run of its own, unless run_dir says otherwise."""
    if data is None:
        return load_config(config or HERE / "demo.yaml", overrides)
    root = place(data)
    if not root.exists():
        raise DataError(f"{data}: no such file or folder; expected a log, as docs/data.md says")
    source = "parquet" if root.is_dir() and not any(root.glob("log*.[ct]sv")) else "kuairand"
    told = [f"data.source={source}", f"data.path={data}", f"run_dir=runs/{root.stem}", *overrides]
    return load_config(config or HERE / f"{source}.yaml", told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", help=f"a folder with tables and {SCHEMA}, or KuaiRand's files; simulated else"
    )
    parser.add_argument("--config", type=Path, help="a run's YAML file, instead of the demo's")
    parser.add_argument("--seeds", type=int, default=1, help="train each ranker so many times")
    add_overrides(parser)
    arguments = parser.parse_args()
    with readable_errors():
        config = config_for(arguments.data, arguments.config, arguments.overrides)
        seeds = arguments.seeds
        run = begin(with_seeds(config, seeds) if seeds > 1 else config, new=arguments.new)
        with cluster(run.folder, "demo"):
            summary = pipeline(run)
        if seeds > 1:
            spreads = over_seeds(config, seeds, summary.evaluation)
            write_whole(run.folder.seeds, json.dumps(spreads, indent=1))
            console.print(seeds_table(f"{seeds} seeds", spreads))
        where = "" if str(run.folder) == "runs/demo" else f" RUN_DIR={shlex.quote(str(run.folder))}"
        say(
            f"report   {run.folder.report}\nsummary  {run.folder.summary}\n"
            f"next     make serve{where}   (keeps the endpoint up, and prints a curl line)"
        )


if __name__ == "__main__":
    main()
