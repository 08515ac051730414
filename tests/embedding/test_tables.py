"""Tables of one process."""

from dataclasses import astuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.tables import LearnedRows, LocalTables
from rayrank.errors import CapacityError
from rayrank.schema import Table

from ..effort import examples

TABLES = {"item": Table(dim=8, capacity=50), "tag": Table(dim=4, capacity=3)}
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def local() -> LocalTables:
    return LocalTables(TABLES, init_std=0.1, seed=11)


def start(name: str, ids: torch.Tensor) -> torch.Tensor:
    return initial_vectors(mix(ids), TABLES[name].dim, table_seed(name, 11), 0.1)


def trained(ids: torch.Tensor) -> LocalTables:
    tables = local()
    tables({"item": ids})
    with torch.no_grad():
        tables.learned["item"][1:].normal_(generator=torch.Generator().manual_seed(0))
    return tables


def test_a_new_id_starts_with_its_initial_vector_in_training() -> None:
    ids = torch.tensor([5, -9, 5, 1 << 62])
    training = local()
    assert torch.equal(training({"item": ids})["item"], start("item", ids))
    assert len(training.rows("item").keys) == 3


def test_unknown_ids_in_evaluation_are_zeros_and_not_inserted() -> None:
    tables = trained(torch.arange(10)).eval()
    asked = torch.tensor([3, 1000, 4])
    vectors = tables({"item": asked})["item"]
    assert vectors[1].tolist() == [0.0] * 8
    learned = {int(key): row for key, row in zip(*astuple(tables.rows("item")), strict=True)}
    for i in (0, 2):
        expected = start("item", asked[i : i + 1])[0] + learned[int(mix(asked)[i])]
        assert torch.equal(vectors[i], expected)
    assert len(tables.rows("item").keys) == 10


def test_an_id_of_which_nothing_was_learned_is_an_unknown_one_in_evaluation() -> None:
    tables = local()
    assert tables({"item": torch.tensor([7])})["item"].any()
    assert not tables.eval()({"item": torch.tensor([7])})["item"].any()
    assert tables.train()({"item": torch.tensor([7])})["item"].any()


def test_a_full_table_says_its_name() -> None:
    tables = local()
    tables({"tag": torch.tensor([1, 2, 3, 1])})
    tables({"tag": torch.tensor([3, 2])})
    with pytest.raises(CapacityError, match=r"table 'tag' .* tables\.tag\.capacity"):
        tables({"tag": torch.tensor([4])})
    assert tables.eval()({"tag": torch.tensor([5])})["tag"].shape == (1, 4)


def test_repeated_ids_share_a_gradient_and_unseen_rows_have_none() -> None:
    tables = local()
    ids = torch.tensor([7, 8, 7])
    tables({"item": ids})["item"].backward(torch.tensor([[1.0], [10.0], [100.0]]).expand(3, 8))
    gradient = tables.learned["item"].grad
    assert gradient is not None
    rows = tables.rows("item").keys.tolist()
    assert gradient[1 + rows.index(int(mix(ids)[0]))].tolist() == [101.0] * 8
    assert gradient[1 + rows.index(int(mix(ids)[1]))].tolist() == [10.0] * 8
    assert not gradient[0].any()
    assert not gradient[3:].any()


@settings(max_examples=examples(50), deadline=None)
@given(
    known=st.lists(INT64, max_size=30, unique=True),
    others=st.lists(INT64, max_size=10),
    data=st.data(),
)
def test_rows_round_trip(known: list[int], others: list[int], data: st.DataObject) -> None:
    tables = trained(torch.tensor(known, dtype=torch.int64)).eval()
    rows = {name: tables.rows(name) for name in TABLES}
    # In another order: rows of several ranks come in none.
    order = data.draw(st.permutations(range(len(known))))
    rows["item"] = LearnedRows(rows["item"].keys[list(order)], rows["item"].vectors[list(order)])
    again = LocalTables.of_rows(TABLES, rows, init_std=0.1, seed=11)
    assert not again.training
    asked = torch.tensor([*known, *others], dtype=torch.int64)
    assert torch.equal(again({"item": asked})["item"], tables({"item": asked})["item"])
    assert again.learned["item"].shape == (max(len(known), 1) + 1, 8)


def test_all_tables_at_once() -> None:
    tables = local().eval()
    ids = {"item": torch.arange(3), "tag": torch.zeros(0, dtype=torch.int64)}
    vectors = tables(ids)
    assert {n: v.shape for n, v in vectors.items()} == {"item": (3, 8), "tag": (0, 4)}


def test_id_maps_go_where_the_weights_go() -> None:
    """Also when a model that holds the tables is moved."""
    tables = trained(torch.arange(10)).eval()
    asked = torch.tensor([3, 1000, 4, 3])
    before, keys = tables({"item": asked})["item"], tables.rows("item").keys
    wide = torch.nn.Sequential(tables).double()
    assert torch.equal(tables.rows("item").keys, keys)
    torch.testing.assert_close(wide({"item": asked})["item"], before.double())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_id_maps_go_to_a_gpu() -> None:
    tables = trained(torch.arange(10)).eval()
    asked = torch.tensor([3, 1000, 4, 3])
    before, keys = tables({"item": asked})["item"], tables.rows("item").keys
    torch.nn.Sequential(tables).to("cuda")
    assert torch.equal(tables.rows("item").keys.cpu(), keys)
    torch.testing.assert_close(tables({"item": asked.cuda()})["item"].cpu(), before)
