"""What is told of requests is told together, and is what they were."""

import json
from pathlib import Path
from typing import Any

import pytest
from rayrank.serve.accounts import Accounts, Answered
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser
from rayrank.serve.served import Served, Serving, load_served

from ..infer.bundles import trained, write
from ..model.rows import SCHEMA
from .app_client import request


class Told:
    """Keeps what `Metrics` would send to Ray."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, ...]] = []
        self.oddities: list[tuple[int, dict[str, int]]] = []

    def answered(self, *told: Any) -> None:
        self.requests.append(told)

    def odd(self, ahead: int, clamped: Any) -> None:
        self.oddities.append((ahead, dict(clamped)))


@pytest.fixture
def served(tmp_path: Path) -> Served:
    version = write(tmp_path, trained("dlrm"), "dlrm").version
    return load_served(tmp_path / version, Serving(Limits(), 0, None))


def test_of_many_requests_at_once(served: Served) -> None:
    parser = RequestParser(SCHEMA, served.manifest.id_types, Limits())
    told = Told()
    accounts = Accounts(told)  # type: ignore[arg-type]
    bodies = [request(seed, shown=seed) for seed in (1, 2, 3)]
    bodies[1]["candidates"]["distance"] = [1e6, -1e6]  # beyond what training saw
    for number, body in enumerate(bodies):
        asked = parser.parse(json.dumps(body).encode())
        scored = served.engine.submit(asked.rows).result()
        accounts.add(Answered(served, asked, scored, {"parse": 1.0}, 10.0 + number))
    assert told.requests == []
    accounts.settle()
    version = served.manifest.version
    assert told.requests == [
        (version, 10.0 + number, {"parse": 1.0}, number + 1) for number in range(3)
    ]
    assert told.oddities == [(0, {"candidate.distance": 2})]
    assert served.drift._rows == 3
    accounts.settle()
    assert len(told.requests) == 3, "each is told once"
