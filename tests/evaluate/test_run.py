"""Scores of test rows, and the quality made of them, on a run small enough to be counted out.

Six users' seven rows lie in three files and in no order; the trained rankers' weights are random.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rayrank.config import DataConfig, EvaluateConfig, RankerConfig, RunConfig
from rayrank.config.train import TrainConfig
from rayrank.data.jagged import to_jagged
from rayrank.data.log import Log
from rayrank.evaluate.baselines import item_rate, read_candidates
from rayrank.evaluate.run import evaluate, read_scores

from ..infer.bundles import CONFIGS, SEED, trained
from ..metrics.pairs import pairs_won
from ..model.rows import MINUTE, SCHEMA, WINDOW, User, behaviour, candidate, features, table
from ..train.checkpoints import checkpoint_of

DAY = 24 * 60
FILES = [
    [("d", 0, 5), ("b", 0, 8)],
    [("c", 0, 3), ("a", 1, 4), ("a", 0, 6)],
    [("f", 0, 7), ("e", 0, 4)],
]
"""Of each row the user, the day, and how many candidates."""
KINDS = ["dlrm", "mtgr"]
Line = dict[str, Any]


def user_row(user: str, day: int, shown: int) -> pa.Table:
    """Three candidates share each moment."""
    start, seed = day * DAY, 1000 * ord(user) + 100 * day
    row = table(
        [
            User(
                features(SCHEMA, "profile", seed),
                [behaviour(start - 3, seed + 1)],
                [behaviour(start + 2, seed + 2)],
                [candidate(start + 1 + i // 3, seed + 10 + i) for i in range(shown)],
            )
        ]
    )
    for name, value in (("user", user), ("window_start", WINDOW + start * MINUTE)):
        place = row.schema.get_field_index(name)
        row = row.set_column(place, row.schema.field(place), pa.array([value]))
    return row


def expected_lines(kind: str) -> list[Line]:
    """A line per candidate of the test rows, each row scored by itself in float64."""
    ranker, lines = trained(kind).double(), []
    for row in (user_row(*told) for file in FILES for told in file):
        with torch.no_grad():
            own_CK = ranker(to_jagged(row, SCHEMA)).double().sigmoid().numpy()
        (content,) = row.to_pylist()
        shown, labels = content["candidates"], content["labels"]
        lines += [
            {
                "user": content["user"],
                "window_start": content["window_start"],
                "time": shown["time"][i],
                "item": shown["item"][i],
                "label.click": labels["click"][i],
                "label.order": labels["order"][i],
                "p.click": pytest.approx(click, rel=1e-4),
                "p.order": pytest.approx(click * order_given_click, rel=1e-4),
            }
            for i, (click, order_given_click) in enumerate(own_CK.tolist())
        ]
    return lines


@dataclass(frozen=True)
class Evaluated:
    run_dir: Path
    results: dict[str, Any]
    watched: list[tuple[int, int]]


@pytest.fixture(scope="module")
def evaluated(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    run_dir = tmp_path_factory.mktemp("evaluated")
    files = {"train": [[("a", -2, 30), ("b", -2, 30)]], "test": FILES}
    for split, parts in files.items():
        (run_dir / "rows" / split).mkdir(parents=True)
        for number, part in enumerate(parts):
            rows = pa.concat_tables([user_row(*told) for told in part])
            pq.write_table(rows, run_dir / "rows" / split / f"part-{number}.parquet")
    for kind in KINDS:
        checkpoint_of(run_dir, kind, step=12)
    config = RunConfig(
        run_dir=run_dir,
        data=DataConfig(source="parquet", path="a log that nobody reads"),
        rankers={
            kind: RankerConfig(model=CONFIGS[kind], train=TrainConfig(seed=SEED)) for kind in KINDS
        },
        evaluate=EvaluateConfig(workers=1, max_tokens=25, bootstrap_samples=4000, lightgbm_trees=2),
    )
    watched: list[tuple[int, int]] = []
    results = evaluate(config, Log("nowhere"), SCHEMA, lambda *at: watched.append(at))
    return Evaluated(run_dir, results, watched)


@pytest.mark.parametrize("kind", KINDS)
def test_every_candidate_is_scored_once_in_order_of_user_time_and_item(
    evaluated: Evaluated, kind: str
) -> None:
    expected = expected_lines(kind)
    keys = [(line["user"], line["time"], line["item"]) for line in expected]
    assert keys != sorted(keys)
    assert len(set(keys)) == len(keys) == 37
    ordered = sorted(expected, key=lambda line: (line["user"], line["time"], line["item"]))
    assert read_scores(evaluated.run_dir, kind).to_pylist() == ordered


def test_one_can_watch(evaluated: Evaluated) -> None:
    done = [done for done, _ in evaluated.watched]
    assert {of for _, of in evaluated.watched} == {7}
    assert done.count(7) == len(KINDS)
    assert sum(later < earlier for earlier, later in pairwise(done)) == len(KINDS) - 1


def gauc(user: np.ndarray, label: np.ndarray, score: np.ndarray, times: np.ndarray) -> float:
    """The mean of the users' own AUCs, by exposures, each user taken so many times."""
    own = np.array([pairs_won(label[user == u], score[user == u]) for u in np.unique(user)])
    weight = times * np.unique(user, return_counts=True)[1] * ~np.isnan(own)
    return float(np.nansum(weight * own) / weight.sum()) if weight.any() else math.nan


def deviation(values: np.ndarray, chances: np.ndarray) -> float:
    """Standard deviation over the draws in which there is a value."""
    there = ~np.isnan(values)
    mean = np.average(values[there], weights=chances[there])
    return float(np.sqrt(np.average((values[there] - mean) ** 2, weights=chances[there])))


def expected_quality(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """By counting pairs; errors from every way to draw six of six users, with its chance."""
    codes = np.unique(user, return_inverse=True)[1]
    draws, chances = [], []
    for drawn in combinations_with_replacement(range(6), 6):
        draws.append(np.bincount(drawn, minlength=6))
        orders = math.factorial(6)
        for times in Counter(drawn).values():
            orders //= math.factorial(times)
        chances.append(orders / 6**6)
    assert sum(chances) == pytest.approx(1)
    aucs = np.array([pairs_won(label, score, times[codes]) for times in draws])
    gaucs = np.array([gauc(user, label, score, times) for times in draws])
    return {
        "auc": pytest.approx(pairs_won(label, score)),
        "gauc": pytest.approx(gauc(user, label, score, np.ones(6))),
        "auc_se": pytest.approx(deviation(aucs, np.array(chances)), rel=0.04),
        "gauc_se": pytest.approx(deviation(gaucs, np.array(chances)), rel=0.04),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_rankers_quality_is_counted_out(evaluated: Evaluated, kind: str) -> None:
    scored = read_scores(evaluated.run_dir, kind)
    user = np.array(scored["user"].to_pylist())
    assert evaluated.results["rankers"][kind] == {
        task: expected_quality(
            user, scored[f"label.{task}"].to_numpy(), scored[f"p.{task}"].to_numpy()
        )
        for task in ("click", "order")
    }


def test_the_numbers_are_apart(evaluated: Evaluated) -> None:
    """So that none of them can stand in another's place."""
    for quality in evaluated.results["rankers"].values():
        numbers = sorted(n for of_task in quality.values() for n in of_task.values())
        assert min(b - a for a, b in pairwise(numbers)) > 0.001


def test_a_baselines_quality_is_that_of_its_own_scores(evaluated: Evaluated) -> None:
    assert evaluated.results["baselines"].keys() == {"item_rate", "lightgbm"}
    test = read_candidates(evaluated.run_dir / "rows", "test", SCHEMA)
    scores = item_rate(evaluated.run_dir / "rows", SCHEMA, test)
    for task, found in evaluated.results["baselines"]["item_rate"].items():
        label = test[f"label.{task}"].to_numpy()
        assert found["auc"] == pytest.approx(pairs_won(label, scores[task]))


def test_calibration_is_the_first_rankers_in_tenths(evaluated: Evaluated) -> None:
    """37 candidates, by probability: seven bins of four and three of three."""
    scored = read_scores(evaluated.run_dir, KINDS[0]).to_pylist()
    for task in ("click", "order"):
        pairs = sorted((line[f"p.{task}"], line[f"label.{task}"]) for line in scored)
        bins = [pairs[4 * i : 4 * i + 4] for i in range(7)]
        bins += [pairs[28 + 3 * i : 31 + 3 * i] for i in range(3)]
        assert evaluated.results["calibration"][task] == [
            pytest.approx((*np.mean(part, axis=0), len(part)), rel=1e-5) for part in bins
        ]


def test_results_are_counted_and_written(evaluated: Evaluated) -> None:
    assert (evaluated.results["users"], evaluated.results["candidates"]) == (6, 37)
    written = json.loads((evaluated.run_dir / "eval" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(evaluated.results))
    assert {path.name for path in (evaluated.run_dir / "eval").iterdir()} == {
        "metrics.json",
        *(f"{kind}.parquet" for kind in KINDS),
    }
