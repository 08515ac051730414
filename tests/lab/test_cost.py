"""The requests that are timed."""

import pyarrow as pa
import pytest
from rayrank.data.jagged import to_jagged
from rayrank.lab.cost import with_candidates
from rayrank.schema import CANDIDATES

from ..evaluate.rows import user_row
from ..model.rows import SCHEMA


@pytest.mark.parametrize("many", [1, 5, 12])
def test_a_row_is_given_so_many_candidates_of_its_own(many: int) -> None:
    row = user_row("a", 0, 5)
    grown = with_candidates(row, many)
    batch = to_jagged(grown, SCHEMA)
    assert batch.candidates == many
    assert grown["tokens"][0].as_py() == row["tokens"][0].as_py() - 5 + many
    times = batch.times(CANDIDATES)
    assert (times.diff() >= 0).all()
    own = to_jagged(row, SCHEMA)
    assert set(times.tolist()) <= set(own.times(CANDIDATES).tolist())
    assert pa.types.is_struct(grown.schema.field(CANDIDATES.name).type)
    for group in SCHEMA.static:
        assert batch.counts[group] == own.counts[group]
