"""Cases for the Triton bodies; `test_triton.py` runs them, under the interpreter without a GPU.

Every fresh tensor is filled with NaN, so an element that no program writes cannot pass.
"""

from typing import NamedTuple

import hstu_kernels.attention_backward_triton as backward_body
import pytest
import torch
from hstu_kernels.attention_backward_triton import attention_backward
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.attention_triton import attention_forward
from hstu_kernels.testing import PATTERNS, Visibility, assert_close, last_tokens, visibility
from hstu_kernels.tuning import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ..effort import examples
from .triton_device import DEVICE, DTYPES_OF_PRODUCTS

TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
ALPHA, SCALE = 0.2, 0.1
CONFIG, SQUARE = Config(16, 32, 4, 1), Config(16, 16, 4, 1)
LENGTHS = [0, 1, 17, 0, 70, 33]


def see(pattern: str, lengths: list[int], seed: int = 0) -> Visibility:
    return visibility(pattern, lengths, torch.Generator().manual_seed(seed)).to(DEVICE)


class Inputs(NamedTuple):
    q_THD: Tensor
    k_THD: Tensor
    v_THD: Tensor
    do_THD: Tensor  # the gradient of the output


def draw(T: int, H: int, Dqk: int, Dv: int, dtype: torch.dtype, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def normal(D: int) -> Tensor:
        return torch.randn(T, H, D, generator=generator).to(DEVICE, dtype)

    return Inputs(normal(Dqk), normal(Dqk), normal(Dv), normal(Dv))


def run(
    inputs: Inputs, integers: Visibility, config: Config, query_offsets: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The output and the gradients of q, k and v."""
    q, k, v, do = inputs
    offsets, end, start = integers
    queries = offsets if query_offsets is None else query_offsets
    o_QHD = attention_forward(q, k, v, offsets, queries, end, start, ALPHA, SCALE, config)
    return o_QHD, *attention_backward(
        do, q, k, v, offsets, queries, end, start, ALPHA, SCALE, config, config
    )


def define(
    inputs: Inputs, integers: Visibility, query_offsets: Tensor | None = None
) -> tuple[Tensor, ...]:
    """What `run` must give, in float64."""
    q, k, v = (x.double().requires_grad_() for x in inputs[:3])
    o_THD = attention_reference(
        q, k, v, *integers, query_offsets=query_offsets, alpha=ALPHA, scale=SCALE
    )
    return o_THD, *torch.autograd.grad(o_THD, (q, k, v), inputs.do_THD.double())


@settings(max_examples=examples(50), deadline=None)
@given(
    lengths=st.lists(st.sampled_from([0, 1, 17, 33, 70]), max_size=5),
    pattern=st.sampled_from(PATTERNS),
    heads=st.integers(1, 2),
    dims=st.sampled_from([(16, 16), (24, 16), (16, 40)]),
    dtype=st.sampled_from(DTYPES_OF_PRODUCTS),
    config=st.sampled_from([CONFIG, Config(32, 16, 4, 2, maxnreg=128), SQUARE]),
    seed=st.integers(0, 1000),
)
def test_matches_the_definition(
    *,
    lengths: list[int],
    pattern: str,
    heads: int,
    dims: tuple[int, int],
    dtype: torch.dtype,
    config: Config,
    seed: int,
) -> None:
    integers = see(pattern, lengths, seed)
    inputs = draw(sum(lengths), heads, *dims, dtype, seed)
    expected = define(inputs, integers)
    for got, wanted in zip(run(inputs, integers, config), expected, strict=True):
        assert got.dtype == dtype
        assert_close(got, wanted, TOLERANCE[dtype], size=SCALE)


@settings(max_examples=examples(40), deadline=None)
@given(
    sequences=st.lists(
        st.sampled_from([0, 1, 17, 33, 70]).flatmap(
            lambda length: st.tuples(st.just(length), st.integers(0, length))
        ),
        min_size=1,
        max_size=5,
    ),
    behind=st.sampled_from([0, 1, 20, 64]),
    pattern=st.sampled_from(PATTERNS),
    dims=st.sampled_from([(16, 16), (24, 16)]),
    dtype=st.sampled_from(DTYPES_OF_PRODUCTS),
    config=st.sampled_from([CONFIG, Config(32, 16, 4, 2, maxnreg=128), SQUARE]),
)
def test_queries_apart_from_keys_and_rows_of_nobody(
    *,
    sequences: list[tuple[int, int]],
    behind: int,
    pattern: str,
    dims: tuple[int, int],
    dtype: torch.dtype,
    config: Config,
) -> None:
    """The last tokens of each sequence; rows behind the last one hold NaN and give zeros."""
    lengths = [length for length, _ in sequences]
    integers = see(pattern, lengths)
    queries = last_tokens(integers.offsets.cpu(), [count for _, count in sequences]).to(DEVICE)
    Q, T = len(queries.rows_Q), sum(lengths)
    q, k, v, do = draw(T, 2, *dims, dtype)
    inputs = Inputs(q[queries.rows_Q], k, v, do[queries.rows_Q])
    apart = integers.of(queries.rows_Q)
    expected = define(inputs, apart, queries.offsets)

    def padded(x: Tensor, value: float) -> Tensor:
        return torch.cat([x, x.new_full((behind, *x.shape[1:]), value)])

    longer = Inputs(*(padded(x, float("nan")) for x in inputs))
    offsets, end, start = apart
    wider = Visibility(offsets, padded(end, 7), None if start is None else padded(start, 7))
    found = run(longer, wider, config, queries.offsets)
    for got, wanted, rows in zip(found, expected, (Q, Q, T, T), strict=True):
        assert_close(got[:rows], wanted, TOLERANCE[dtype], size=SCALE)
        assert (got[rows:] == 0).all()
        assert len(got) == rows + behind


def test_query_blocks_that_see_a_key_block_need_not_be_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks of 16 rows that see much and nothing in turns, over more than one chunk of blocks."""
    monkeypatch.setattr(backward_body, "CHUNK", 4)
    T = 16 * 10 + 3
    turn = torch.arange(T) // 16 % 3 == 1
    integers = Visibility(torch.tensor([0, T]), torch.where(turn, 40, 0), None).to(DEVICE)
    inputs = draw(T, 1, 16, 16, torch.float32)
    expected = define(inputs, integers)
    for got, wanted in zip(run(inputs, integers, CONFIG), expected, strict=True):
        assert_close(got, wanted, TOLERANCE[torch.float32], size=SCALE)
    # A block between two that see was skipped, not masked: zero times NaN would be NaN.
    unseeing = slice(32, 48)
    inputs.q_THD[unseeing] = float("nan")
    _, _, dk, dv = run(inputs, integers, CONFIG)
    for x in (dk, dv):
        assert x[unseeing].isnan().all()
        assert not x[:32].isnan().any()
        assert not x[48:].isnan().any()


def test_a_key_block_seen_whole_and_then_in_part() -> None:
    """Rows that see less than the rows before them, which no model's mask has today."""
    T = 64
    integers = Visibility(torch.tensor([0, T]), torch.where(torch.arange(T) < 32, T, 20), None)
    inputs = draw(T, 1, 16, 16, torch.float32)
    expected = define(inputs, integers.to(DEVICE))
    for got, wanted in zip(run(inputs, integers.to(DEVICE), SQUARE), expected, strict=True):
        assert_close(got, wanted, TOLERANCE[torch.float32], size=SCALE)


def test_the_same_bits_alone_among_others_and_again() -> None:
    integers = see("mtgr", LENGTHS)
    inputs = draw(sum(LENGTHS), 2, 16, 16, torch.float32)
    together = run(inputs, integers, CONFIG)
    again = run(inputs, integers, CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(together, again, strict=True))
    first, last = integers.offsets[4].item(), integers.offsets[5].item()
    own = slice(first, last)
    own_integers = Visibility(
        torch.tensor([0, last - first], device=DEVICE), integers.visible_end[own], None
    )
    alone = run(Inputs(*(x[own] for x in inputs)), own_integers, CONFIG)
    assert all(torch.equal(a, b[own]) for a, b in zip(alone, together, strict=True))


def test_hidden_keys_are_never_read() -> None:
    """NaN in a candidate's key and value reaches its own output alone: no product was masked."""
    T = 64 + 120
    end = torch.full((T,), 64)
    integers = Visibility(torch.tensor([0, T]), end, None).to(DEVICE)
    inputs = draw(T, 1, 16, 16, torch.float32)
    inputs.k_THD[110], inputs.v_THD[110] = float("nan"), float("nan")
    o, dq, dk, dv = run(inputs, integers, CONFIG)
    others = torch.arange(T, device=DEVICE) != 110
    assert o[110].isnan().all()
    for x in (o, dq, dk, dv):
        assert not x[others].isnan().any()


def test_views_integers_of_32_bits_and_ranges_behind_the_end() -> None:
    """What a model hands over; a range behind the sequence is cut, never read."""
    lengths = [20, 41]
    integers = see("causal", lengths)
    wide = torch.randn(sum(lengths), 3 * 2 * 16, device=DEVICE)
    q, k, v = (x.unflatten(1, (2, 16)) for x in wide.split(2 * 16, dim=1))
    do = torch.ones(1, 1, 1, device=DEVICE).expand(sum(lengths), 2, 16)
    views = Inputs(q, k, v, do)
    whole = Inputs(*(x.contiguous() for x in views))
    beyond = integers._replace(visible_end=integers.visible_end.int())
    beyond.visible_end[19] = 1000
    beyond.visible_end[-1] = 1000
    expected = run(whole, integers, CONFIG)
    actual = run(views, beyond, CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize("sequences", [0, 3])
def test_no_tokens(sequences: int) -> None:
    offsets = torch.zeros(sequences + 1, dtype=torch.int64, device=DEVICE)
    integers = Visibility(offsets, offsets[:0], None)
    shapes = [x.shape for x in run(draw(0, 2, 16, 32, torch.float32), integers, CONFIG)]
    assert shapes == [(0, 2, 32), (0, 2, 16), (0, 2, 16), (0, 2, 32)]


def test_a_half_precision_weight_is_rounded_once() -> None:
    """Guards the tolerance above: the float16 body is not the float32 body."""
    q, k, v, _ = draw(40, 1, 16, 16, torch.float16)
    integers = see("bidirectional", [40])
    half = run(Inputs(q, k, v, v), integers, CONFIG)[0]
    full = run(Inputs(q.float(), k.float(), v.float(), v.float()), integers, CONFIG)[0]
    assert not torch.equal(half.float(), full)
    assert_close(half, full, TOLERANCE[torch.float16], size=SCALE)
