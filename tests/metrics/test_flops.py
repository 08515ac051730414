"""FLOPs of an encoder, counted product by product."""

import pytest
import torch
from rayrank.metrics.flops import Attended, hstu_flops
from rayrank.model.mtgr import MTGRConfig
from torch.utils.flop_counter import FlopCounterMode


def dense_pass(layers: int, width: int, prefix: int, candidates: int) -> int:
    """What PyTorch counts of the products of a dense pass in which all see the prefix."""
    T = prefix + candidates
    weight = torch.zeros(width, 4 * width)
    with FlopCounterMode(display=False) as counter:
        for layer in range(layers):
            x_TD = torch.zeros(T, width)
            queries = candidates if layer == layers - 1 else T
            x_TD[:queries] @ weight[:, : 2 * width]
            x_TD @ weight[:, 2 * width :]
            score = torch.zeros(queries, width) @ torch.zeros(width, prefix)
            score @ torch.zeros(prefix, width)
            torch.zeros(queries, width) @ torch.zeros(width, width)
    return counter.get_total_flops()


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_they_are_those_of_the_products(layers: int) -> None:
    prefix, candidates, width = 37, 11, 16
    given = Attended(
        prefix + candidates, (prefix + candidates) * prefix, candidates, candidates * prefix
    )
    assert hstu_flops(layers, width, given) == dense_pass(layers, width, prefix, candidates)


def test_a_pair_beside_a_token() -> None:
    """Of layers through which every token goes: one pair more costs so much of one token more."""
    config = MTGRConfig.model_validate({"d_model": 64})
    base = Attended(100, 5000, 10, 500)
    whole = hstu_flops(1, 64, base)
    more = [
        hstu_flops(2, 64, base._replace(**one)) - whole
        for one in ({"pairs": 5001}, {"tokens": 101})
    ]
    two_layers = hstu_flops(2, 64, base) - whole
    last_of_token = hstu_flops(1, 64, base._replace(tokens=101)) - whole
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
