"""The models whose invariants are tested, in float64, and what their tests share."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from rayrank.model.mtgr import MTGR
from rayrank.model.ranker import Ranker
from torch import Tensor

from ..effort import examples
from .rankers import CONFIGS, flow, ranker
from .rows import User, jagged

torch.set_num_threads(1)
MODELS = {name: ranker(config) for name, config in CONFIGS.items()}
EACH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
MTGR_MODEL = MODELS["mtgr"]
ENCODERS = {name: model for name, model in MODELS.items() if isinstance(model, MTGR)}
ALIKE = {"ablated", "hstu", "deepfm", "dcn", "mmoe", "ple", "moe"}
"""Models that have all code in common with MTGR but what is within a layer and one line of the
mask, or with the DLRM but what becomes of a row: a few examples of each tell as much."""
few = settings(max_examples=examples(25), deadline=None)


def of_each(
    models: Mapping[str, Ranker] = MODELS, examples: int = 25, **drawn: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[[str], None]]:
    """A test of `test(model, **drawn)` for each model."""

    def decorated(test: Callable[..., None]) -> Callable[[str], None]:
        @pytest.mark.parametrize("name", models)
        def of_model(name: str) -> None:
            def holds(**values: Any) -> None:
                test(models[name], **values)

            holds.__name__ = test.__name__  # under which hypothesis keeps what failed
            many = examples // 5 if name in ALIKE else examples
            settings(max_examples=many, deadline=None)(given(**drawn)(holds))()

        return of_model

    return decorated


def scores(model: Ranker, *users: User) -> Tensor:
    return flow(model, jagged(list(users))).logits_CK.detach()


def equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)
