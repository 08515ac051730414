"""A ranker names its dense weights: all it has but its tables, wherever they stand in it."""

from pathlib import Path

import pytest
import torch
from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import LocalTables
from rayrank.errors import WeightsError
from rayrank.model.features import Vectors
from rayrank.model.ranker import Ranker
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .rankers import CONFIGS, ranker
from .rows import SCHEMA


class Awkward(Ranker):
    """Weights at its root, buffers, weights that are tied, transposed, or never trained."""

    average: Tensor
    scratch: Tensor

    def __init__(self) -> None:
        super().__init__(SCHEMA, LocalTables(SCHEMA.tables, init_std=0.1, seed=0))
        self.bias = nn.Parameter(torch.zeros(3))
        self.first = nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.first.weight
        self.across = nn.Parameter(torch.arange(6.0).view(2, 3).T)
        self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("average", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.tables_of_contents = nn.Linear(1, 1)

    def score_candidates(self, prefix: object, batch: JaggedBatch, vectors: Vectors) -> Tensor:
        raise AssertionError


OWN = ["bias", "across", "frozen", "first.weight", "first.bias", "tied.bias"]
CONTENTS = ["tables_of_contents.weight", "tables_of_contents.bias"]


def test_parameters_are_all_but_the_tables() -> None:
    model = Awkward()
    assert list(model.dense_parameters()) == [*OWN, *CONTENTS]
    assert model.dense_parameters()["first.weight"] is model.first.weight
    for config in CONFIGS.values():
        built = ranker(config)
        tables = {id(p) for p in built.tables.parameters()}  # type: ignore[attr-defined]
        dense = {id(p) for p in built.dense_parameters().values()}
        assert not tables & dense
        assert tables | dense == {id(p) for p in built.parameters()}


def test_state_is_a_copy_with_buffers_that_a_file_can_hold(tmp_path: Path) -> None:
    model = Awkward()
    state = model.dense_state()
    assert set(state) == {*OWN, *CONTENTS, "tied.weight", "average"}
    assert all(value.is_contiguous() and not value.requires_grad for value in state.values())
    save_file(state, tmp_path / "dense")
    nn.init.ones_(model.bias)
    assert torch.equal(state["bias"], torch.zeros(3))

    other = Awkward()
    nn.init.ones_(other.bias)
    nn.init.ones_(other.average)
    other.load_dense(load_file(tmp_path / "dense"))
    for name, value in other.dense_state().items():
        assert torch.equal(value, state[name]), name
    assert other.tied.weight is other.first.weight
    assert other.first.weight.requires_grad


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": None}, r"missing \['bias'\]$"),
        ({"average": None, "first.bias": None}, r"missing \['average', 'first.bias'\]$"),
        ({"extra": torch.zeros(1)}, r"unexpected \['extra'\]$"),
        ({"tables.learned.item": torch.zeros(1)}, r"unexpected \['tables.learned.item'\]$"),
        ({"bias": None, "bios": torch.zeros(3)}, r"missing \['bias'\], unexpected \['bios'\]$"),
        ({"bias": torch.zeros(4)}, r"bias is \[4\], expected \[3\]$"),
        ({"frozen": torch.zeros(1)}, r"frozen is \[1\], expected \[\]$"),
    ],
)
def test_weights_of_another_model_are_refused_whole(
    changes: dict[str, Tensor | None], message: str
) -> None:
    model = Awkward()
    before = model.dense_state()
    state = {name: value + 1 for name, value in before.items()} | changes
    with pytest.raises(WeightsError, match=f"the weights do not fit the model: {message}"):
        model.load_dense({name: value for name, value in state.items() if value is not None})
    for name, value in model.dense_state().items():
        assert torch.equal(value, before[name]), name
