"""Cases for jagged concatenation's Triton body; `test_triton.py` runs them, see there."""

import hstu_kernels.jagged_concat_triton as body
import pytest
import torch
from hstu_kernels.jagged_concat_reference import jagged_concat_reference
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Per part, the length of each sequence.
LENGTHS = {
    "no sequence": [[], []],
    "no tokens": [[0, 0], [0, 0], [0, 0]],
    "one part": [[17, 0, 33]],
    "one sequence": [[1], [0], [17], [33]],
    "several": [[4, 4, 4, 4, 4], [0, 17, 1, 0, 33], [33, 0, 0, 17, 1], [1, 33, 17, 0, 0]],
    "empty at both ends": [[0, 0, 5, 0, 0, 0], [0, 0, 0, 0, 7, 0]],
}


def offsets_of(lengths: list[list[int]]) -> Tensor:
    """[P, B + 1]"""
    ends = torch.tensor(lengths, dtype=torch.int64).cumsum(1)
    return torch.nn.functional.pad(ends, (1, 0)).to(DEVICE)


def draw(lengths: list[list[int]], D: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(-100, 100, (sum(part), D), generator=generator).to(DEVICE, dtype)
        for part in lengths
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
@pytest.mark.parametrize("D", [0, 1, 48, 1100])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_matches_the_definition(lengths: list[list[int]], D: int, dtype: torch.dtype) -> None:
    offsets, parts = offsets_of(lengths), draw(lengths, D, dtype)
    whole = body.jagged_concat(parts, offsets)
    assert whole.dtype == dtype
    assert torch.equal(whole, jagged_concat_reference(parts, offsets.unbind()))
    again = body.jagged_split(whole, offsets, [len(part) for part in parts])
    for got, wanted in zip(again, parts, strict=True):
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
