"""Stochastic length: who keeps all, how many the others keep, and which."""

import numpy as np
import pyarrow as pa
import pytest
from rayrank.data.jagged import to_jagged
from rayrank.data.stochastic_length import StochasticLength
from rayrank.schema import Schema, static_of

from ..model.rows import SCHEMA, User, behaviour, candidate, features, table

KEEP = 100
VIEWS = static_of("views").name


def schema(keep: int = KEEP) -> Schema:
    told = SCHEMA.model_dump(mode="json")
    told["sequences"]["views"]["keep"] = keep
    return Schema.model_validate(told)


def rows(*lengths: int) -> pa.Table:
    """A user for each, who has done so many things, a minute apart."""
    return table(
        [
            User(
                features(SCHEMA, "profile", n),
                [behaviour(minute - length, 7 * minute + n) for minute in range(length)],
                [],
                [candidate(1, n)],
            )
            for n, length in enumerate(lengths)
        ]
    )


def times(of: pa.Table) -> list[list[int]]:
    found: list[list[int]] = of[VIEWS].combine_chunks().field("time").to_pylist()
    return found


def shortened(of: pa.Table, alpha: float = 1.5, epoch: int = 0, seed: int = 0) -> pa.Table:
    return StochasticLength(alpha, seed, epoch).shorten(of, schema())


def test_short_ones_are_whole_and_the_others_as_long_as_the_rule_says() -> None:
    """N = 100, a = 1.5: up to 100^0.75 = 31.6 behaviours are kept; of 60, all with probability
    1000 / 3600, of 100 with 1000 / 10000."""
    whole = rows(*[31] * 10, *[60] * 1500, *[100] * 1500)
    counts = np.array([len(of) for of in times(shortened(whole))])
    assert set(counts[:10]) == {31}
    for own, length, chance in ((counts[10:1510], 60, 1 / 3.6), (counts[1510:], 100, 0.1)):
        assert set(own) == {31, length}
        assert np.mean(own == length) == pytest.approx(chance, abs=0.04)  # over 3 sigma


def test_at_two_all_is_kept() -> None:
    whole = rows(5, 60, 100)
    assert shortened(whole, alpha=2.0).equals(whole)


def test_what_is_seen_is_a_part_in_its_order_with_all_that_belongs_to_it() -> None:
    whole = rows(*[100] * 20)
    part = shortened(whole)
    for before, after in zip(whole.to_pylist(), part.to_pylist(), strict=True):
        place = {time: i for i, time in enumerate(before[VIEWS]["time"])}
        seen = [place[time] for time in after[VIEWS]["time"]]
        assert seen == sorted(set(seen))
        for name, values in after[VIEWS].items():
            assert values == [before[VIEWS][name][i] for i in seen], name
        assert {k: v for k, v in after.items() if k != VIEWS} == {
            k: v for k, v in before.items() if k != VIEWS
        }
    to_jagged(part, schema())


def test_recent_behaviours_are_seen_more_often_by_the_papers_weights() -> None:
    """Of three, each a while after the one before, one: f is 2, 1 and 0 whiles of 3 in all, and the
    weights 1/3, 2/3 and 1."""
    whole = rows(*[3] * 6000)
    evenly = [minute * 60_000 for minute in range(3)] * 6000
    column = whole[VIEWS].combine_chunks()
    offsets = column.field("time").offsets
    fields = [pa.ListArray.from_arrays(offsets, pa.array(evenly))]
    fields += [column.field(k) for k in range(1, column.type.num_fields)]
    assert column.type[0].name == "time"
    even = pa.StructArray.from_arrays(fields, fields=list(column.type))
    whole = whole.set_column(whole.schema.get_field_index(VIEWS), VIEWS, even)
    # N = 3 and a = 1.2: floor(3^0.6) = 1 is kept, but for a share of 3^1.2 / 9 that keep all.
    part = StochasticLength(1.2, 0, 0).shorten(whole, schema(keep=3))
    ones = [of[0] // 60_000 for of in times(part) if len(of) == 1]
    assert len(ones) / 6000 == pytest.approx(1 - 3**1.2 / 9, abs=0.02)
    shares = np.bincount(ones, minlength=3) / len(ones)
    assert shares == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=0.02)


def test_it_is_a_function_of_the_row_the_epoch_and_the_seed() -> None:
    whole = rows(*[100] * 20)
    part = shortened(whole)
    assert times(part) == times(shortened(whole))
    assert times(part)[5:9] == times(shortened(whole.slice(5, 4)))
    assert times(part) != times(shortened(whole, epoch=1))
    assert times(part) != times(shortened(whole, seed=1))
