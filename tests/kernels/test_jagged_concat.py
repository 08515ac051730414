"""Jagged concatenation and its inverse on CPUs against their definition: the very same bits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hstu_kernels import jagged_concat, jagged_split
from hstu_kernels.jagged_concat_reference import jagged_concat_reference, jagged_split_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..effort import examples

Lengths = list[list[int]]
"""Per part, the length of each sequence."""
LENGTHS = st.tuples(st.integers(1, 4), st.integers(0, 6)).flatmap(
    lambda PB: st.lists(
        st.lists(st.sampled_from([0, 1, 2, 17, 33]), min_size=PB[1], max_size=PB[1]),
        min_size=PB[0],
        max_size=PB[0],
    )
)
EXAMPLE = [[2, 0, 3], [0, 0, 4], [1, 1, 0]]
DIFFERENTIABLE = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
FLOATING = [d for d in vars(torch).values() if isinstance(d, torch.dtype) and d.is_floating_point]
OTHERS = [torch.bool, torch.uint8, torch.int64, torch.complex64, torch.complex128]


def offsets_of(lengths: Lengths) -> list[Tensor]:
    return [torch.tensor([0, *part]).cumsum(0) for part in lengths]


def draw(
    lengths: Lengths, D: int = 3, dtype: torch.dtype = torch.float64, *, seed: int = 0
) -> list[Tensor]:
    """The parts."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(sum(part), D, generator=generator, dtype=torch.float64)
        .to(dtype)
        .requires_grad_()
        for part in lengths
    ]


def with_rows_behind(parts: list[Tensor], counts: list[int], fill: float) -> list[Tensor]:
    """So many rows more at the end of each part, which belong to no sequence."""
    return [
        torch.cat([x, x.new_full((count, x.shape[1]), fill)]).detach().requires_grad_()
        for x, count in zip(parts, counts, strict=False)
    ]


def tokens_of(parts: list[Tensor]) -> list[int]:
    return [len(part) for part in parts]


@settings(max_examples=examples(60), deadline=None)
@given(
    lengths=LENGTHS,
    D=st.sampled_from([0, 1, 8, 33]),
    dtype=st.sampled_from(DIFFERENTIABLE),
    seed=st.integers(0, 1000),
    behind=st.just([0] * 4) | st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_both_directions_and_their_gradients_are_the_definition(
    *, lengths: Lengths, D: int, dtype: torch.dtype, seed: int, behind: list[int]
) -> None:
    """Also with rows that belong to no sequence, full of NaN."""
    offsets, inside = offsets_of(lengths), draw(lengths, D, dtype, seed=seed)
    parts = with_rows_behind(inside, behind, torch.nan)
    whole = jagged_concat(parts, offsets)
    expected = jagged_concat_reference(parts, offsets)
    assert torch.equal(whole, expected)
    dwhole = torch.randn_like(whole)
    dwhole[sum(map(len, inside)) :] = torch.nan
    assert_all_equal(
        torch.autograd.grad(whole, parts, dwhole), torch.autograd.grad(expected, parts, dwhole)
    )

    x = whole.detach().requires_grad_()
    again = jagged_split(x, offsets, tokens_of(parts))
    assert_all_equal(again, with_rows_behind(inside, behind, 0.0))
    by_definition = jagged_split_reference(x, offsets, tokens_of(parts))
    assert_all_equal(again, by_definition)
    dparts = with_rows_behind([torch.randn_like(x) for x in inside], behind, torch.nan)
    assert_all_equal(
        torch.autograd.grad(again, x, dparts), torch.autograd.grad(by_definition, x, dparts)
    )


def assert_all_equal(actual: Any, expected: Any) -> None:
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == wanted.dtype
        assert torch.equal(got, wanted)


def test_an_example_by_hand() -> None:
    parts = [torch.tensor([[1], [2], [3]]), torch.tensor([[10], [20]])]
    offsets = [torch.tensor([0, 2, 2, 3]), torch.tensor([0, 1, 2, 2])]
    whole = jagged_concat(parts, offsets)
    assert whole.flatten().tolist() == [1, 2, 10, 20, 3]
    assert [x.flatten().tolist() for x in jagged_split(whole, offsets, [3, 2])] == [
        [1, 2, 3],
        [10, 20],
    ]


@pytest.mark.parametrize("dtype", FLOATING + OTHERS, ids=str)
def test_every_dtype_is_copied_bit_for_bit(dtype: torch.dtype) -> None:
    """Random bytes: NaNs that carry something, negative zeros, numbers below the normal ones."""
    size = 4 * dtype.itemsize
    generator = torch.Generator().manual_seed(0)
    values = 2 if dtype == torch.bool else 256
    raw = [
        torch.randint(values, (sum(part), size), generator=generator, dtype=torch.uint8)
        for part in EXAMPLE
    ]
    offsets = offsets_of(EXAMPLE)
    whole = jagged_concat([part.view(dtype) for part in raw], offsets)
    assert whole.dtype == dtype
    assert torch.equal(whole.view(torch.uint8), jagged_concat_reference(raw, offsets))
    again = jagged_split(whole, offsets, tokens_of(raw))
    assert_all_equal([part.view(torch.uint8) for part in again], raw)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_views_into_something_wider(dtype: torch.dtype) -> None:
    offsets, parts = offsets_of(EXAMPLE), [x.detach().to(dtype) for x in draw(EXAMPLE, 8)]
    whole = jagged_concat(parts, offsets)
    wide = [torch.cat([part, part.flip(1)], dim=1) for part in parts]
    assert torch.equal(jagged_concat([x[:, :8] for x in wide], offsets), whole)
    columns = [x.T.contiguous().T for x in parts]  # whole columns, no whole rows
    assert torch.equal(jagged_concat(columns, offsets), whole)
    wide_whole = torch.cat([whole.flip(1), whole], dim=1)
    assert_all_equal(jagged_split(wide_whole[:, 8:], offsets, tokens_of(parts)), parts)


def test_an_expanded_gradient() -> None:
    offsets, parts = offsets_of(EXAMPLE), draw(EXAMPLE)
    whole = jagged_concat(parts, offsets)
    whole.sum().backward()
    assert all(x.grad is not None and x.grad.eq(1).all() for x in parts)


def test_a_part_without_gradient_counts_as_zeros() -> None:
    offsets, parts = offsets_of(EXAMPLE), draw(EXAMPLE)
    x = jagged_concat(parts, offsets).detach().requires_grad_()
    _, wanted, _ = jagged_split(x, offsets, tokens_of(parts))
    (dx,) = torch.autograd.grad(wanted.square().sum(), x)
    ours = [torch.zeros_like(parts[0]), 2 * parts[1], torch.zeros_like(parts[2])]
    assert torch.equal(dx, jagged_concat_reference(ours, offsets))


def test_a_part_that_wants_no_gradient_gets_none() -> None:
    offsets, parts = offsets_of(EXAMPLE), draw(EXAMPLE)
    parts[0] = parts[0].detach()
    jagged_concat(parts, offsets).square().sum().backward()
    assert parts[0].grad is None
    assert_all_equal([part.grad for part in parts[1:]], [2 * part for part in parts[1:]])


def concat_example(*parts: Tensor) -> Tensor:
    return jagged_concat(parts, offsets_of(EXAMPLE)).sin()


def split_example(x: Tensor) -> Tensor:
    first, _, last = jagged_split(x, offsets_of(EXAMPLE), [5, 4, 2])
    return torch.cat([first.sin(), last.cos()])


@pytest.mark.parametrize("function", [concat_example, split_example])
def test_gradients_and_theirs_are_those_of_finite_differences(
    function: Callable[..., Tensor],
) -> None:
    parts = draw(EXAMPLE)
    inputs = parts if function is concat_example else [torch.cat(parts).detach().requires_grad_()]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_are_well_behaved_torch_operators() -> None:
    offsets, parts = torch.stack(offsets_of(EXAMPLE)), draw(EXAMPLE)
    whole = torch.cat(parts).detach().requires_grad_()
    concat: Any = torch.ops.hstu.jagged_concat.default
    split: Any = torch.ops.hstu.jagged_split.default
    torch.library.opcheck(concat, (parts, offsets))
    torch.library.opcheck(split, (whole, offsets, tokens_of(parts)))


def there_and_back(parts: list[Tensor], offsets: list[Tensor]) -> Tensor:
    whole = jagged_concat([part.sin() for part in parts], offsets).exp()
    return jagged_split(whole, offsets, [x.shape[0] for x in parts])[1].cos()


def gradients(function: Callable[..., Tensor], lengths: Lengths) -> list[Tensor]:
    parts = draw(lengths)
    result = function(parts, offsets_of(lengths))
    return [result, *torch.autograd.grad(result.sum(), parts)]


def test_compiles_into_one_graph() -> None:
    compiled = torch.compile(there_and_back, fullgraph=True, backend="aot_eager")
    # The second batch has other lengths, so sizes become symbols.
    for lengths in (EXAMPLE, [[1, 5], [7, 0], [2, 2]]):
        assert_all_equal(gradients(compiled, lengths), gradients(there_and_back, lengths))


def test_can_be_computed_again_in_place_of_kept() -> None:
    def recomputed(parts: list[Tensor], offsets: list[Tensor]) -> Tensor:
        result: Tensor = checkpoint(there_and_back, parts, offsets, use_reentrant=False)
        return result

    assert_all_equal(gradients(recomputed, EXAMPLE), gradients(there_and_back, EXAMPLE))


ZEROS = [torch.zeros(5, 3), torch.zeros(4, 3)]
BOUNDS = [torch.tensor([0, 2, 5]), torch.tensor([0, 4, 4])]


@pytest.mark.parametrize(
    ("parts", "offsets", "message"),
    [
        ([], [], "at least one part"),
        ([torch.zeros(5), ZEROS[1]], BOUNDS, r"part 0 must be \[tokens, dim\], got \[5\]"),
        ([ZEROS[0], torch.zeros(4, 2)], BOUNDS, r"part 1 must be like part 0, .*, 3\].*\[4, 2\]"),
        ([ZEROS[0], ZEROS[1].half()], BOUNDS, "part 1 must be like part 0, .*got torch.float16"),
        ([ZEROS[0], ZEROS[1].to("meta")], BOUNDS, "part 1 must be like part 0, .*on meta"),
        (ZEROS, BOUNDS[:1], "got 2 parts and 1 offsets"),
        (ZEROS, [BOUNDS[0], BOUNDS[1].int()], "offsets of part 1 must be int64"),
        (ZEROS, [BOUNDS[0], BOUNDS[1][None]], "offsets of part 1 must be int64"),
        (ZEROS, [BOUNDS[0], BOUNDS[1][:0]], "offsets of part 1 must be int64"),
        (ZEROS, [BOUNDS[0], BOUNDS[1][:2]], r"part 0 are \[3\], of part 1 \[2\]"),
        (ZEROS, [BOUNDS[0], BOUNDS[1].to("meta")], "offsets of part 1 are on meta"),
        (ZEROS, [BOUNDS[0], torch.tensor([0, 4, 5])], "part 1 must rise .* 4; they go from 0 to 5"),
        (ZEROS, [torch.tensor([1, 2, 5]), BOUNDS[1]], "part 0 must rise .* 5; they go from 1 to 5"),
        (ZEROS, [BOUNDS[0], torch.tensor([0, 5, 4])], "part 1 must rise .*and fall in between"),
    ],
)
def test_what_does_not_fit_is_named(
    parts: list[Tensor], offsets: list[Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        jagged_concat(parts, offsets)


@pytest.mark.parametrize(
    ("x", "offsets", "tokens", "message"),
    [
        (torch.zeros(9), BOUNDS, [5, 4], r"the input must be \[tokens, dim\], got \[9\]"),
        (torch.zeros(9, 3), BOUNDS, [5, 3], r"tokens must sum to the input's, 9, .*got \[5, 3\]"),
        (torch.zeros(9, 3), BOUNDS, [10, -1], "none be negative"),
        (torch.zeros(9, 3), BOUNDS, [9], "got 1 parts and 2 offsets"),
        (torch.zeros(0, 3), [], [], "there must be a part; got 0 parts"),
        (torch.zeros(9, 3), BOUNDS, [4, 5], "part 0 must rise .* 4; they go from 0 to 5"),
        (torch.zeros(9, 3, device="meta"), BOUNDS, [5, 4], "on cpu, the tokens on meta"),
    ],
)
def test_what_does_not_fit_a_split_is_named(
    x: Tensor, offsets: list[Tensor], tokens: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        jagged_split(x, offsets, tokens)
