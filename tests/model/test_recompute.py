"""Layers that are computed again in the backward pass: the same gradients, of less that is kept."""

import torch
from rayrank.model.build import build_model
from rayrank.model.mtgr import MTGRConfig
from rayrank.model.ranker import Ranker
from torch import Tensor

from .rankers import tables_with_rows
from .rows import SCALES, SCHEMA, User, behaviour, candidate, features, jagged

CONFIG = MTGRConfig(size=None, layers=4, d_model=64, heads=2, attention_length=4, dropout=0.3)
USERS = [
    User(
        features(SCHEMA, "profile", n),
        [behaviour(-m, m) for m in range(n + 9, 0, -1)],
        [behaviour(m, m) for m in range(1, n + 1)],
        [candidate(m, m) for m in range(1, 6)],
    )
    for n in range(3)
]


def step(*, recompute: bool) -> tuple[dict[str, Tensor], int]:
    """All gradients of a training step with dropout, and the bytes that its forward pass kept."""
    torch.manual_seed(7)
    ranker: Ranker = build_model(SCHEMA, CONFIG, tables_with_rows(), SCALES).train()
    ranker.recompute = recompute
    batch, kept = jagged(USERS), dict[int, int]()

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = ranker.loss(ranker(batch), batch)
    loss.backward()
    gradients = {name: p.grad for name, p in ranker.named_parameters() if p.grad is not None}
    return gradients, sum(kept.values())


def test_gradients_are_the_same_to_the_last_bit_and_less_is_kept() -> None:
    plain, kept = step(recompute=False)
    again, kept_again = step(recompute=True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert kept_again < kept / 2


def test_nothing_is_recomputed_where_nothing_is_learned() -> None:
    ranker = build_model(SCHEMA, CONFIG, tables_with_rows(), SCALES).eval()
    batch = jagged(USERS)
    with torch.no_grad():
        expected = ranker(batch)
        ranker.recompute = True
        torch.testing.assert_close(ranker(batch), expected, rtol=0, atol=0)
