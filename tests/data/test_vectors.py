"""Vectors (content embeddings) and weights, from a log to a batch."""

import numpy as np
import pyarrow as pa
import pytest
from rayrank.data.encode import encode
from rayrank.data.jagged import to_jagged
from rayrank.data.partition import build_rows
from rayrank.errors import DataError
from rayrank.schema import CANDIDATES, Feature, static_of

from .logs import DAY, HOUR, START, Record, Records, shop_schema, shown

LOOK = Feature(tokens=["candidate"], kind="vector", width=3)
MISSING = LOOK.model_copy(update={"default": 0.5})
VECTORS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float64()), pa.list_(pa.float32(), 3), pa.large_list(pa.int64())],
)
def test_lists_of_one_width_are_vectors(kind: pa.DataType) -> None:
    found = encode(pa.array(VECTORS, kind), LOOK, "x")
    assert found.type == pa.list_(pa.float32(), 3)
    assert found.to_pylist() == VECTORS
    assert encode(pa.array([[0] * 3, *VECTORS, [9] * 3], kind).slice(1, 2), LOOK, "x").equals(found)


def test_a_missing_vector_takes_the_default_in_every_place() -> None:
    values = pa.array([None, VECTORS[0]], pa.list_(pa.float64()))
    assert encode(values, MISSING, "x").to_pylist() == [[0.5] * 3, VECTORS[0]]
    assert encode(pa.nulls(2), MISSING, "x").to_pylist() == [[0.5] * 3] * 2
    with pytest.raises(DataError, match=r"x: row 0 is missing \(1 of 2 are\)"):
        encode(values, LOOK, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([[1.0] * 3, [1.0] * 2]), "row 1 holds 2 numbers, expected 3"),
        (
            pa.array([[1.0] * 3, [1.0, float("inf"), 1.0]]),
            "row 1 holds inf, expected finite numbers",
        ),
        (pa.array([[1.0, None, 1.0]]), "row 0 holds nan, expected finite numbers"),
        (pa.array([1.0]), r"expected vectors \(lists of 3 numbers\), found double"),
        (pa.array([["a", "b", "c"]]), "expected numbers, found string"),
    ],
)
def test_what_is_no_vector(values: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=f"x: {message}"):
        encode(values, LOOK, "x")


RICH: Record = {
    "weight": "w",
    "features.look": {"tokens": ["views", "candidate"], "kind": "vector", "width": 2},
}


def rich_rows(weights: list[float]) -> pa.Table:
    log = Records(
        [shown(1, n, START + n * DAY + HOUR) for n in range(2)] + [shown(1, 5, START + DAY)],
        items=[],
    )
    tables = log.tables()
    looks = pa.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    tables["exposures"] = (
        tables["exposures"].append_column("look", looks).append_column("w", pa.array(weights))
    )
    return build_rows(tables, shop_schema(RICH), [START + 9 * DAY] * 2).rows


def test_vectors_and_weights_reach_the_batch() -> None:
    batch = to_jagged(rich_rows([1.0, 2.0, 0.25]), shop_schema(RICH))
    assert batch.vectors(CANDIDATES, "look", 2).tolist() == [[0, 1], [4, 5], [2, 3]]
    assert batch.vectors(static_of("views"), "look", 2).tolist() == [[0, 1]]
    assert batch.weight is not None
    assert batch.weight.tolist() == [1, 0.25, 2]
    assert to_jagged(rich_rows([1, 1, 1]).slice(0, 0), shop_schema(RICH)).candidates == 0
    without = build_rows(Records([shown()]).tables(), shop_schema(), [START + DAY] * 2).rows
    assert to_jagged(without, shop_schema()).weight is None


def test_a_weight_is_a_number_from_0() -> None:
    with pytest.raises(DataError, match=r"exposures: column 'w': row 2 holds -1.*from 0"):
        rich_rows([1.0, 0.0, -1.0])
    with pytest.raises(DataError, match=r"exposures: column 'w': row 1 is missing"):
        rich_rows([1.0, np.nan, 1.0])
