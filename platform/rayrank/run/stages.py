"""The stages of a run, each said once: build, train, evaluate, export, check, promote.

Each knows what its work is made from. One that finds it complete says so and passes, one that
finds it unfinished resumes, and one that finds only work made from something else refuses, or makes
a new version beside it, as the run was told (`Run.new`).
"""

import json
from collections.abc import Iterable
from functools import partial

import pyarrow as pa

from rayrank.data.build import build as build_user_rows
from rayrank.data.build import build_days as build_user_rows_of_days
from rayrank.data.build import days_made_from, rows_made_from
from rayrank.data.days import read_book, rows_name
from rayrank.data.held_out import DayPart
from rayrank.data.row_stats import STATS, RowStats, read_stats
from rayrank.data.source import prepare_log
from rayrank.errors import CheckError, TrainingError
from rayrank.evaluate.results import Evaluation
from rayrank.evaluate.run import SCORES, read_evaluation
from rayrank.evaluate.run import evaluate as evaluate_rankers
from rayrank.infer.bundle import Manifest, verify_bundle
from rayrank.run.cluster import joined
from rayrank.run.mlflow_log import logged_to_mlflow
from rayrank.run.promotion import bundle_of, promote, read_check
from rayrank.run.run import Run
from rayrank.run.terminal import say, watching
from rayrank.run.watched import watched
from rayrank.schema import Schema
from rayrank.serve.check import Checked
from rayrank.serve.check import check as check_over_http
from rayrank.serve.config import RankingArgs
from rayrank.serve.local import APP_OF_CHECK, local_api_key, running_app
from rayrank.serve.replay import Request, replay
from rayrank.storage import AnyPath, read_parquet, remove_folder, write_whole
from rayrank.train.config import RankerConfig
from rayrank.train.export import export as export_ranker
from rayrank.train.finished import BEGUN, finished_checkpoint, is_finished
from rayrank.train.resources import beyond_reach, waited_for, wanted
from rayrank.train.run import ranker_made_from, start_of
from rayrank.train.run import train as train_ranker
from rayrank.train.warm import Start
from rayrank.versions import CURRENT, EXPORTED, claim, name_version, require

__all__ = ["build", "build_days", "check", "evaluate", "export", "promote", "train"]

REPLAYED_USERS = 150


def build(run: Run) -> RowStats:
    """Exposure log to user rows; later stages use them from now on."""
    with run.stage("build", "exposure log to user rows") as stage:
        log, schema = prepare_log(run.config.data, run.folder.log, new=run.new)
        made_from = rows_made_from(log, schema, run.config.data)
        rows = claim(run.folder.rows, made_from, new=run.new, counts=STATS)
        if (rows / STATS).exists():
            stage.reused = True
            say(f"user rows: complete already ({rows.name}, made from this log)")
        else:
            try:
                with watching("building user rows") as watch:
                    build_user_rows(log, schema, rows, run.config.data, watch, say)
            except BaseException:
                remove_folder(rows)  # nothing of it is of use, and it must not stand in the way
                raise
        name_version(run.folder.rows, CURRENT, rows.name)
        stats = read_stats(rows)
        _tell_rows(stats)
    return stats


def build_days(run: Run, wanted: str) -> RowStats:
    """Some days of the log to user rows that are kept by day (`2026-11-24`,
    `2026-11-20..2026-11-24`, or `new`: what is not there yet); later stages use them, and the days
    that are there, from now on."""
    with run.stage("build", "some days of the log to user rows"):
        log, schema = prepare_log(run.config.data, run.folder.log, new=run.new)
        made_from = days_made_from(log, schema, run.config.data)
        rows = claim(run.folder.rows, made_from, new=run.new, counts=STATS)
        with watching("building user rows") as watch:
            data = run.config.data
            built = build_user_rows_of_days(log, schema, rows, data, wanted, watch, say)
        name_version(run.folder.rows, CURRENT, rows.name)
        stats = read_stats(rows)
        if built is None:
            say(f"nothing new: the log goes until {stats.complete_until()}, as it did")
        else:
            say(f"built {built}")
        _tell_rows(stats)
    return stats


def _tell_rows(stats: RowStats) -> None:
    lengths = stats.length_summary()
    say(
        f"{stats.exposures:,} exposures -> {stats.rows:,} user rows "
        f"({stats.exposures / stats.rows:.1f} to one), {stats.tokens:,} tokens; tokens per "
        f"row: mean {lengths['mean']:.0f}, p50 {lengths['p50']:.0f}, "
        f"p99 {lengths['p99']:.0f}, max {lengths['max']:.0f}"
    )
    labels = "; ".join(f"{task} {told}" for task, told in stats.labels_in_words().items())
    say(f"labels, the log being complete until {stats.complete_until()}: {labels}")


def train(run: Run, names: Iterable[str]) -> None:
    """Train rankers of the config, one after the other; a run that was cut is resumed."""
    with run.stage("train", "on Ray Train, over TorchRec's sharded tables") as stage:
        rows = run.rows()
        _, schema = run.open_log()
        claimed = {}
        for name in names:
            config = run.config.rankers[name]
            folder = run.folder.ranker(name)
            made_from = ranker_made_from(rows, config, schema)
            # A version that no worker ever began does not stand in the way of another.
            claimed[name] = claim(folder, made_from, new=run.new, counts=BEGUN)
        stage.reused = all(is_finished(folder) for folder in claimed.values())
        for name, folder in claimed.items():
            if is_finished(folder):
                say(f"{name}: trained already ({folder.name}, on rows {rows_name(rows)})")
                continue
            config = run.config.rankers[name]
            train_in(run, name, folder, schema, config, rows, start=start_of(config))
            say(f"{name}: {finished_checkpoint(folder)}")


def train_in(
    run: Run,
    name: str,
    folder: AnyPath,
    schema: Schema,
    config: RankerConfig,
    rows: AnyPath,
    *,
    start: Start | None = None,
    part: DayPart | None = None,
) -> None:
    """Train a ranker in a version's folder, watched, on the rows or a part of them. Raises
    TrainingError, at once where no worker would ever find a place."""
    if beyond_reach(config.train) and not joined():
        raise TrainingError(
            f"{name}: {wanted(config.train)}; set rankers.{name}.train.workers, or join a larger "
            "cluster (RAY_ADDRESS)"
        )
    of_day = "" if part is None else f" on {part.day}"
    called = f"{run.folder.name}-{name}-{folder.name}"
    with (
        logged_to_mlflow(folder, called, config),
        watched(folder, f"training {name}{of_day}", partial(waited_for, config.train)),
    ):
        train_ranker(schema, config, rows, folder, name=called, say=say, start=start, part=part)


def evaluate(run: Run) -> Evaluation:
    """Every ranker of the config on later data, beside baselines."""
    with run.stage("eval", "on later data, beside baselines") as stage:
        log, schema = run.open_log()
        rows = run.rows()
        trained = [run.trained(name) for name in run.config.rankers]
        before = read_evaluation(run.folder.evaluations)
        if before is not None:
            same = {ranker.name: ranker.folder.name for ranker in trained} == before.versions
            stage.reused = same and before.rows == rows_name(rows)
        with watching("scoring the test rows") as watch:
            return evaluate_rankers(
                trained,
                rows,
                log,
                schema,
                run.config.evaluate,
                run.folder.evaluations,
                simulated=run.config.data.source == "simulate",
                say=say,
                watch=watch,
            )


def export(run: Run, name: str) -> Manifest:
    """A trained ranker to a bundle, with what the evaluation found of it."""
    with run.stage("export", "the trained ranker to a bundle"):
        _, schema = run.open_log()
        trained = run.trained(name)
        evaluation = read_evaluation(run.folder.evaluations)
        metrics = {}
        if evaluation is not None and evaluation.versions.get(name) == trained.folder.name:
            metrics = evaluation.model_dump(mode="json")["rankers"][name]
        else:
            say(f"{name}: not evaluated; its bundle carries no metrics")
        manifest = export_ranker(
            run.folder.bundles,
            name=name,
            config=trained.config,
            trained=trained.folder,
            schema=schema,
            rows=run.rows(),
            metrics=metrics,
        )
        name_version(run.folder.bundles, EXPORTED, manifest.version)
        say(f"{run.folder.bundles / manifest.version}: {name}, {manifest.trained_steps:,} steps")
        of = manifest.reference
        say(
            f"drift will be told from {of.rows:,} {of.split} rows' numbers, and the scores of "
            f"{of.scored_rows:,} of them"
        )
    return manifest


def check(run: Run, version: str | None = None) -> Checked:
    """Serve a bundle (the one exported last) on this cluster, replay test rows over HTTP, compare
    with the trainer's scores. Writes what was found, and raises CheckError where they differ
    beyond the bound."""
    with run.stage("check", "the bundle on Ray Serve, scores compared over HTTP") as stage:
        manifest = verify_bundle(bundle_of(run, version))
        done = read_check(run, manifest.version)
        if done is not None:
            stage.reused = True
            say(f"{manifest.version}: checked already")
            done.demand()
            return done
        made_from = manifest.made_from
        log, schema = run.open_log()
        by_day = read_book(run.rows()) is not None
        rows_from = (days_made_from if by_day else rows_made_from)(log, schema, run.config.data)
        rows = require(run.folder.rows, rows_from, "run jobs/build_rows.py")
        if rows_name(rows) != made_from["rows"]:
            raise CheckError(
                f"{manifest.version}: learned from rows {made_from['rows']}; the log and config "
                f"give {rows_name(rows)} now, so that its requests cannot be replayed"
            )
        scores = require(
            run.folder.evaluations / manifest.ranker, dict(made_from), "run jobs/evaluate.py"
        )
        scored = read_parquet(scores / SCORES)
        users = scored["user"].combine_chunks().unique()[:REPLAYED_USERS]
        times = read_stats(rows).split_times_ms
        # A bundle may ask for less than rows hold.
        requests = replay(log, schema, users, times, Schema.model_validate(manifest.schema_))
        return check_requests(run, manifest, schema, requests, scored)


def check_requests(
    run: Run, manifest: Manifest, schema: Schema, requests: list[Request], scored: pa.Table
) -> Checked:
    """Serve a bundle on this cluster, send requests, compare with the trainer's scores of the same
    candidates. Writes what was found, and raises CheckError where they differ beyond the bound."""
    write_whole(run.folder.request, json.dumps(requests[0], default=float))
    key = local_api_key(run.folder.api_key)
    args = RankingArgs(bundles=str(run.folder.bundles), version=manifest.version)
    with (
        running_app(args, key, APP_OF_CHECK, f"/check-{manifest.version}", shared=joined()) as url,
        watching("requests over HTTP") as watch,
    ):
        checked = check_over_http(url, key, requests, scored, schema, manifest.version, watch)
    write_whole(run.folder.check(manifest.version), checked.model_dump_json(indent=1))
    say(
        f"{manifest.version}: {checked.requests} requests, {checked.candidates:,} candidates, "
        f"largest difference from the trainer's scores {checked.max_abs_diff:.1e}"
    )
    checked.demand()
    return checked
