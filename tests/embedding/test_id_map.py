"""The id map against a Python dict."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map import IdMap

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
IDS = st.one_of(
    st.integers(-5, 40),
    st.integers(LOWEST, HIGHEST),
    st.sampled_from([LOWEST, LOWEST + 1, -1, 0, HIGHEST]),
)
BATCHES = st.lists(st.tuples(st.booleans(), st.lists(IDS, max_size=60)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(batches=BATCHES)
def test_it_is_a_dict_that_counts(batches: list[tuple[bool, list[int]]]) -> None:
    ids, expected = IdMap(), dict[int, int]()
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


def test_growth_moves_no_slot() -> None:
    ids, total = IdMap(), 0
    generator = torch.Generator().manual_seed(0)
    everyone = torch.randperm(40_000, generator=generator) * 982_451_653 - (1 << 40)
    for size in (1, 31, 32, 33, 1_000, 20_000, 18_903):
        batch = everyone[total : total + size]
        assert torch.equal(ids.find_or_insert(batch), torch.arange(total, total + size))
        total += size
        assert torch.equal(ids.find(everyone[:total]), torch.arange(total))
    assert (ids.find(everyone[total:]) == -1).all()


def test_ids_that_all_hash_alike_at_first() -> None:
    """Whole runs of one cell: everything probes on."""
    ids = IdMap()
    many = torch.arange(100_000)
    from_one_cell = many[(mix(many) & 63) == 5][:30]
    assert ids.find_or_insert(from_one_cell.flip(0)).tolist() == list(range(30))
    assert ids.find(from_one_cell).tolist() == list(range(29, -1, -1))


def test_asking_does_not_insert() -> None:
    ids = IdMap()
    assert ids.find(torch.tensor([0, 0, 7])).tolist() == [-1, -1, -1]
    assert len(ids) == 0
    assert ids.find_or_insert(torch.zeros(0, dtype=torch.int64)).tolist() == []
    assert len(ids) == 0
