"""Batches reach a device by one copy, out of a buffer that is used again."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.infer.staging import Staging

from ..effort import examples
from ..model.rows import SCHEMA, jagged
from ..model.strategies import USERS

CPU = torch.device("cpu")


@settings(max_examples=examples(30), deadline=None)
@given(sets=st.lists(st.lists(st.lists(USERS, max_size=3), max_size=3), min_size=1, max_size=3))
def test_batches_arrive_as_they_were(sets: list[list[list[object]]]) -> None:
    staging = Staging(CPU)
    for people in sets:
        batches = [jagged(users) for users in people]  # type: ignore[arg-type]
        for found, batch in zip(staging(batches), batches, strict=True):
            assert torch.equal(found.buffer, batch.buffer)
            assert (found.users, found.counts) == (batch.users, batch.counts)
            for group in SCHEMA.groups[1:]:
                assert torch.equal(found.times(group), batch.times(group))


def test_what_was_staged_before_stays_as_it_was() -> None:
    """The buffer is written anew, what came of it is not."""
    staging, ones, zeros = Staging(CPU), jagged([]), jagged([])
    ones = ones.in_buffer(torch.ones(100, dtype=torch.uint8))
    zeros = zeros.in_buffer(torch.zeros(64, dtype=torch.uint8))
    (first,) = staging([ones])
    buffer = staging._buffer.data_ptr()
    staging([zeros, zeros])
    assert first.buffer.tolist() == [1] * 100
    assert staging._buffer.data_ptr() == buffer
