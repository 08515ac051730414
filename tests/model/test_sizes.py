"""Every size the paper names can be built, and a wrong one says what is wrong."""

import pytest
import torch
from pydantic import ValidationError
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.model.hstu import HSTULayer
from rayrank.model.mtgr import MTGR, SIZES, MTGRConfig

from .rows import SCHEMA

STATED = {
    "tiny": (2, 64, 2),
    "small": (3, 512, 2),
    "middle": (5, 768, 3),
    "large": (15, 768, 3),
    "xlarge": (22, 1024, 4),
}


def test_the_sizes_are_those_of_the_design() -> None:
    assert {
        n: tuple(s[k] for k in ("layers", "d_model", "heads")) for n, s in SIZES.items()
    } == STATED


@pytest.mark.parametrize("size", STATED)
def test_a_size_builds(size: str) -> None:
    config = MTGRConfig.model_validate({"size": size})
    with torch.device("meta"):
        model = build_model(SCHEMA, config, LocalTables(SCHEMA.tables, init_std=0.02, seed=0), {})
    assert isinstance(model, MTGR)
    layers, width, heads = STATED[size]
    assert len(model.layers) == layers
    for layer in model.layers:
        assert isinstance(layer, HSTULayer)
        assert (layer.width, layer.heads) == (width, heads)
        assert layer.scale == 1 / 256
        # u, q, k, v, the output projection, and two norms of six groups.
        weights = sum(p.numel() for p in layer.parameters())
        assert weights == 5 * width * width + 5 * width + 2 * 2 * 6 * width
    assert len(model.heads) == len(SCHEMA.tasks)


def test_a_size_can_be_changed_in_part() -> None:
    config = MTGRConfig.model_validate({"size": "small", "layers": 7})
    assert (config.layers, config.d_model, config.heads) == (7, 512, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"heads": 3}, "d_model / heads must be a whole number from 16 to 256"),
        ({"d_model": 65}, "d_model / heads must be a whole number from 16 to 256"),
        ({"heads": 8}, "from 16 to 256"),
        ({"d_model": 1024}, "from 16 to 256"),
        ({"heads": 0}, "heads"),
        ({"layers": 0}, "layers"),
        ({"size": "huge"}, "size"),
        ({"size": None}, "layers"),
        ({"d_modle": 64}, "d_modle"),
    ],
)
def test_a_wrong_size_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MTGRConfig.model_validate(wrong)
