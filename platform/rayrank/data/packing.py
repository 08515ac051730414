"""Packing whole user rows into batches by what they cost."""

import heapq

import numpy as np
import pyarrow as pa


def row_costs(rows: pa.Table, pair_cost: float) -> np.ndarray:
    """float64 [rows]: tokens + pair_cost x visible pairs, the cost of encoding each user row."""
    return rows["tokens"].to_numpy() + pair_cost * rows["visible_pairs"].to_numpy()


def pack(costs: np.ndarray, max_cost: float) -> list[np.ndarray]:
    """Indices of consecutive rows per batch, each batch's costs adding up to `max_cost` at most.

    A row that alone costs more is a batch of its own.
    """
    batches: list[np.ndarray] = []
    start, total = 0, 0.0
    for row, cost in enumerate(costs.tolist()):
        if row > start and total + cost > max_cost:
            batches.append(np.arange(start, row))
            start, total = row, 0.0
        total += cost
    if start < len(costs):
        batches.append(np.arange(start, len(costs)))
    return batches


def balance(costs: np.ndarray, max_cost: float) -> list[np.ndarray]:
    """Indices of rows per batch: the fewest batches that come out alike in cost, `max_cost` at
    most. A row that alone costs more is a batch of its own.

    Longest processing time first (Graham 1969): the dearest row that is left goes to the batch
    that is cheapest so far; rows that cost the same go in the order given.
    """
    order = np.argsort(-costs, kind="stable")
    alone = int((costs > max_cost).sum())  # the first ones, in this order
    batches = [order[row : row + 1] for row in range(alone)]
    rest = order[alone:]
    if len(rest) == 0:
        return batches
    left = costs[rest].tolist()
    # Two rows of more than half the budget never share a batch.
    number = max(int(np.ceil(sum(left) / max_cost)), int((costs[rest] > max_cost / 2).sum()), 1)
    while (dealt := _deal(left, number, max_cost)) is None:
        number += max(1, number // 64)
    return batches + [rest[dealt == batch] for batch in range(number)]


def shares(costs: np.ndarray, number: int) -> list[np.ndarray]:
    """Indices of rows per share: so many shares that come out alike in cost, some empty where
    there are fewer rows. As `balance`, without a budget."""
    order = np.argsort(-costs, kind="stable")
    dealt = _deal(costs[order].tolist(), number, float("inf"))
    assert dealt is not None
    return [order[dealt == share] for share in range(number)]


def _deal(costs: list[float], number: int, max_cost: float) -> np.ndarray | None:
    """Which batch each row goes to, int64 [rows]; None where one would cost more than max_cost."""
    loads = [(0.0, batch) for batch in range(number)]
    batches = []
    for cost in costs:
        load, batch = loads[0]
        if load + cost > max_cost:
            return None
        heapq.heapreplace(loads, (load + cost, batch))
        batches.append(batch)
    return np.array(batches, np.int64)
