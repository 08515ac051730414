"""A model with an auxiliary loss and a hook, and what a rank of `worlds.py` does with it."""

import torch
from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.place import shard
from rayrank.embedding.sharded import ShardedTables
from rayrank.embedding.tables import Tables
from rayrank.model.dlrm import DLRM, DLRMConfig
from rayrank.model.features import Behaviours, Scales, Vectors
from rayrank.model.pooled import PooledPrefix
from rayrank.model.ranker import Ranker
from rayrank.schema import CANDIDATES, Schema
from rayrank.train.config import TrainConfig
from rayrank.train.optimize import Optimizer
from torch import Tensor, nn

from ..model.rows import SCHEMA, User, behaviour, candidate, features, jagged

STEPS = 3
LARGEST = 0.01
"""Of a guess's weights, which the hook sees to."""
CONFIG = DLRMConfig(hidden=[8])
TRAIN = TrainConfig(warmup_steps=0, clip_norm=1e6)
SHARDED = TRAIN.model_copy(update={"dense": "sharded"})
USERS = [
    User(
        features(SCHEMA, "profile", 10 * n),
        [behaviour(-m, 10 * n + m) for m in range(n, 0, -1)],
        [],
        [candidate(1, 100 * n + c) for c in range(1 + n)],
    )
    for n in range(5)
]


class Hooked(DLRM):
    """Also learns from what users did whether they will click, and keeps its weights small, those
    of its guess by a hook."""

    clicked: Tensor
    steps: Tensor
    average: Tensor

    def __init__(self, schema: Schema, config: DLRMConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        widths = [Behaviours(schema, name, scales, 0.0).width for name in schema.sequences]
        self.guess = nn.Linear(sum(widths) + len(widths), 1)
        self.many = nn.Parameter(torch.ones(1))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("average", torch.zeros_like(self.guess.bias))

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> PooledPrefix:
        prefix = super().encode_prefix(batch, vectors)
        self.kept_BD = prefix.static_BD
        return prefix

    def auxiliary_loss(self, batch: JaggedBatch) -> Tensor:
        clicks_B = torch.segment_reduce(
            batch.labels("click"), "sum", lengths=batch.lengths(CANDIDATES)
        )
        guess_B = self.guess(self.kept_BD)[:, 0]
        penalty = next(self.mlp.parameters()).square().sum() * batch.candidates
        loss = (guess_B - clicks_B).square().sum() + 0.1 * penalty
        shown_many = int((batch.lengths(CANDIDATES) > 1).sum())
        # Of two ranks the first has no such user, and so no gradient of this.
        return loss + shown_many * self.many.square().sum() if shown_many else loss

    def after_step(self) -> None:
        self.steps += 1
        self.average.lerp_(self.guess.bias.detach(), 0.5)
        with torch.no_grad():
            self.guess.weight.clamp_(-LARGEST, LARGEST)


def rank_batch(rank: int, world: int) -> JaggedBatch:
    """The users of a rank: dealt unevenly."""
    cuts = {1: [0, 5], 2: [0, 1, 5]}[world]
    return jagged(USERS[cuts[rank] : cuts[rank + 1]])


def hooks_seen(rank: int, world: int) -> dict[str, dict[str, object]]:
    """What steps of this model, of it with its dense part sharded, and of one without, leave on one
    rank. Collective."""
    seen = {kind.__name__: _steps(kind, rank, world, TRAIN) for kind in (Hooked, DLRM)}
    return seen | {"sharded": _steps(Hooked, rank, world, SHARDED)}


def _steps(kind: type[Ranker], rank: int, world: int, config: TrainConfig) -> dict[str, object]:
    torch.manual_seed(0)
    tables = ShardedTables(SCHEMA.tables, init_std=0.5, seed=1, world_size=world)
    make: type[DLRM] = kind  # type: ignore[assignment]
    model = make(SCHEMA, CONFIG, tables, {})
    optimizer = Optimizer(
        shard(model, tables, learning_rate=0.1, device=torch.device("cpu")), config
    )
    batch, facts, after = rank_batch(rank, world), [], []
    for step in range(STEPS):
        told = optimizer.step([batch], step, 0.0)
        facts.append({"loss": told.loss, "auxiliary": told.auxiliary})
        after.append({"dense": model.dense_state(), "optimizer": optimizer.state()})
    return {"facts": facts, "after": after}
