"""Lists of ids, as rows store them."""

import pyarrow as pa
from rayrank.data.encode import lists_cut
from rayrank.data.ids import hash_string

from .test_values import IDS, encoded, refusal


def test_lists() -> None:
    values = [[1, 2], [], None, [3]]
    expected = [[1, 2], [], [], [3]]
    assert encoded(pa.array(values), IDS) == expected
    assert encoded(pa.array(values, pa.large_list(pa.uint8())), IDS) == expected
    assert encoded(pa.array([[9], *values, [9]]).slice(1, 4), IDS) == expected
    assert encoded(pa.nulls(2), IDS) == [[], []]
    assert encoded(pa.array([[], []], pa.list_(pa.null())), IDS) == [[], []]
    assert encoded(pa.array([], pa.list_(pa.string())), IDS) == []
    assert encoded(pa.array([["a"], ["b", "a"]]), IDS) == [
        [hash_string("a")],
        [hash_string("b"), hash_string("a")],
    ]
    assert "a list holds a missing id" in refusal(pa.array([[1, None]]), IDS)


def test_a_limit_keeps_the_first_ids_and_counts_what_it_cuts() -> None:
    limited = IDS.model_copy(update={"limit": 2})
    values = [[1, 2, 3], [], None, [4, 5], [6, 7, 8, 9]]
    assert encoded(pa.array(values), limited) == [[1, 2], [], [], [4, 5], [6, 7]]
    assert encoded(pa.nulls(2), limited) == [[], []]
    assert lists_cut(pa.chunked_array([values]), limited) == 2
    assert lists_cut(pa.chunked_array([values]), IDS) == 0
    assert lists_cut(pa.chunked_array([pa.nulls(2)]), limited) == 0


def test_a_list_without_end_is_refused_unless_a_limit_is_said() -> None:
    endless = pa.array([[1], [*range(200_000)], [*range(1000)]])
    assert "row 1 holds a list of 200,000 ids, more than 1,000" in refusal(endless, IDS)
    limited = IDS.model_copy(update={"limit": 1001})
    assert [len(ids) for ids in encoded(endless, limited)] == [1, 1001, 1000]
