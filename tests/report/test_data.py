"""What a report is made from."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayrank.report.data import Lengths, bins_by_factors

from .sample import difference, quality, report, slices


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=50))
def test_bins_by_factors_hold_everything(values: list[int]) -> None:
    for array in (np.array(values), np.array(values, float)):
        edges, counts = bins_by_factors(array)
        assert sum(counts) == len(values)
        assert edges == sorted(set(edges))
        assert edges[0] > 0
        Lengths(mean=1, p50=1, p99=1, max=1, edges=edges, counts=counts)


def test_bins_by_factors_weigh() -> None:
    edges, counts = bins_by_factors(np.array([8, 100]), np.array([5, 7]))
    assert sum(counts) == 12
    assert counts[0] == 5
    assert edges[0] <= 8
    assert edges[-1] >= 100


def test_shares_are_of_the_oracles_margin() -> None:
    assert report().margin_share("dlrm", "click") == pytest.approx(0.2502 / 0.3140)
    assert report().margin_share("oracle", "order") == 1
    rankers = {name: q for name, q in report().quality.items() if name != "oracle"}
    alone = report(quality=rankers, differences={}, slices={})
    assert alone.margin_share("mtgr", "click") is None


def test_data_that_does_not_fit_is_refused() -> None:
    good = report()
    both = {"click": difference(0.1), "order": difference(0.1)}
    faults: dict[str, dict[str, Any]] = {
        "quality.dlrm: expected the tasks click, order": {
            "quality": good.quality | {"dlrm": {"click": quality(0.7)}}
        },
        "oracle is none": {
            "quality": {"oracle": good.quality["oracle"], "mtgr": good.quality["mtgr"]},
            "differences": {},
            "slices": {},
        },
        "differences.mtgr: the served ranker has none": {"differences": {"mtgr": both}},
        "differences.other: not a ranker": {"differences": {"other": both}},
        "differences.dlrm: expected the tasks": {"differences": {"dlrm": {"click": both["click"]}}},
        "expected those of mtgr, which is served, first": {
            "slices": {"dlrm": good.slices["dlrm"]},
        },
        "slices.dlrm.order: expected new users": {
            "slices": good.slices | {"dlrm": {"click": slices(0.7), "order": slices(0.7)[1:]}}
        },
        "Extra inputs": {"colour": "red"},
    }
    for message, changes in faults.items():
        with pytest.raises(ValidationError, match=message):
            report(**changes)
    with pytest.raises(ValidationError, match="edges must ascend"):
        Lengths(mean=1, p50=1, p99=1, max=1, edges=[1, 2, 3], counts=[1])
