"""A bundle of a small ranker with random weights, and rows for it to score."""

from pathlib import Path
from typing import Any

import torch
from rayrank.embedding.frozen import FrozenTables, freeze
from rayrank.embedding.tables import LearnedRows, LocalTables
from rayrank.infer.bundle import Manifest, write_bundle
from rayrank.infer.drift import Distribution, Reference
from rayrank.model.build import build_model
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.mtgr import MTGRConfig
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import Schema

from ..model.rankers import tables_with_rows
from ..model.rows import SCALES, SCHEMA, User, behaviour, candidate, features

SEED = 5
REFERENCE = Reference(
    split="test",
    rows=4,
    scored_rows=2,
    scores={"click": Distribution(edges=[0.25, 0.5], shares=[0.5, 0.25, 0.25])},
    numbers={"candidate.distance": Distribution(edges=[0.0], shares=[0.5, 0.5])},
)
CONFIGS: dict[str, ModelConfig] = {
    "mtgr": MTGRConfig(size=None, layers=1, d_model=32, heads=2, embedding_std=1.0),
    "dlrm": DLRMConfig(hidden=[16], embedding_std=1.0),
}
USERS = [
    User(
        features(SCHEMA, "profile", 1),
        [behaviour(-3, 2)],
        [behaviour(1, 3)],
        [candidate(2, 4), candidate(3, 5), candidate(3, 6)],
    ),
    User(features(SCHEMA, "profile", 7), candidates=[candidate(1, 8)]),
    User(
        features(SCHEMA, "profile", 9),
        [behaviour(-2, 10), behaviour(-1, 11)],
        candidates=[candidate(1, 12), candidate(2, 13)],
    ),
]


def trained(kind: str, weights: int = 0, schema: Schema = SCHEMA) -> Ranker:
    """As a trainer leaves it; `weights` seeds them."""
    torch.manual_seed(weights)
    return build_model(schema, CONFIGS[kind], tables_with_rows(schema, SEED), SCALES).eval()


def learned(ranker: Ranker) -> dict[str, LearnedRows]:
    assert isinstance(ranker.tables, LocalTables)
    return {name: ranker.tables.rows(name) for name in ranker.schema.tables}


def frozen(ranker: Ranker, kind: str) -> FrozenTables:
    """A ranker's tables as its bundle holds them."""
    std = CONFIGS[kind].embedding_std
    return FrozenTables(
        {
            name: freeze(name, rows, init_std=std, seed=SEED)
            for name, rows in learned(ranker).items()
        }
    )


def write(bundles: Path, ranker: Ranker, kind: str, **other: Any) -> Manifest:
    """Write a bundle to `bundles/<version>`; keyword arguments replace what `write_bundle` is
    told."""
    told: dict[str, Any] = {
        "ranker": kind,
        "schema": SCHEMA,
        "model": CONFIGS[kind],
        "seed": SEED,
        "id_types": {"item_id": "integer"},
        "ranges": {"candidate.distance": (-2.0, 5.0)},
        "reference": REFERENCE,
        "metrics": {"click": {"auc": 0.75, "auc_se": 1e-17}},
        "made_from": {"rows": "0123456789ab", "ranker": "ba9876543210"},
        "trained_steps": 12,
        "dense": ranker.dense_state(),
        "rows": learned(ranker),
    }
    return write_bundle(bundles, **told | other)
