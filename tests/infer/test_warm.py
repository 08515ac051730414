"""The row that warms an engine is one that a request could be."""

from pathlib import Path

import numpy as np
import pytest
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine
from rayrank.infer.warm import example_visits
from rayrank.schema import Schema

from ..model.rows import SCHEMA, jagged, table
from .bundles import CONFIGS, USERS, trained, write

VECTORS = Schema.model_validate(
    SCHEMA.model_dump(mode="json")
    | {
        "weight": "w",
        "features": SCHEMA.model_dump(mode="json")["features"]
        | {"look": {"tokens": ["buys", "candidate"], "kind": "vector", "width": 3}},
    }
)


@pytest.mark.parametrize("schema", [SCHEMA, VECTORS], ids=["every kind", "vectors and weights"])
def test_everything_that_may_hold_something_does(schema: Schema) -> None:
    first, second = example_visits(schema)
    for rows in (first, second):
        assert len(rows) == 1
        assert not {"labels", "labels_known_at", "weight"} & {*rows.column_names}
    for group in schema.groups[1:]:
        before, after = (
            rows[group.name].combine_chunks().field("time").flatten().to_pylist()
            for rows in (first, second)
        )
        assert after == [0]
        assert before == ([] if group.part == "realtime" else [0])
    assert second["tokens"][0].as_py() - first["tokens"][0].as_py() == len(schema.realtime)


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_a_warm_engine_scores_what_comes_as_any(tmp_path: Path, kind: str) -> None:
    bundle = load_bundle(tmp_path / write(tmp_path, trained(kind), kind).version)
    engine = Engine(bundle)
    engine.warm()
    expected = bundle.ranker.predictions(bundle.ranker(jagged(USERS))).numpy()
    found = np.concatenate(engine.submit(table(USERS)).result().scores)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    engine.close()
