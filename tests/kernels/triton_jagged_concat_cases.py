"""Cases for jagged concatenation's Triton body; `test_triton.py` runs them, see there."""

import hstu_kernels.jagged_concat_triton as body
import pytest
import torch
from hstu_kernels.jagged_concat_reference import jagged_concat_reference, jagged_split_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ..effort import examples
from .triton_device import DEVICE


@st.composite
def lengths_of_parts(draw: st.DrawFn) -> list[list[int]]:
    """Per part, the length of each sequence; no sequences at times, and no tokens."""
    sequences = draw(st.integers(0, 6))
    length = st.sampled_from([0, 1, 4, 17, 33])
    part = st.lists(length, min_size=sequences, max_size=sequences)
    return draw(st.lists(part, min_size=1, max_size=4))


def offsets_of(lengths: list[list[int]]) -> Tensor:
    """[P, B + 1]"""
    ends = torch.tensor(lengths, dtype=torch.int64).cumsum(1)
    return torch.nn.functional.pad(ends, (1, 0)).to(DEVICE)


def draw(
    lengths: list[list[int]], D: int, dtype: torch.dtype, behind: tuple[int, ...] = (0,) * 4
) -> list[Tensor]:
    """Parts, with so many rows behind the last sequence of each."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(-100, 100, (sum(part) + more, D), generator=generator).to(DEVICE, dtype)
        for part, more in zip(lengths, behind, strict=False)
    ]


@settings(max_examples=examples(60), deadline=None)
@given(
    lengths=lengths_of_parts(),
    D=st.sampled_from([0, 1, 48, 1100]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.int64]),
    behind=st.just((0,) * 4) | st.tuples(*[st.integers(0, 40)] * 4),
)
def test_matches_the_definition(
    lengths: list[list[int]], D: int, dtype: torch.dtype, behind: tuple[int, ...]
) -> None:
    offsets, parts = offsets_of(lengths), draw(lengths, D, dtype, behind)
    whole = body.jagged_concat(parts, offsets)
    assert whole.dtype == dtype
    assert torch.equal(whole, jagged_concat_reference(parts, offsets.unbind()))
    tokens = [len(part) for part in parts]
    again = body.jagged_split(whole, offsets, tokens)
    expected = jagged_split_reference(whole, offsets.unbind(), tokens)
    for got, wanted in zip(again, expected, strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("sequences", [1, 2, 3, 7, 8, 9, 100])
def test_finds_a_row_among_any_number_of_sequences(sequences: int) -> None:
    generator = torch.Generator().manual_seed(sequences)
    lengths = torch.randint(3, (2, sequences), generator=generator).tolist()
    offsets, parts = offsets_of(lengths), draw(lengths, 2, torch.float32)
    expected = jagged_concat_reference(parts, offsets.unbind())
    assert torch.equal(body.jagged_concat(parts, offsets), expected)


def test_rows_of_something_wider_are_read_in_place() -> None:
    lengths = [[17, 0, 33], [1, 4, 2]]
    offsets, wide = offsets_of(lengths), draw(lengths, 3 * 16, torch.float32)
    views = [x[:, 16:32] for x in wide]
    whole = jagged_concat_reference(views, offsets.unbind())
    assert torch.equal(body.jagged_concat(views, offsets), whole)
    around = torch.cat([whole, whole.flip(0)], dim=1)
    again = body.jagged_split(around[:, :16], offsets, [50, 7])
    for got, wanted in zip(again, views, strict=True):
        assert torch.equal(got, wanted)
