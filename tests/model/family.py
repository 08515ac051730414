"""What the DLRM family is measured against: rows made candidate by candidate, and a toy."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.model.pooled import Pooled
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import CANDIDATES, PROFILE
from torch import Tensor

from .rows import SCHEMA, User, behaviour, candidate, features, jagged

USERS = [
    User(
        features(SCHEMA, "profile", n),
        [behaviour(-m, m + n, sequence=("views", "buys")[m % 2]) for m in range(n + 3, 0, -1)],
        [behaviour(m, m, sequence=("views", "buys")[(m + n) % 2]) for m in range(1, 2 * n + 1)],
        [candidate(m, m) for m in range(n + 2)],
    ).ascending()
    for n in range(4)
]
"""Of whom some have no realtime behaviours of a sequence, and candidates see none, some or all."""


@dataclass(frozen=True)
class Seen:
    """What one candidate is scored by."""

    behaviours: dict[str, tuple[Tensor, Tensor]]
    """Per sequence [n, width]: the static behaviours, and the realtime ones known before."""
    profile_D: Tensor
    candidate_D: Tensor

    def row(self) -> Tensor:
        """As a model of the family reads it: means and log(1 + number), part by part."""
        parts = []
        for part in range(2):
            for both in self.behaviours.values():
                e_ND = both[part]
                parts += [
                    e_ND.sum(0) / max(len(e_ND), 1),
                    torch.tensor([len(e_ND)], dtype=torch.float64).log1p(),
                ]
        return torch.cat([*parts, self.profile_D, self.candidate_D])


def seen(model: Pooled, users: list[User]) -> list[Seen]:
    """Of every candidate, of a batch of its own in which nothing is but what it may see."""
    found = []
    for user in users:
        for shown in user.candidates:
            past = [e for e in user.realtime if e["known_at"] < shown["time"]]
            batch = jagged([replace(user, realtime=past, candidates=[shown])])
            vectors = model.lookup(batch)
            parts = {
                group.name: model.behaviours[group.token](batch, vectors, group)
                for group in (*SCHEMA.static, *SCHEMA.realtime)
            }
            found.append(
                Seen(
                    {n: (parts[f"static_{n}"], parts[f"realtime_{n}"]) for n in SCHEMA.sequences},
                    model.profile(batch, vectors, PROFILE)[0],
                    model.candidate(batch, vectors, CANDIDATES)[0],
                )
            )
    return found


def rows(model: Pooled, users: list[User]) -> Tensor:
    """[candidates, width]"""
    return torch.stack([one.row() for one in seen(model, users)])


def silu(x: Tensor) -> Tensor:
    """x / (1 + e^-x)"""
    return x / (1 + (-x).exp())


class Weights(NamedTuple):
    """Of a model, by name."""

    of: dict[str, Tensor]

    def linear(self, name: str, x: Tensor) -> Tensor:
        """x W^T + b, b where there is one."""
        return x @ self.of[f"{name}.weight"].T + self.of.get(f"{name}.bias", torch.zeros(()))

    def mlp(self, name: str, layers: int, x: Tensor, *, ends: bool = False) -> Tensor:
        """Linear layers with SiLU between them; behind the last one too unless it ends there."""
        for n in range(layers):
            x = self.linear(f"{name}.{3 * n}", x)
            x = x if ends and n == layers - 1 else silu(x)
        return x


def weights(model: Ranker) -> Weights:
    return Weights(dict(model.dense_state()))


def fitted(
    config: ModelConfig, *batches: list[User], steps: int = 60, init_std: float = 0.1
) -> tuple[float, float]:
    """The loss per task of the first batch, before and after some steps of Adam over the others
    (over itself, where it is alone); all gradients are finite."""
    torch.manual_seed(0)
    tables = LocalTables(SCHEMA.tables, init_std=init_std, seed=0)
    model = build_model(SCHEMA, config, tables, {})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    asked, *others = [jagged(users) for users in batches]
    learned = others or [asked]

    def loss_per_task() -> float:
        with torch.no_grad():
            return model.loss(model(asked), asked).item() / len(SCHEMA.tasks)

    before = loss_per_task()
    for step in range(steps):
        batch = learned[step % len(learned)]
        loss = model.loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name
        optimizer.step()
    return before, loss_per_task()


def product_toy(seed: int = 0) -> list[User]:
    """Candidates that are clicked, and ordered, where two of their numbers are of one sign: each
    number alone says nothing."""
    generator = torch.Generator().manual_seed(seed)
    users = []
    for n in range(20):
        shown = []
        for m in range(10):
            a, b = torch.randn(2, generator=generator).tolist()
            labels = dict.fromkeys(("label.click", "label.order"), float(a * b > 0))
            shown.append(candidate(m, n) | {"distance": a, "ctr": b} | labels)
        users.append(User(features(SCHEMA, "profile", 1), candidates=shown))
    return users
