"""Tables for serving give what was learned, rounded to half precision, and zeros for the rest."""

import threading

import pytest
import torch
from rayrank.embedding.frozen import FrozenTables, freeze
from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.tables import LearnedRows
from rayrank.errors import WeightsError

STD, SEED = 0.5, 3


def rows(ids: torch.Tensor, dim: int = 8) -> LearnedRows:
    learned = torch.randn(len(ids), dim, generator=torch.Generator().manual_seed(0))
    return LearnedRows(mix(ids), learned)


def frozen(of: LearnedRows, name: str = "item") -> FrozenTables:
    return FrozenTables({name: freeze(name, of, init_std=STD, seed=SEED)})


def test_a_vector_is_its_start_and_what_was_learned_in_half_precision() -> None:
    ids = torch.tensor([0, 5, -9, 1 << 62, 17])
    learned = rows(ids)
    start = initial_vectors(mix(ids), 8, table_seed("item", SEED), STD)
    expected = (start.double() + learned.vectors.double()).half().float()
    asked = torch.tensor([3, 0, 1, 4, 2, 0])
    vectors = frozen(learned)({"item": ids[asked]})["item"]
    assert vectors.dtype == torch.float32
    # Of two float32 sums one may round to the neighbour.
    torch.testing.assert_close(vectors, expected[asked], rtol=2**-10, atol=2**-14)


def test_an_unknown_id_and_one_of_which_nothing_was_learned_are_zeros() -> None:
    ids = torch.arange(100)
    learned = rows(ids)
    learned.vectors[40:] = 0.0
    tables = frozen(learned)
    vectors = tables({"item": torch.arange(-100, 200)})["item"]
    assert vectors[100:140].abs().sum(dim=1).min() > 0
    assert not vectors[:100].any()
    assert not vectors[140:].any()


def test_a_table_without_ids_knows_none() -> None:
    tables = frozen(rows(torch.arange(0)))
    assert tables({"item": torch.arange(3)})["item"].tolist() == [[0.0] * 8] * 3
    assert tables({"item": torch.arange(0)})["item"].shape == (0, 8)


def test_what_half_precision_cannot_hold_is_refused() -> None:
    learned = rows(torch.arange(3))
    learned.vectors[1, 2] = 1e6
    with pytest.raises(WeightsError, match=r"table 'item': .* 1e\+06, more than half precision"):
        frozen(learned)


def test_a_lookup_that_saw_as_many_ids_allocates_nothing() -> None:
    tables = frozen(rows(torch.arange(1000)))
    asked, fewer = torch.arange(500), torch.arange(400)
    first = tables({"item": asked})["item"]
    with torch.profiler.profile(profile_memory=True) as profile:
        again = tables({"item": fewer})["item"]
    allocated = [event for event in profile.events() if event.self_cpu_memory_usage > 0]
    assert allocated == []
    assert again.data_ptr() == first.data_ptr()


def test_threads_do_not_write_into_each_others_vectors() -> None:
    tables = frozen(rows(torch.arange(1000)))
    mine = tables({"item": torch.arange(10)})["item"]
    before = mine.clone()
    other = threading.Thread(target=lambda: tables({"item": torch.arange(10, 20)}))
    other.start()
    other.join()
    assert torch.equal(mine, before)


def test_a_lookup_works_in_inference_mode_and_after_it() -> None:
    tables = frozen(rows(torch.arange(10)))
    with torch.inference_mode():
        inside = tables({"item": torch.arange(5)})["item"].clone()
    assert torch.equal(tables({"item": torch.arange(5)})["item"], inside)
