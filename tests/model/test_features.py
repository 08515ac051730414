"""Numbers enter a model scaled, and never from farther away than training could have meant."""

import torch
from rayrank.data.scale import Scale
from rayrank.model.features import Features
from rayrank.schema import CANDIDATES

from .rows import SCHEMA, User, candidate, features, jagged


def test_numbers_are_scaled_and_stop_at_their_edges() -> None:
    scales = {"candidate.distance": Scale(2.0, 4.0, low=-10.0, high=30.0)}
    of = Features(SCHEMA, "candidate", scales, dropout=0.0)
    values = [2.0, 6.0, 30.0, 31.0, 1e20, float("inf"), -10.0, -1e30]
    shown = [candidate(0, seed) | {"distance": x} for seed, x in enumerate(values)]
    batch = jagged([User(features(SCHEMA, "profile", 0), candidates=shown)])
    found = of.numbers(batch, CANDIDATES)[:, of.numeric.index("distance")]
    assert found.tolist() == [0.0, 1.0, 7.0, 7.0, 7.0, 7.0, -3.0, -3.0]
    # Where nothing is known of its spread, a number is what it is.
    ctr = of.numbers(batch, CANDIDATES)[:, of.numeric.index("ctr")]
    assert torch.equal(ctr, batch.numbers(CANDIDATES, "ctr"))
    assert {"low", "high", "mean", "std"} <= {*of.state_dict()}, "a bundle keeps them"
