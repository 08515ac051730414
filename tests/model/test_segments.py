"""What stands where in a model's tensors: with a feature more, other weights stay theirs."""

import torch
from rayrank.model.mtgr import MTGRConfig
from rayrank.model.ranker import ModelConfig
from rayrank.model.segments import Segments, copied_block, layouts_of, shared_places
from torch import Size, Tensor

from .rankers import EACH_CONFIG, MTGR_CONFIG, ranker
from .rows import SCHEMA


@EACH_CONFIG
def test_segments_fill_their_dimensions(config: ModelConfig) -> None:
    model = ranker(config)
    state, found = model.dense_state(), layouts_of(model, SCHEMA.groups)
    assert found
    for name, dims in found.items():
        assert len(dims) == state[name].dim(), name
        for segments, length in zip(dims, state[name].shape, strict=True):
            if segments is not None:
                assert sum(width for _, width in segments) == length, name
                assert len({segment for segment, _ in segments}) == len(segments), name


def test_the_first_layer_after_features_knows_their_columns() -> None:
    found = layouts_of(ranker(MTGR_CONFIG), SCHEMA.groups)
    assert found["tokenizer.candidate_token.0.weight"] == (
        None,
        [("item_id", 8), ("tags", 4), ("price", 4), ("distance", 1), ("ctr", 1)],
    )
    assert found["tokenizer.candidate.mean"] == ([("distance", 1), ("ctr", 1)],)
    rows = found["layers.0.gate_norm.weight_GD"][0]
    assert rows == [(group.name, 1) for group in SCHEMA.groups]


def merged(
    old: Tensor,
    new: Tensor,
    of_old: tuple[Segments | None, ...],
    of_new: tuple[Segments | None, ...],
) -> Tensor:
    places = shared_places(of_old, of_new, old.shape, new.shape)
    assert places is not None
    return copied_block(old, new, places)


def test_segments_are_matched_by_name_and_their_leading_parts_are_taken() -> None:
    old, new = torch.arange(1.0, 6.0), torch.zeros(7)
    before, after = [("a", 2), ("gone", 1), ("b", 2)], [("b", 3), ("new", 1), ("a", 3)]
    assert merged(old, new, (before,), (after,)).tolist() == [4, 5, 0, 0, 1, 2, 0]


def test_both_dimensions_at_once_and_one_piece() -> None:
    old = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = merged(
        old, torch.zeros(3, 3), (None, [("a", 1), ("b", 1)]), (None, [("b", 2), ("a", 1)])
    )
    assert found.tolist() == [[2, 0, 1], [4, 0, 3], [0, 0, 0]]
    narrower = merged(old, torch.zeros(1, 2), (None, None), (None, None))
    assert narrower.tolist() == [[1, 2]]


def test_other_numbers_of_dimensions_share_nothing() -> None:
    assert shared_places(None, None, Size([2]), Size([2, 1])) is None


def test_wider_heads_keep_to_their_head() -> None:
    """d_model 32 to 64 at two heads: rows 0 to 15 of q are head 0, and head 1 begins at 32 then."""
    narrow, wide = (
        ranker(MTGRConfig(size=None, layers=1, d_model=width, heads=2, attention_length=4))
        for width in (32, 64)
    )
    name = "layers.0.project.weight"
    layouts = [layouts_of(model, SCHEMA.groups)[name] for model in (narrow, wide)]
    old, new = (model.dense_state()[name] for model in (narrow, wide))
    found = merged(old, torch.zeros_like(new), *layouts)
    q, head = 1, 1
    assert torch.equal(found[q * 64 + head * 32 :][:16, :32], old[q * 32 + head * 16 :][:16])
    assert found.count_nonzero() == old.count_nonzero()


def test_without_a_gate_queries_keys_and_values_go_on() -> None:
    gated, plain = (
        ranker(MTGRConfig(size=None, layers=1, d_model=32, heads=2, gate=gate))
        for gate in (True, False)
    )
    name = "layers.0.project.weight"
    layouts = [layouts_of(model, SCHEMA.groups)[name] for model in (gated, plain)]
    old, new = (model.dense_state()[name] for model in (gated, plain))
    assert torch.equal(merged(old, torch.zeros_like(new), *layouts), old[32:])


def test_a_norm_that_all_share_is_none_of_the_groups() -> None:
    one = ranker(MTGRConfig(size=None, layers=1, d_model=32, heads=2, norms="one"))
    found = layouts_of(one, SCHEMA.groups)
    assert found["layers.0.norm.weight_GD"][0] == [("every group", 1)]
    assert found["layers.0.gate_norm.bias_GD"][0] == found["norm.weight_GD"][0]
    assert "every group" not in {group.name for group in SCHEMA.groups}
