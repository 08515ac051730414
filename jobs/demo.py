"""The main job from end to end: log, user rows, training, evaluation, bundle, scores over HTTP.

In a folder that holds the same run already it goes on from where that came to."""

import argparse
import json
import shlex
from pathlib import Path

from rayrank.data.source import SCHEMA
from rayrank.evaluate.table import quality_table
from rayrank.run.cluster import cluster
from rayrank.run.config import RunConfig, load_config
from rayrank.run.job import add_overrides, begin
from rayrank.run.report import report
from rayrank.run.run import Run
from rayrank.run.seeds import over_seeds, seeds_table, with_seeds
from rayrank.run.stages import build, check, evaluate, export, promote, train
from rayrank.run.summary import Summary, summarize, summary_table
from rayrank.run.terminal import console, readable_errors, say
from rayrank.storage import place, write_whole

HERE = Path(__file__).parent


def config_for(data: str | None, config: Path | None, overrides: list[str]) -> RunConfig:
    """What to run on DATA: the config that is given, or the one for a simulated log, a folder with
    a schema, or KuaiRand's files; each log has a run of its own, unless run_dir says otherwise."""
    if data is None:
        return load_config(config or HERE / "demo.yaml", overrides)
    root = place(data)
    source = "parquet" if root.is_dir() and not any(root.glob("log*.[ct]sv")) else "kuairand"
    told = [f"data.source={source}", f"data.path={data}", f"run_dir=runs/{root.stem}", *overrides]
    return load_config(config or HERE / f"{source}.yaml", told)


def run_all(run: Run, seeds: int) -> Summary:
    """Every stage, in order."""
    one = run.config
    if seeds > 1:
        run = Run(with_seeds(one, seeds), new=run.new)
    stats = build(run)
    train(run, run.config.rankers)
    evaluation = evaluate(run)
    console.print(quality_table(evaluation))
    export(run, next(iter(run.config.rankers)))
    checked = check(run)
    promote(run)
    report(run)
    summary = summarize(run, stats, evaluation, checked)
    if seeds > 1:
        spreads = over_seeds(one, seeds, evaluation)
        write_whole(run.folder.root / "seeds.json", json.dumps(spreads, indent=1))
        title = f"{seeds} seeds: mean ± deviation over them (bootstrap error over users)"
        console.print(seeds_table(title, spreads))
    return summary


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
        run = begin(config, new=arguments.new)
        with cluster(run.folder, "demo"):
            summary = run_all(run, arguments.seeds)
        console.print(summary_table(summary))
        where = "" if str(run.folder) == "runs/demo" else f" RUN_DIR={shlex.quote(str(run.folder))}"
        say(
            f"report   {run.folder.report}\nsummary  {run.folder.summary}\n"
            f"next     make serve{where}   (keeps the endpoint up, and prints a curl line)"
        )


if __name__ == "__main__":
    main()
