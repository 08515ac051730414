"""A run small enough for its evaluation to be counted out.

Six users' seven rows lie in three files and in no order; the trained rankers' weights are random.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rayrank.data.log import Log
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.results import Evaluation
from rayrank.evaluate.run import SCORES, Trained, evaluate
from rayrank.train.config import RankerConfig, TrainConfig

from ..infer.bundles import CONFIGS, SEED
from ..model.rows import SCHEMA
from ..train.checkpoints import finish_training
from .rows import user_row

FILES = [
    [("d", 0, 5), ("b", 0, 8)],
    [("c", 0, 3), ("a", 1, 4), ("a", 0, 6)],
    [("f", 0, 7), ("e", 0, 4)],
]
"""Of each row the user, the day, and how many candidates."""
KINDS = ["dlrm", "mtgr"]


@dataclass(frozen=True)
class Evaluated:
    """A run, and what its evaluation found, showed and said."""

    rows: Path
    trained: list[Trained]
    out: Path
    results: Evaluation
    watched: list[tuple[int, int]]
    said: list[str]

    def scores(self, kind: str) -> pa.Table:
        """What is kept of a ranker."""
        (version,) = (self.out / kind).iterdir()
        return pq.read_table(version / SCORES)


def evaluate_once(
    trained: list[Trained], rows: Path, out: Path, bootstrap_samples: int
) -> Evaluated:
    watched: list[tuple[int, int]] = []
    said: list[str] = []
    results = evaluate(
        trained,
        rows,
        Log("nowhere"),
        SCHEMA,
        EvaluateConfig(
            workers=1, max_tokens=25, bootstrap_samples=bootstrap_samples, lightgbm_trees=2
        ),
        out,
        simulated=False,
        say=said.append,
        watch=lambda *at: watched.append(at),
    )
    return Evaluated(rows, trained, out, results, watched, said)


def evaluate_small(run: Path) -> Evaluated:
    """Make the run's rows and its finished rankers, and evaluate them. Needs Ray."""
    rows = run / "rows" / "0123456789ab"
    files = {"train": [[("a", -2, 30), ("b", -2, 30)]], "test": FILES}
    for split, parts in files.items():
        (rows / split / "2022-04-16").mkdir(parents=True)
        for number, part in enumerate(parts):
            users = pa.concat_tables([user_row(*told) for told in part])
            pq.write_table(users, rows / split / "2022-04-16" / f"part-{number}.parquet")
    rankers = []
    for kind in KINDS:
        folder = run / "rankers" / kind / f"version of {kind}"
        finish_training(folder, kind)
        config = RankerConfig(model=CONFIGS[kind], train=TrainConfig(seed=SEED))
        rankers.append(Trained(kind, config, folder))
    return evaluate_once(rankers, rows, run / "eval", bootstrap_samples=4000)
