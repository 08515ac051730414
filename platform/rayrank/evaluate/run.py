"""Evaluate every trained ranker and every baseline on the test rows."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayrank.data.days import rows_name
from rayrank.data.ids import to_ids
from rayrank.data.log import Log
from rayrank.evaluate.baselines import gradient_boosting, item_rate, oracle, read_candidates
from rayrank.evaluate.candidates import in_order
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.predict import predict
from rayrank.evaluate.results import Evaluation, TaskQualities
from rayrank.evaluate.slices import by_history
from rayrank.metrics import (
    QUALITY,
    CalibrationBin,
    Slice,
    bootstrap_over_users,
    calibration,
    paired_differences,
)
from rayrank.schema import Schema
from rayrank.storage import AnyPath, read_parquet, write_whole, writing_file
from rayrank.train.config import RankerConfig
from rayrank.train.finished import checkpoint_origin, finished_checkpoint
from rayrank.versions import MadeFrom, claim
from rayrank.watch import Watch

EVALUATION, SCORES = "evaluation.json", "scores.parquet"


class Trained(NamedTuple):
    """A ranker of the config, and the folder of its training run."""

    name: str
    config: RankerConfig
    folder: AnyPath


def evaluate(
    trained: list[Trained],
    rows: AnyPath,
    log: Log,
    schema: Schema,
    settings: EvaluateConfig,
    out: AnyPath,
    *,
    simulated: bool,
    say: Callable[[str], None],
    watch: Watch,
) -> Evaluation:
    """Score the test rows with each ranker and baseline; write what was found to `out`.

    The first ranker is the served one. Scores are kept as they come, and those that are there
    already are used again, which is said. Raises TrainingError for a ranker that is not
    finished, before any is scored.
    """
    checkpoints = {ranker.name: finished_checkpoint(ranker.folder) for ranker in trained}
    tables: dict[str, pa.Table] = {}
    for ranker in trained:
        checkpoint = checkpoints[ranker.name]

        def score(ranker: Trained = ranker, checkpoint: AnyPath = checkpoint) -> pa.Table:
            return predict(ranker.config, schema, checkpoint, rows / "test", settings, watch)

        made_from = checkpoint_origin(rows, ranker.folder, checkpoint)
        tables[ranker.name] = _kept(out / ranker.name, made_from, score, say)

    test = read_candidates(rows, "test", schema)
    baselines: dict[str, pa.Table] = {}
    for name, scores in {
        "item_rate": item_rate(rows, schema),
        "lightgbm": gradient_boosting(rows, schema, settings.lightgbm_trees),
        "oracle": oracle(log, schema, test) if simulated else None,
    }.items():
        if scores is not None:
            scored = test
            for task, values in scores.items():
                scored = scored.append_column(f"p.{task}", pa.array(values))
            baselines[name] = in_order(scored)
    evaluation = compare(trained, rows_name(rows), tables, baselines, schema, settings)
    write_whole(out / EVALUATION, evaluation.model_dump_json(indent=1))
    return evaluation


def compare(
    trained: list[Trained],
    rows: str,
    rankers: dict[str, pa.Table],
    baselines: dict[str, pa.Table],
    schema: Schema,
    settings: EvaluateConfig,
) -> Evaluation:
    """Everybody's metrics, on known labels. The tables hold the same candidates in the same order,
    each with its ranker's scores."""
    served = trained[0].name
    everyone = rankers | baselines
    table = everyone[served]
    user = to_ids(table["user"].combine_chunks(), "user").to_numpy()
    history = table["history"].to_numpy()
    samples = settings.bootstrap_samples
    quality: dict[str, TaskQualities] = {name: {} for name in everyone}
    differences: dict[str, TaskQualities] = {name: {} for name in everyone if name != served}
    slices: dict[str, dict[str, list[Slice]]] = {name: {} for name in everyone}
    known_labels: dict[str, int] = {}
    bins: dict[str, list[CalibrationBin]] = {}
    for task, of in schema.tasks.items():
        label = table[f"label.{task}"].to_numpy()
        known = ~np.isnan(label)
        known_labels[task] = int(known.sum())
        who, label, before = user[known], label[known], history[known]
        scores = {name: t[f"p.{task}"].to_numpy()[known] for name, t in everyone.items()}
        for name, score in scores.items():
            measured = bootstrap_over_users(who, label, score, of.kind, samples=samples)
            quality[name][task] = QUALITY[of.kind](**measured)
            slices[name][task] = by_history(who, label, score, before, of.kind, samples=samples)
        paired = paired_differences(who, label, scores, served, of.kind, samples=samples)
        for name, difference in paired.items():
            differences[name][task] = QUALITY[of.kind](**difference)
        if of.kind == "binary":
            bins[task] = calibration(label, scores[served])
    return Evaluation(
        served=served,
        rows=rows,
        versions={ranker.name: ranker.folder.name for ranker in trained},
        users=len(np.unique(user)),
        exposures=len(table),
        known_labels=known_labels,
        rankers={name: quality[name] for name in rankers},
        baselines={name: quality[name] for name in baselines},
        differences=differences,
        slices=slices,
        calibration=bins,
    )


def read_evaluation(out: AnyPath) -> Evaluation | None:
    """What `evaluate` left last; None where it never ran."""
    path = out / EVALUATION
    return Evaluation.model_validate_json(path.read_text()) if path.exists() else None


def _kept(
    folder: AnyPath, made_from: MadeFrom, score: Callable[[], pa.Table], say: Callable[[str], None]
) -> pa.Table:
    version = claim(folder, made_from, new=True)
    if (version / SCORES).exists():
        say(f"{folder.name}: scored already ({version.name})")
    else:
        scored = score()
        with writing_file(version / SCORES) as writing:
            pq.write_table(scored, writing)
    return read_parquet(version / SCORES)
