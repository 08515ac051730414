"""The benchmark of the endpoint, in miniature: every figure is there, and nothing was lost."""

import math
from pathlib import Path

import orjson
import pytest
from rayrank.serve.body import ARROW
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser

from bench.engine_rows import SCHEMA
from bench.serve import BOUNDS, Sizes, around_engine, forms, side_by_side, table, under_load
from bench.serve_echo import WARM
from bench.serve_rows import as_arrow, heavy, heavy_tokens, of_candidates, random_bundles

SIZES = Sizes(
    size="tiny",
    history=60,
    candidates=20,
    users=4,
    batch_tokens=512,
    requests=3,
    seconds=1.0,
    rounds=1,
    timeout_requests=500,
)
PARSER = RequestParser(SCHEMA, {"item_id": "integer", "shop": "integer"}, Limits())


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a run leaves it, as far as the benchmark reads it."""
    folder = tmp_path_factory.mktemp("run")
    random_bundles(folder / "bundles", "tiny")
    (folder / "request.json").write_bytes(heavy(1, 5, 3))
    return folder


def test_every_figure_is_there(
    ray_cluster: None, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAYRANK_API_KEY", raising=False)
    around = around_engine(str(run_dir), SIZES)  # behind one proxy, which stands for both
    found = side_by_side(around, around) | forms(str(run_dir), SIZES) | under_load(SIZES)
    assert found.keys() >= BOUNDS.keys()
    assert all(math.isfinite(found[name]) and found[name] > 0 for name in BOUNDS)
    assert all(name in table(found) for name in BOUNDS)
    assert found["http"]["requests"] == 3 < WARM
    assert found["batch_fill"] <= 1
    for loaded in (*found["loads"].values(), found["saturated"], found["echo"]):
        assert sum(loaded["statuses"].values()) == loaded["requests"] > 0
        # A machine that is busy with something else may be late; no request is at fault.
        assert loaded["statuses"].keys() <= {0, 200, 408, 503, 504}


def test_heavy_requests_are_sound_and_of_users_who_differ() -> None:
    one, other = (PARSER.parse(heavy(user, 60, 20)) for user in (1, 2))
    for asked in (one, other):
        assert asked.rows["tokens"].to_pylist() == [heavy_tokens(60, 20)]
    assert one.rows["static_clicks"] != other.rows["static_clicks"]
    assert one.ahead == 0


def test_arrow_tells_the_same_request() -> None:
    request = of_candidates(orjson.loads(heavy(1, 5, 3)), 7)
    told, arrow = PARSER.parse(orjson.dumps(request)), PARSER.parse(as_arrow(request), ARROW)
    assert told.candidates == 7
    assert told.rows == arrow.rows
