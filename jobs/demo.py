"""The main job from end to end: log, user rows, training, evaluation, bundle, scores over HTTP."""

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import serve
from rayrank.run.terminal import connect, console, readable_errors, watching
from rayrank.config import RunConfig, load_config
from rayrank.data.build import build
from rayrank.data.log import Log
from rayrank.data.row_stats import RowStats
from rayrank.data.source import SCHEMA, prepare_log
from rayrank.storage import whole_file
from rayrank.evaluate.run import evaluate, read_scores
from rayrank.evaluate.table import print_quality
from rayrank.report import write_report
from rayrank.run.report import report_of_run
from rayrank.schema import Schema
from rayrank.serve.app import RankingArgs
from rayrank.serve.check import Checked, check
from rayrank.serve.local import APP, local_api_key, start_locally
from rayrank.serve.replay import replay
from rayrank.train.export import export
from rayrank.train.progress import STEPS, read_progress
from rayrank.run.watched import train_watched
from rich.table import Table

CONFIGS = Path("configs")
REPLAYED_USERS = 150


def config_for(data: str | None, overrides: list[str]) -> RunConfig:
    """The demo's config for what DATA is: nothing (simulate), a log with a schema, or KuaiRand."""
    if data is None:
        return load_config(CONFIGS / "demo.yaml", overrides)
    kind = "parquet" if (Path(data) / SCHEMA).exists() else "kuairand"
    return load_config(CONFIGS / f"{kind}.yaml", [f"data.path={data}", *overrides])


class Stages:
    """Runs the stages, timing each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.started = time.perf_counter()

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        console.rule(f"[bold]{name}[/]  {what}", align="left")
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def total(self) -> dict[str, float]:
        return self.seconds | {"total": time.perf_counter() - self.started}


def run(config: RunConfig) -> dict[str, Any]:
    """All stages; returns the summary."""
    stages, run_dir = Stages(), config.run_dir
    with stages.stage("build", "exposure log to user rows, on Ray Data"):
        log, schema = prepare_log(config.data, run_dir)
        with watching("building user rows") as watch:
            stats = build(log, schema, run_dir / "rows", config.data, watch)
    with stages.stage("train", "on Ray Train, over TorchRec's sharded tables"):
        for name in config.rankers:
            train_watched(config, name)
    with stages.stage("eval", "on later data, beside baselines"):
        with watching("scoring the test rows") as watch:
            results = evaluate(config, log, schema, watch)
        print_quality(results)
    first = config.ranker(None)[0]
    with stages.stage("export", "the trained ranker to a bundle"):
        export(config, first, schema, stats, results["rankers"][first], run_dir / "bundle")
    with stages.stage("serve", "the bundle on Ray Serve, scores checked over HTTP"):
        checked = serve_and_check(config, log, schema, stats)
    seconds = stages.total()
    title = f"rayrank on {schema.name.replace('_', ' ')}"
    write_report(
        report_of_run(config, title, stats, results, checked, stages.seconds),
        run_dir / "report.html",
    )
    return summarize(config, stats, results, checked, seconds)


def serve_and_check(config: RunConfig, log: Log, schema: Schema, stats: RowStats) -> Checked:
    """Start the endpoint, replay logged requests, compare with the trainer's scores, stop it."""
    run_dir = config.run_dir
    scored = read_scores(run_dir, config.ranker(None)[0])
    users = scored["user"].combine_chunks().unique()[:REPLAYED_USERS]
    requests = replay(log, schema, users, stats.split_times_ms, config.data.max_history)
    (run_dir / "request.json").write_text(json.dumps(requests[0], default=float))
    key = local_api_key(run_dir)
    url = start_locally(RankingArgs(bundle=run_dir / "bundle"))
    try:
        with watching("requests over HTTP") as watch:
            return check(url, key, requests, scored, schema, watch)
    finally:
        serve.delete(APP)


def summarize(
    config: RunConfig,
    stats: RowStats,
    results: dict[str, Any],
    checked: Checked,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """What `summary.json` holds."""
    first, ranker = config.ranker(None)
    steps = read_progress(config.run_dir / "rankers" / first / STEPS)
    timed = steps[1:] or steps  # the first step also allocates
    lengths = stats.length_summary()
    others = {name: q for name, q in results["rankers"].items() if name != first}
    return {
        "data": {
            "source": config.data.source,
            "exposures": stats.exposures,
            "user_rows": stats.rows,
            "compression": stats.exposures / stats.rows,
            "tokens": stats.tokens,
            "lengths": lengths,
            "test_users": results["users"],
            "test_exposures": results["candidates"],
        },
        "train": {
            "ranker": first,
            "workers": ranker.train.workers,
            "steps": steps[-1]["step"],
            "tokens_per_s": sum(s["tokens"] for s in timed) / sum(s["seconds"] for s in timed),
        },
        "eval": results["rankers"][first],
        "baselines": others | results["baselines"],
        "serve": checked.summary(),
        "seconds": seconds,
    }


def print_summary(summary: dict[str, Any], run_dir: Path) -> None:
    """The one table at the end, and what to do next."""
    data, train, served = summary["data"], summary["train"], summary["serve"]
    table = Table(title="rayrank: what this run found", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    table.add_row(
        "data",
        f"{data['exposures']:,} exposures in {data['user_rows']:,} user rows "
        f"({data['compression']:.1f} to one), {data['tokens']:,} tokens",
    )
    table.add_row("lengths", ", ".join(f"{k} {v:,.0f}" for k, v in data["lengths"].items()))
    table.add_row(
        "training",
        f"{train['workers']} workers, {train['steps']} steps, "
        f"{train['tokens_per_s']:,.0f} tokens/s",
    )
    for task, quality in summary["eval"].items():
        beside = ", ".join(
            f"{name} {q[task]['gauc']:.3f}" for name, q in summary["baselines"].items()
        )
        table.add_row(task, f"AUC {quality['auc']:.3f}, GAUC {quality['gauc']:.3f} ({beside})")
    table.add_row(
        "serving",
        f"{served['requests']} requests, p50 {served['p50_ms']:.1f} ms, "
        f"p99 {served['p99_ms']:.1f} ms; largest difference from the trainer's scores "
        f"{served['max_abs_diff']:.1e}",
    )
    table.add_row("seconds", ", ".join(f"{k} {v:.0f}" for k, v in summary["seconds"].items()))
    console.print(table)
    console.print(
        f"report   {run_dir / 'report.html'}\nsummary  {run_dir / 'summary.json'}\n"
        "next     make serve   (keeps the endpoint up, and prints a curl line)",
        highlight=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        help="KuaiRand's folder or file, or a folder with schema.yaml; simulated unless said",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    with readable_errors():
        config = config_for(arguments.data, arguments.overrides)
        shutil.rmtree(config.run_dir, ignore_errors=True)
        config.run_dir.mkdir(parents=True)
        local_api_key(config.run_dir)
        connect(config.run_dir)
        try:
            summary = run(config)
        finally:
            ray.shutdown()
        with whole_file(config.run_dir / "summary.json") as writing:
            writing.write_text(json.dumps(summary, indent=1))
        print_summary(summary, config.run_dir)


if __name__ == "__main__":
    main()
