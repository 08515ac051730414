"""Both bodies of the id map against a Python dict."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map import IdMap, id_map, moved
from rayrank.embedding.id_map_cpu import PARTS, CompiledIdMap
from rayrank.embedding.id_map_torch import TorchIdMap

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
IDS = st.one_of(
    st.integers(-5, 40),
    st.integers(LOWEST, HIGHEST),
    st.sampled_from([LOWEST, LOWEST + 1, -1, 0, HIGHEST]),
)
BATCHES = st.lists(st.tuples(st.booleans(), st.lists(IDS, max_size=60)), max_size=8)
Body = Callable[[], IdMap]
bodies = pytest.mark.parametrize("body", [CompiledIdMap, TorchIdMap])


@bodies
@settings(max_examples=150, deadline=None)
@given(batches=BATCHES)
def test_it_is_a_dict_that_counts(body: Body, batches: list[tuple[bool, list[int]]]) -> None:
    ids, expected = body(), dict[int, int]()
    for inserting, batch in batches:
        asked = torch.tensor(batch, dtype=torch.int64)
        if inserting:
            for one in batch:
                expected.setdefault(one, len(expected))
            assert ids.find_or_insert(asked).tolist() == [expected[one] for one in batch]
        else:
            assert ids.find(asked).tolist() == [expected.get(one, -1) for one in batch]
        assert len(ids) == len(expected)
        # A dict keeps the order of insertion, which is the order of first occurrence.
        assert ids.ids().tolist() == list(expected)


def some(number: int) -> torch.Tensor:
    """Distinct ids in a random order."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(number, generator=generator) * 982_451_653 - (1 << 40)


@bodies
def test_growth_moves_no_slot(body: Body) -> None:
    ids, total, everyone = body(), 0, some(40_000)
    for size in (1, 31, 32, 33, 1_000, 20_000, 18_903):
        batch = everyone[total : total + size]
        assert torch.equal(ids.find_or_insert(batch), torch.arange(total, total + size))
        total += size
        assert torch.equal(ids.find(everyone[:total]), torch.arange(total))
    assert (ids.find(everyone[total:]) == -1).all()


def test_two_million_ids_and_no_collision() -> None:
    ids, everyone = id_map(), some(2_000_000)
    assert torch.equal(ids.find_or_insert(everyone), torch.arange(2_000_000))
    assert torch.equal(ids.find(everyone.flip(0)), torch.arange(2_000_000).flip(0))
    assert torch.equal(ids.ids(), everyone)
    assert (ids.find(everyone + 1) == -1).all()


def test_it_grows_in_many_small_steps() -> None:
    """One id in a hundred more: a few parts grow, of which each holds one in 64."""
    ids, everyone = CompiledIdMap(), some(400_000)
    ids.find_or_insert(everyone[:100_000])
    lines, grown = ids._lines.copy(), []
    for first in range(100_000, 400_000, 1000):
        ids.find_or_insert(everyone[first : first + 1000])
        grown.append(int((ids._lines != lines).sum()))
        lines = ids._lines.copy()
    assert sum(grown) == pytest.approx(2 * PARTS, abs=8), "from 100,000 to 400,000: twice each"
    assert max(grown) <= 6
    places = 5 * int(ids._lines.sum())
    assert 0.4 < len(ids) / places < 0.8


@bodies
def test_ids_that_all_hash_alike_at_first(body: Body) -> None:
    """Whole runs of one cell, of one part and one line: everything probes on."""
    ids, many = body(), torch.arange(300_000)
    mixed = mix(many)
    for alike in ((mixed & 63) == 5, ((mixed >> 58) & 63) == 5):
        of_one = many[alike][:2000]
        ids = body()
        assert ids.find_or_insert(of_one.flip(0)).tolist() == list(range(len(of_one)))
        assert ids.find(of_one).tolist() == list(range(len(of_one) - 1, -1, -1))


@bodies
def test_asking_does_not_insert(body: Body) -> None:
    ids = body()
    assert ids.find(torch.tensor([0, 0, 7])).tolist() == [-1, -1, -1]
    assert len(ids) == 0
    assert ids.find_or_insert(torch.zeros(0, dtype=torch.int64)).tolist() == []
    assert len(ids) == 0


def test_ids_need_not_lie_side_by_side() -> None:
    ids, every_other = id_map(), torch.arange(20)[::2]
    assert ids.find_or_insert(every_other).tolist() == list(range(10))
    assert ids.find(every_other).tolist() == list(range(10))


def test_a_map_that_moves_keeps_its_slots() -> None:
    ids, everyone = id_map(), some(500)
    ids.find_or_insert(everyone)
    assert moved(ids, lambda tensor: tensor) is ids
    elsewhere = moved(ids, lambda tensor: tensor.to("meta"))
    assert elsewhere.ids().device.type == "meta"
    assert len(elsewhere) == 500
    again = TorchIdMap()
    again.find_or_insert(ids.ids())
    assert np.array_equal(again.find(everyone), np.arange(500))
