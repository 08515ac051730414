"""Rows that hold more than a ranker reads."""

import pyarrow as pa
import pytest
from rayrank.data.jagged import to_jagged
from rayrank.data.seen import seen
from rayrank.schema import ViewConfig, static_of

from ..model.rows import SCHEMA, User, behaviour, candidate, features, table


def user(number: int) -> User:
    """With so many behaviours of each sequence before the window, and one inside it."""
    return User(
        features(SCHEMA, "profile", number),
        [
            behaviour(-10 * n - place, n, sequence=sequence)
            for n in range(number, 0, -1)
            for place, sequence in enumerate(SCHEMA.sequences)
        ],
        [behaviour(2, number)],
        [candidate(n, n) for n in range(3)],
    ).ascending()


ROWS = table([user(number) for number in (4, 0, 1, 3)])


def behaviours(rows: pa.Table, sequence: str) -> list[list[int]]:
    return rows[static_of(sequence).name].combine_chunks().field("time").to_pylist()


def test_rows_that_hold_no_more_are_as_they_are() -> None:
    assert seen(ROWS, SCHEMA) is ROWS


@pytest.mark.parametrize("keep", [1, 2])
def test_of_each_sequence_the_newest_are_read(keep: int) -> None:
    schema = ViewConfig(keep=keep).of(SCHEMA)
    read = seen(ROWS, schema)
    longer = 0
    for name in SCHEMA.sequences:
        whole = behaviours(ROWS, name)
        assert behaviours(read, name) == [times[-keep:] for times in whole]
        longer += sum(len(times) > keep for times in whole)
    assert longer > 0
    batch = to_jagged(ROWS, schema)
    for group in schema.static:
        assert batch.lengths(group).max() <= keep
    # What a part holds beside times goes with them, and of rows in slices too.
    assert seen(ROWS.slice(1), schema).equals(read.slice(1))


def test_the_window_and_candidates_stay_whole() -> None:
    read = to_jagged(ROWS, ViewConfig(keep=1).of(SCHEMA))
    whole = to_jagged(ROWS, SCHEMA)
    for group in (*SCHEMA.realtime, SCHEMA.groups[-1]):
        assert (read.lengths(group) == whole.lengths(group)).all()
