"""The models whose invariants are tested, in float64, and what their tests share."""

import pytest
import torch
from hypothesis import settings
from rayrank.model.ranker import Ranker
from torch import Tensor

from .rankers import CONFIGS, flow, ranker
from .rows import User, jagged

torch.set_num_threads(1)
MODELS = {name: ranker(config) for name, config in CONFIGS.items()}
EACH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
MTGR_MODEL = MODELS["mtgr"]
few = settings(max_examples=40, deadline=None)


def scores(model: Ranker, *users: User) -> Tensor:
    return flow(model, jagged(list(users))).logits_CK.detach()


def equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)
