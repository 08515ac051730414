"""FLOPs of a model, counted product by product."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from rayrank.model.flops import Attended, attended, hstu_flops
from rayrank.model.meta_hstu import HSTUConfig
from rayrank.model.mtgr import MTGR, EncoderConfig, MTGRConfig
from rayrank.model.sequence import Mask, sequence
from torch.utils.flop_counter import FlopCounterMode

from ..effort import examples
from .rankers import ABLATED_CONFIG, DLRM_CONFIG, HSTU_CONFIG, MTGR_CONFIG, ranker
from .rows import SCHEMA, User, behaviour, candidate, features, jagged
from .strategies import USERS

BATCH = jagged(
    [
        User(
            features(SCHEMA, "profile", n),
            [behaviour(-m, m) for m in range(n + 3, 0, -1)],
            [behaviour(m, m, sequence="buys") for m in range(1, n + 1)],
            [candidate(m, m) for m in range(n + 2)],
        )
        for n in range(3)
    ]
)


def dense_pass(
    layers: int, width: int, prefix: int, candidates: int, projected: int = 4, read: int = 1
) -> int:
    """What PyTorch counts of the products of a dense pass in which all see the prefix."""
    T = prefix + candidates
    weight = torch.zeros(width, projected * width)
    with FlopCounterMode(display=False) as counter:
        for layer in range(layers):
            x_TD = torch.zeros(T, width)
            queries = candidates if layer == layers - 1 else T
            x_TD[:queries] @ weight[:, : -2 * width]
            x_TD @ weight[:, -2 * width :]
            score = torch.zeros(queries, width) @ torch.zeros(width, prefix)
            score @ torch.zeros(prefix, width)
            torch.zeros(queries, read * width) @ torch.zeros(read * width, width)
    return counter.get_total_flops()


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_they_are_those_of_the_products(layers: int) -> None:
    prefix, candidates, width = 37, 11, 16
    given = Attended(
        prefix + candidates, (prefix + candidates) * prefix, candidates, candidates * prefix
    )
    for shape in ((4, 1), (3, 1), (4, 3)):  # MTGR's, without a gate, and Meta's
        counted = dense_pass(layers, width, prefix, candidates, *shape)
        assert hstu_flops(layers, width, given, *shape) == counted


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (MTGRConfig.model_validate({"d_model": 64}), (4, 1)),
        (MTGRConfig.model_validate({"d_model": 64, "gate": False}), (3, 1)),
        (HSTUConfig.model_validate({"d_model": 64}), (4, 3)),
    ],
    ids=["mtgr", "no gate", "hstu"],
)
def test_a_pair_beside_a_token(config: EncoderConfig, shape: tuple[int, int]) -> None:
    """Of layers through which every token goes: one pair more costs so much of one token more."""
    base = Attended(100, 5000, 10, 500)
    whole = hstu_flops(1, 64, base, *shape)
    more = [
        hstu_flops(2, 64, base._replace(**one), *shape) - whole
        for one in ({"pairs": 5001}, {"tokens": 101})
    ]
    two_layers = hstu_flops(2, 64, base, *shape) - whole
    last_of_token = hstu_flops(1, 64, base._replace(tokens=101), *shape) - whole
    pair, token = more[0] - two_layers, more[1] - two_layers - last_of_token
    assert pair / token == pytest.approx(config.pair_in_tokens())


@pytest.mark.parametrize(
    ("layers", "width", "gflops"),
    [(3, 512, 5.47), (5, 768, 18.59), (15, 768, 55.76), (22, 1024, 137.87)],
)
def test_a_sample_of_the_paper_costs_what_it_says(layers: int, width: int, gflops: float) -> None:
    """arXiv 2505.18654, table 2: its four sizes agree on samples of some 510 tokens, with every
    token through every layer."""
    given = Attended(510, 510 * 460, 50, 50 * 460)
    whole = hstu_flops(layers + 1, width, given) - hstu_flops(1, width, given)
    assert whole / 1e9 == pytest.approx(gflops, rel=0.02)


@settings(deadline=None, max_examples=examples(30))
@drawn(st.lists(USERS, max_size=3), st.sampled_from(["dynamic", "causal"]))
def test_pairs_are_those_that_the_mask_leaves(users: list[User], mask: Mask) -> None:
    """A token sees a prefix, and itself where that is beyond it."""
    batch = jagged(users)
    layout = sequence(batch, SCHEMA, mask)
    place_T = torch.cat(
        [torch.arange(n) for n in layout.offsets.diff().tolist()] or [layout.group_T]
    )
    seen_T = layout.visible_end + (place_T >= layout.visible_end).long()
    of_candidates = layout.group_T == len(SCHEMA.groups) - 1
    assert attended(batch, SCHEMA, mask) == Attended(
        len(place_T), int(seen_T.sum()), int(of_candidates.sum()), int(seen_T[of_candidates].sum())
    )


def counted(run: Callable[[], object]) -> int:
    """FLOPs of the products that PyTorch sees."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_a_dlrm_is_its_mlp() -> None:
    model = ranker(DLRM_CONFIG)
    flops = model.forward_flops(BATCH)
    assert flops is not None
    assert int(flops) == counted(lambda: model(BATCH)) > 0


@pytest.mark.parametrize(
    ("config", "mask", "shape"),
    [
        (MTGR_CONFIG, "dynamic", (4, 1)),
        (ABLATED_CONFIG, "causal", (3, 1)),
        (HSTU_CONFIG, "dynamic", (4, 3)),
    ],
    ids=["mtgr", "ablated", "hstu"],
)
def test_mtgr_is_tokenizer_encoder_and_heads(
    config: EncoderConfig, mask: Mask, shape: tuple[int, int]
) -> None:
    """The encoder's products, which are kernels of our own, are counted above."""
    model = ranker(config)
    assert isinstance(model, MTGR)
    tokens = counted(lambda: model.tokenizer(BATCH, model.lookup(BATCH)))
    c_CD = torch.zeros(BATCH.candidates, config.d_model, dtype=torch.float64)
    heads = counted(lambda: [head(c_CD) for head in model.heads])
    encoder = hstu_flops(config.layers, config.d_model, attended(BATCH, SCHEMA, mask), *shape)
    assert int(model.forward_flops(BATCH)) == tokens + int(encoder) + heads
    assert min(tokens, heads, int(encoder)) > 0
