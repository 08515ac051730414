"""Cases for ranks over Gloo, and what one process in float64 says of them."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from rayrank.embedding.hashing import mix
from rayrank.embedding.tables import LearnedRows, LocalTables
from rayrank.infer.bundle import restore_ranker
from rayrank.model.build import build_model
from rayrank.model.ranker import Ranker
from rayrank.train.config import RankerConfig
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from ..clusters import ROOT
from ..model.rankers import flow
from ..model.rows import SCHEMA, Element, User, behaviour, candidate, features, jagged, table

RANKS = (0, 1)
SEED = 3
State = dict[str, Any]


def user(seed: int, shown: int) -> User:
    """A user of some behaviours who was shown so many candidates."""
    return User(
        features(SCHEMA, "profile", seed),
        [behaviour(-3, seed + 1), behaviour(-2, seed + 2, sequence="buys")][: seed % 3],
        [behaviour(2, seed + 3, sequence=["views", "buys"][seed % 4 // 2])][: seed % 2],
        [_shown(1 + i, 10 * seed + i) for i in range(shown)],
    )


def _shown(minute: int, seed: int) -> Element:
    """A candidate of which one or both labels may be unknown."""
    unknown = {"label.order": math.nan} if seed % 3 == 0 else {}
    if seed % 7 == 0:
        unknown = {"label.click": math.nan, "label.order": math.nan}
    return candidate(minute, seed) | unknown


STEPS: list[tuple[list[User], list[User]]] = [
    # 12 candidates against one; 2 against 9; 5 against none, as in an epoch's last step.
    ([user(1, 5), user(2, 4), user(3, 3)], [user(4, 1)]),
    ([user(5, 2)], [user(1, 3), user(6, 6)]),
    ([user(7, 5)], []),
]
VALID = [user(20 + i, shown) for i, shown in enumerate((7, 1, 4, 6, 2, 5, 8))]


def ranker_config(dropout: float = 0.0, layers: int = 1, **train: object) -> RankerConfig:
    """A small MTGR whose every part has a gradient that shows; rates constant, no clipping."""
    return RankerConfig.model_validate(
        {
            "model": {
                "kind": "mtgr",
                "size": None,
                "layers": layers,
                "d_model": 32,
                "heads": 2,
                "attention_length": 4,
                "embedding_std": 1.0,
                "dropout": dropout,
                "embedding_dropout": dropout,
            },
            "train": {
                "seed": SEED,
                "max_cost": 20,
                "learning_rate": 0.01,
                "table_learning_rate": 0.05,
                "warmup_steps": 0,
                "final_rate": 1.0,
                "clip_norm": 1e6,
                **train,
            },
        }
    )


Dealt = list[list[list[User]]]
"""A step's users, by rank and batch of it."""


@dataclass(frozen=True)
class Case:
    """What a world does from the start."""

    config: RankerConfig
    steps: list[tuple[int, float]] = field(default_factory=lambda: [(0, 0.0)])
    """The arguments of `Optimizer.step`; the batches are those of `dealt`, in order."""
    dealt: list[Dealt] = field(default_factory=lambda: [[[of] for of in step] for step in STEPS])
    rates: list[tuple[int, float]] = field(default_factory=list)
    """Of which to tell the rate."""
    taken_over_by: list[str] = field(default_factory=list)
    """How workers hold their dense part that take over this one's state."""


def write_case(folder: Path, case: Case) -> None:
    (folder / "rows" / "valid").mkdir(parents=True)
    told = {
        "schema": SCHEMA.model_dump(mode="json"),
        "ranker": case.config.model_dump(mode="json"),
        "steps": case.steps,
        "rates": case.rates,
        "taken_over_by": case.taken_over_by,
    }
    (folder / "told.json").write_text(json.dumps(told))
    for number, dealt in enumerate(case.dealt[: len(case.steps)]):
        for rank, batches in enumerate(dealt):
            for k, users in enumerate(batches):
                pq.write_table(table(users), folder / f"step-{number}-{rank}-{k}.parquet")
    pq.write_table(table([user(1, 5), user(2, 4)]), folder / "alike.parquet")
    rows = table(VALID)
    for day, part in (("2022-04-16", rows.slice(0, 3)), ("2022-04-17", rows.slice(3))):
        (folder / "rows" / "valid" / day).mkdir(parents=True)
        pq.write_table(part, folder / "rows" / "valid" / day / "part.parquet")


def run_world(folder: Path, cases: dict[str, Case], size: int = len(RANKS)) -> None:
    """Every case, by so many processes."""
    for name, case in cases.items():
        write_case(folder / name, case)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.rank", str(rank), str(size), str(folder)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=300)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()


def saw(folder: Path, name: str, rank: int) -> Any:
    """What a rank saw of a case."""
    return torch.load(folder / name / f"saw-{rank}.pt", weights_only=False)


def at_start(config: RankerConfig) -> Ranker:
    """The ranker as the seed makes it, on one process."""
    torch.manual_seed(config.train.seed)
    tables = LocalTables(SCHEMA.tables, init_std=config.model.embedding_std, seed=config.train.seed)
    return build_model(SCHEMA, config.model, tables, scales={})


def in_float64(config: RankerConfig, states: list[State], *, training: bool = False) -> Ranker:
    """The ranker of all ranks' states on one process, in evaluation mode; `training`: its tables
    then give new ids the vectors they start with."""
    rows = {
        name: LearnedRows(
            torch.cat([state["rows"][name].keys for state in states]),
            torch.cat([state["rows"][name].vectors for state in states]),
        )
        for name in SCHEMA.tables
    }
    std, seed = config.model.embedding_std, config.train.seed
    tables = LocalTables.of_rows(SCHEMA.tables, rows, init_std=std, seed=seed)
    if training:
        roomy = LocalTables(SCHEMA.tables, init_std=std, seed=seed)
        for name, of in rows.items():
            roomy._ids[name].rows_of(of.keys, training=True)
            roomy.learned[name].data[1 : len(of.keys) + 1] = of.vectors
        tables = roomy
    ranker = restore_ranker(SCHEMA, config.model, states[0]["dense"], tables)
    tables.train(training)
    return ranker.double().requires_grad_(True)


@dataclass(frozen=True)
class Truth:
    """The mean loss over candidates and its gradient, in float64."""

    loss: float
    dense: dict[str, Tensor]
    rows: dict[tuple[str, int], Tensor]
    """(table, key) -> [dim], for every id that occurs."""

    def norm(self) -> float:
        """Of the gradient of dense parameters and rows together."""
        parts = [*self.dense.values(), *self.rows.values()]
        return float(torch.cat([g.flatten() for g in parts]).norm())


def mean_loss(ranker: Ranker, users: list[User]) -> Truth:
    """DESIGN section 5's loss, over the known labels of all these users as one batch."""
    batch = jagged(users)
    flowed = flow(ranker, batch)
    click_C, order_given_click_C = flowed.logits_CK.sigmoid().unbind(1)
    loss = torch.zeros((), dtype=torch.float64)
    for task, p_C in (("click", click_C), ("order", click_C * order_given_click_C)):
        known = [i for i, label in enumerate(batch.labels(task).tolist()) if label in (0, 1)]
        loss = loss + binary_cross_entropy(p_C[known], batch.labels(task)[known].double())
    assert isinstance(loss, Tensor)
    loss.backward()
    dense = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in ranker.named_parameters()
        if not name.startswith("tables.")
    }
    rows: dict[tuple[str, int], Tensor] = {}
    for name, vectors in flowed.vectors.items():
        assert vectors.grad is not None
        ids = [
            batch.ids(group, feature)
            for group in SCHEMA.groups
            for feature, f in SCHEMA.features_of(group.token).items()
            if f.table == name
        ]
        for key, gradient in zip(mix(torch.cat(ids)).tolist(), vectors.grad, strict=True):
            rows[name, key] = rows.get((name, key), torch.zeros_like(gradient)) + gradient
    return Truth(loss.item(), dense, rows)
