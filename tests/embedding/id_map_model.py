"""What an id map is to do, as a Python dict, and random streams of calls that bodies follow."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map import IdMap
from torch import Tensor

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
_MANY = torch.arange(100_000)
CROWDED = _MANY[((mix(_MANY) >> 58) & 63) == 5][:300].tolist()
"""Of one of the compiled body's parts, where lines overflow."""
IDS = st.one_of(
    st.integers(-5, 40),
    st.sampled_from(CROWDED),
    st.integers(LOWEST, HIGHEST),
    st.sampled_from([LOWEST, LOWEST + 1, -1, 0, HIGHEST]),
)


class Call(NamedTuple):
    """One of a stream."""

    of: int
    """Which of the maps."""
    what: str
    ids: list[int]
    where: list[bool] | None


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Of two maps."""
    what = draw(st.sampled_from(["find", "insert", "insert", "insert", "remove", "assign"]))
    ids = draw(st.lists(IDS, max_size=40))
    where = st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))
    return Call(draw(st.integers(0, 1)), what, ids, draw(st.none() | where))


class Model:
    """A map. Several share a count, a list of one number."""

    def __init__(self, rows: float, count: list[int]) -> None:
        self.slots: dict[int, int] = {}
        self._rows, self._count = rows, count

    def find(self, ids: list[int]) -> list[int]:
        return [self.slots.get(one, -1) for one in ids]

    def find_or_insert(self, ids: list[int], where: list[bool] | None) -> list[int]:
        may = where or [True] * len(ids)
        before = dict(self.slots)
        asking = [one for one, inserted in zip(ids, may, strict=True) if inserted]
        for one in dict.fromkeys(asking):
            if one not in before:
                if self._count[0] < self._rows:
                    self.slots[one] = self._count[0]
                self._count[0] += 1
        return [
            (self.slots if inserted else before).get(one, -1)
            for one, inserted in zip(ids, may, strict=True)
        ]

    def there(self, ids: list[int]) -> list[int]:
        """Each once, in the order of `ids`."""
        return [one for one in dict.fromkeys(ids) if one in self.slots]


def follow(
    stream: list[Call], new: Callable[[], IdMap], rows: float, device: torch.device | str = "cpu"
) -> None:
    """Two maps of one count do what their models do, until the count is beyond `rows`: a run ends
    then. rows: of each map that `new` makes."""

    def tensor(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    counted = [0]
    models = [Model(rows, counted), Model(rows, counted)]
    maps, count = [new(), new()], tensor([0])[0]
    for of, what, ids, where in stream:
        model, body = models[of], maps[of]
        if what == "find":
            assert body.find(tensor(ids)).tolist() == model.find(ids)
        elif what == "insert":
            may = None if where is None else torch.tensor(where, dtype=torch.bool, device=device)
            slots = body.find_or_insert(tensor(ids), count, may)
            assert slots.dtype == torch.int64
            assert slots.tolist() == model.find_or_insert(ids, where)
            assert int(count) == counted[0]
        elif what == "remove":
            body.remove(tensor(model.there(ids)))
            for one in model.there(ids):
                del model.slots[one]
        else:
            there = model.there(ids)
            exchanged = model.find(there)[::-1]
            body.assign(tensor(there), tensor(exchanged))
            model.slots |= zip(there, exchanged, strict=True)
        if counted[0] > rows:
            return
    for model, body in zip(models, maps, strict=True):
        there = list(model.slots)
        assert body.find(tensor(there)).tolist() == model.find(there)
