"""Evaluate every trained ranker and every baseline on the test rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayrank.config import RunConfig
from rayrank.data.ids import to_ids
from rayrank.data.log import Log
from rayrank.evaluate.baselines import Scores, gradient_boosting, item_rate, oracle, read_candidates
from rayrank.evaluate.predict import predict
from rayrank.metrics import auc, bootstrap_over_users, calibration, gauc
from rayrank.schema import Schema
from rayrank.storage import whole_file
from rayrank.train.export import finished_checkpoint
from rayrank.watch import Watch

Quality = dict[str, dict[str, float]]


def evaluate(config: RunConfig, log: Log, schema: Schema, watch: Watch) -> dict[str, Any]:
    """Write `eval/metrics.json` and `eval/NAME.parquet` (scores of every ranker's test candidates).

    {"rankers": {name: {task: {auc, gauc, auc_se, gauc_se}}}, "baselines": the same,
     "calibration": {task: [[predicted, observed, count], …]} of the first ranker,
     "users": …, "candidates": …}. GAUC weights users by exposures and leaves one-class users out.
    """
    rows, out = config.run_dir / "rows", config.run_dir / "eval"
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"rankers": {}, "baselines": {}}
    for name in config.rankers:
        checkpoint = finished_checkpoint(config.run_dir / "rankers" / name)
        scored = predict(config, name, schema, checkpoint, rows / "test", watch)
        with whole_file(out / f"{name}.parquet") as writing:
            pq.write_table(scored, writing)
        scores = {task: scored[f"p.{task}"].to_numpy() for task in schema.tasks}
        results["rankers"][name] = _quality(config, scored, schema, scores)
        if name == config.ranker(None)[0]:
            results["calibration"] = {
                task: calibration(scored[f"label.{task}"].to_numpy(), scores[task])
                for task in schema.tasks
            }
            results["users"] = len(scored["user"].unique())
            results["candidates"] = len(scored)

    test = read_candidates(rows, "test", schema)
    baselines: dict[str, Scores | None] = {
        "item_rate": item_rate(rows, schema, test),
        "lightgbm": gradient_boosting(rows, schema, config.evaluate.lightgbm_trees),
    }
    if config.data.source == "simulate":
        baselines["oracle"] = oracle(log, schema, test)
    for name, of_baseline in baselines.items():
        if of_baseline is not None:
            results["baselines"][name] = _quality(config, test, schema, of_baseline)
    with whole_file(out / "metrics.json") as writing:
        writing.write_text(json.dumps(results, indent=1))
    return results


def read_scores(run_dir: Path, name: str) -> pa.Table:
    """The trainer's scores of a ranker's test candidates, as `evaluate` left them."""
    return pq.read_table(run_dir / "eval" / f"{name}.parquet")


def _quality(
    config: RunConfig, table: pa.Table, schema: Schema, scores: dict[str, np.ndarray]
) -> Quality:
    user = to_ids(table["user"].combine_chunks(), "user").to_numpy()
    quality = {}
    for task in schema.tasks:
        label, score = table[f"label.{task}"].to_numpy(), scores[task]
        spread = bootstrap_over_users(user, label, score, samples=config.evaluate.bootstrap_samples)
        quality[task] = {
            "auc": auc(label, score),
            "gauc": gauc(user, label, score),
            "auc_se": spread["auc"].standard_error,
            "gauc_se": spread["gauc"].standard_error,
        }
    return quality
