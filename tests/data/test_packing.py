"""Whole rows into batches within a budget."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.packing import balance, pack, row_costs, shares

COSTS = st.lists(st.integers(0, 20), max_size=60)


@given(COSTS, st.integers(1, 30))
def test_pack_covers_all_rows_in_order_within_budget(costs: list[int], budget: int) -> None:
    batches = pack(np.array(costs, np.float64), budget)
    assert [row for batch in batches for row in batch.tolist()] == list(range(len(costs)))
    for number, batch in enumerate(batches):
        total = sum(costs[row] for row in batch)
        assert total <= budget or len(batch) == 1
        # Full: the next batch's first row would not have fitted.
        if number + 1 < len(batches):
            assert total + costs[batches[number + 1][0]] > budget


@given(COSTS, st.integers(1, 30))
def test_balance_covers_all_rows_within_budget(costs: list[int], budget: int) -> None:
    batches = balance(np.array(costs, np.float64), budget)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(costs)))
    loads = []
    for batch in batches:
        total = sum(costs[row] for row in batch)
        if max(costs[row] for row in batch) > budget:
            assert len(batch) == 1
        else:
            assert total <= budget
            loads.append(total)
    # No batch could take a row of the dearest and be dearer than that one was without it.
    if len(loads) > 1:
        assert max(loads) - min(loads) <= max(cost for cost in costs if cost <= budget)


@given(COSTS, st.integers(1, 30))
def test_shares_cover_all_rows_alike(costs: list[int], number: int) -> None:
    dealt = shares(np.array(costs, np.float64), number)
    assert len(dealt) == number
    assert sorted(row for share in dealt for row in share.tolist()) == list(range(len(costs)))
    loads = [sum(costs[row] for row in share) for share in dealt]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_batches_of_many_rows_are_alike_and_full() -> None:
    lengths = np.random.default_rng(3).lognormal(6, 0.8, 4000).clip(10, 3000).round()
    loads = np.array([lengths[batch].sum() for batch in balance(lengths, 16_384)])
    assert loads.max() / loads.mean() < 1.002
    assert loads.mean() / 16_384 > 0.98


def test_rows_that_cost_the_same_go_in_the_order_given() -> None:
    assert [batch.tolist() for batch in balance(np.full(5, 2.0), 4.0)] == [[0, 3], [1, 4], [2]]


@pytest.mark.parametrize("costs", [[], [7.0]])
def test_none_and_one(costs: list[float]) -> None:
    assert [batch.tolist() for batch in balance(np.array(costs), 4.0)] == ([[0]] if costs else [])


def test_the_cost_of_a_row() -> None:
    rows = pa.table({"tokens": [3, 10], "visible_pairs": [9, 60]})
    assert row_costs(rows, 0.0).tolist() == [3, 10]
    assert row_costs(rows, 0.5).tolist() == [7.5, 40]
