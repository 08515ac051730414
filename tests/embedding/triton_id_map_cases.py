"""Cases for the id map's Triton body, and its torch body beside it; `test_id_map_triton.py` runs
them, see there."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map import IdMap
from rayrank.embedding.id_map_torch import TorchIdMap
from rayrank.embedding.id_map_triton import BLOCK, TritonIdMap
from torch.utils._python_dispatch import TorchDispatchMode

from ..effort import examples
from ..kernels.triton_device import DEVICE
from .id_map_model import HIGHEST, LOWEST, Call, calls, follow

Body = Callable[[], IdMap]


def bodies(rows: int) -> pytest.MarkDecorator:
    """The two: one with room for so many, one without bound."""
    new = [lambda: TorchIdMap(DEVICE), lambda: TritonIdMap(rows, DEVICE)]
    return pytest.mark.parametrize("body", new, ids=["torch", "triton"])


def none() -> torch.Tensor:
    """A count."""
    return torch.zeros((), dtype=torch.int64, device=DEVICE)


@bodies(rows=512)
@settings(max_examples=examples(60), deadline=None)
@given(stream=st.lists(calls(), max_size=8))
def test_it_is_a_dict_that_counts(body: Body, stream: list[Call]) -> None:
    follow(stream, body, rows=512, device=DEVICE)


@settings(max_examples=examples(60), deadline=None)
@given(rows=st.integers(0, 9), stream=st.lists(calls(), max_size=6))
def test_a_small_one_removes_for_good_and_runs_full(rows: int, stream: list[Call]) -> None:
    """Its places are few: it is built anew time and again, and all ways wrap around."""
    follow(stream, lambda: TritonIdMap(rows, DEVICE), rows, DEVICE)


@bodies(rows=512)
def test_a_batch_of_several_programs(body: Body) -> None:
    """First occurrences and their repetitions, far apart."""
    distinct = 2 * BLOCK + 3
    ids = (torch.arange(2 * distinct, device=DEVICE) * 11) % distinct - 5
    there, count = body(), none() + 11
    assert there.find_or_insert(ids, count).tolist() == [*range(11, 11 + distinct)] * 2
    assert int(count) == 11 + distinct
    # Every other one of a tensor is a tensor too.
    assert there.find(ids[::2]).tolist() == there.find(ids).tolist()[::2]


@bodies(rows=64)
def test_ids_that_all_hash_alike(body: Body) -> None:
    """They all start at the last place, and move up when so many are removed that the map is built
    anew: what they leave is free."""
    many, last = torch.arange(1 << 13, device=DEVICE), 2 * 64 - 1
    alike = many[(mix(many) & last) == last][:50]
    there, count, slots = body(), none(), torch.full_like(many, -1)
    slots[alike] = torch.arange(50, device=DEVICE)
    assert torch.equal(there.find_or_insert(alike, count), slots[alike])
    if isinstance(there, TritonIdMap):
        assert set(there._keys[:49].tolist()) | {int(there._keys[last])} == set(alike.tolist())
    there.remove(alike[:40])
    slots[alike[:40]] = -1
    asked = torch.cat([alike, many[:700]])  # from every place
    assert torch.equal(there.find(asked), slots[asked])


def test_what_is_beyond_its_rows_has_no_slot() -> None:
    """Nor a place: it takes nobody's, however many there are."""
    ids = torch.tensor([0, LOWEST, 0, -1, HIGHEST, 9, *range(10, 60)], device=DEVICE)
    there, count = TritonIdMap(4, DEVICE), none()
    for full in range(3):
        slots = there.find_or_insert(ids, count)
        assert slots.tolist() == [0, 1, 0, 2, 3] + [-1] * 51
        assert int(count) == 55 + 51 * full
    assert there.find(ids).tolist() == slots.tolist()


def test_removed_ids_leave_their_places() -> None:
    """Eight ids at a time go through a map of eight: without being built anew it would hang."""
    there = TritonIdMap(8, DEVICE)
    for begin in range(0, 100, 5):
        count, ids = none(), torch.arange(begin, begin + 8, device=DEVICE) * HIGHEST
        assert there.find_or_insert(ids, count).tolist() == list(range(8))
        assert there.find(ids - 8).tolist() == [-1] * 8
        there.remove(ids)
        assert there.find(ids).tolist() == [-1] * 8
        assert there._removed <= 4, "of sixteen places"


class NoWaiting(TorchDispatchMode):
    """Raises where the host would wait for the device: for a value, or for a shape."""

    WAITS = {
        "_local_scalar_dense", "equal", "is_nonzero", "item", "masked_select", "nonzero",
        "repeat_interleave", "unique_consecutive", "unique_dim", "_unique", "_unique2",
    }  # fmt: skip

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else []
        if name in self.WAITS or any(one is not None and one.dtype == torch.bool for one in masks):
            raise AssertionError(f"{func} makes the host wait")
        return func(*args, **(kwargs or {}))


def test_the_host_does_not_wait() -> None:
    ids, count = torch.tensor([3, 1, 3, 0], device=DEVICE), none()
    there, where = TritonIdMap(8, DEVICE), ids > 0
    with NoWaiting():
        slots = [there.find_or_insert(ids, count, where), there.find_or_insert(ids, count)]
        slots += [there.find(ids)]
    assert [of.tolist() for of in slots] == [[0, 1, 0, -1], [0, 1, 0, 2], [0, 1, 0, 2]]
    with NoWaiting(), pytest.raises(AssertionError, match="makes the host wait"):
        TorchIdMap(DEVICE).find_or_insert(ids, count)
