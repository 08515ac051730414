"""The short form of what `python -m bench.chaos` does to an endpoint: no request is lost."""

from collections.abc import Iterator

import pytest

from bench.chaos import SHORT, line, scenarios
from bench.chaos_kill import Killed
from bench.chaos_load import Asked, Counts, counts
from bench.chaos_outcome import Outcome
from bench.chaos_siege import Sieges
from bench.chaos_stage import Stage, stage

from ..effort import long_form

SCENARIOS = scenarios(short=True)
ELSEWHERE = {
    "damage_two_replicas": "tests/jobs/test_endpoint.py",
    "damage_one_replica": "tests/jobs/test_endpoint.py",
    "change_keys": "tests/serve/test_mounted_keys.py",
    "scale": "here: kill and redeploy take and give replicas too",
}
"""Where `make test` sees the like of what `make test-long` does under load."""


@pytest.fixture(scope="module")
def endpoint(ray_cluster: None) -> Iterator[Stage]:
    with stage() as made:
        yield made


def test_whatever_is_not_200_is_a_failure() -> None:
    asked = [Asked(0.0, 0.1, 0.2, status) for status in (200, 503, 0, 200)]
    found = counts(asked)
    assert found == Counts(requests=4, failures=2, statuses={0: 1, 200: 2, 503: 1})
    assert Outcome(asked=found).faults() == ["2 failures: {0: 1, 200: 2, 503: 1}"]
    assert Outcome(asked=counts(asked[:1])).faults() == []
    assert "2 failures" in line("some", Outcome(asked=found), 1.0)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[long_form] if name in ELSEWHERE else []) for name in SCENARIOS],
)
def test_no_request_is_lost(endpoint: Stage, name: str) -> None:
    found = SCENARIOS[name](endpoint)
    assert found.asked.requests >= SHORT.requests
    if isinstance(found, Sieges):
        # How long good requests wait meanwhile is the machine's matter; who besieges is refused.
        assert found.slow.statuses.keys() <= {408}
        assert found.large.statuses.keys() <= {413}
        assert found.idle.opened >= found.idle.clients
        return
    assert found.faults() == [], found
    if isinstance(found, Killed):
        assert found.elsewhere.requests > found.asked.requests / 2
    else:
        assert found.asked.statuses.keys() == {200}
