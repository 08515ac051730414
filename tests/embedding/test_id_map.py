"""The compiled id map against a Python dict (`id_map_model`), and what it is made for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map_cpu import PARTS, CompiledIdMap

from ..effort import examples
from .id_map_model import Call, calls, follow


def zero() -> torch.Tensor:
    return torch.zeros((), dtype=torch.int64)


@settings(max_examples=examples(400), deadline=None)
@given(stream=st.lists(calls(), max_size=20))
def test_it_is_a_dict(stream: list[Call]) -> None:
    follow(stream, CompiledIdMap, rows=float("inf"))


def some(number: int) -> torch.Tensor:
    """Distinct ids in a random order."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(number, generator=generator) * 982_451_653 - (1 << 40)


def test_growth_moves_no_slot() -> None:
    ids, count, total, everyone = CompiledIdMap(), zero(), 0, some(40_000)
    for size in (1, 31, 32, 33, 1_000, 20_000, 18_903):
        batch = everyone[total : total + size]
        assert torch.equal(ids.find_or_insert(batch, count), torch.arange(total, total + size))
        total += size
        assert torch.equal(ids.find(everyone[:total]), torch.arange(total))
    assert (ids.find(everyone[total:]) == -1).all()


def test_two_million_ids_and_no_collision() -> None:
    """Twenty million are `make bench-tables`'s."""
    ids, everyone = CompiledIdMap(), some(2_000_000)
    assert torch.equal(ids.find_or_insert(everyone, zero()), torch.arange(2_000_000))
    assert torch.equal(ids.find(everyone.flip(0)), torch.arange(2_000_000).flip(0))
    assert (ids.find(everyone + 1) == -1).all()


def test_it_grows_in_many_small_steps() -> None:
    """One id in a hundred more: a few parts grow, of which each holds one in 64."""
    ids, count, everyone = CompiledIdMap(), zero(), some(400_000)
    ids.find_or_insert(everyone[:100_000], count)
    lines, grown = ids._lines.copy(), []
    for first in range(100_000, 400_000, 1000):
        ids.find_or_insert(everyone[first : first + 1000], count)
        grown.append(int((ids._lines != lines).sum()))
        lines = ids._lines.copy()
    assert sum(grown) == pytest.approx(2 * PARTS, abs=8), "from 100,000 to 400,000: twice each"
    assert max(grown) <= 6
    assert 0.4 < 400_000 / (5 * int(ids._lines.sum())) < 0.8


def test_ids_that_go_make_room() -> None:
    """A million come and go, ten thousand at a time: nothing has to grow for it."""
    ids, count = CompiledIdMap(), zero()
    for first in range(0, 1_000_000, 10_000):
        batch = torch.arange(first, first + 10_000)
        ids.find_or_insert(batch, count)
        if first:
            ids.remove(batch - 10_000)
        assert (ids.find(batch) >= 0).all()
        assert (ids.find(batch - 10_000) == -1).all()
    assert ids.bytes() < 20_000 * 64


def test_ids_that_all_hash_alike_at_first() -> None:
    """Whole runs of one part, and of one line: everything probes on, and comes back."""
    many = torch.arange(3_000_000)
    mixed = mix(many)
    for alike in (((mixed >> 58) & 63) == 5, (mixed & 0xFFFFFFFF) < (1 << 22)):
        of_one, ids = many[alike][:2000], CompiledIdMap()
        assert len(of_one) == 2000
        assert ids.find_or_insert(of_one.flip(0), zero()).tolist() == list(range(2000))
        ids.remove(of_one[::3])
        left = torch.arange(1999, -1, -1)
        left[::3] = -1
        assert torch.equal(ids.find(of_one), left)


def test_ids_need_not_lie_side_by_side() -> None:
    ids, every_other = CompiledIdMap(), torch.arange(20)[::2]
    assert ids.find_or_insert(every_other, zero()).tolist() == list(range(10))
    assert ids.find(every_other).tolist() == list(range(10))
