"""Where a step's time goes, by the host's clock."""

import time

import pytest
import torch
from rayrank.train.phases import Phases


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the host's clock shows next."""
    moments: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: moments.pop(0))
    return moments


def phases() -> Phases:
    return Phases(torch.device("cpu"))


def test_one_ends_where_the_next_begins(clock: list[float]) -> None:
    clock += [0, 1, 3, 3.5, 10, 12, 20]
    taken = phases()
    taken.begin("waiting")
    taken.begin("forward")
    taken.begin("saving")
    taken.begin("forward")
    assert taken.take() == {"waiting": 1, "forward": 2 + 6.5, "saving": 0.5}
    taken.begin("update")
    assert taken.take() == {"forward": 2, "update": 8}  # what went on belongs to the next


def test_nothing_is_counted_before_the_first_nor_after_a_drop(clock: list[float]) -> None:
    clock += [5, 9, 100, 101]
    taken = phases()
    assert taken.take() == {}
    taken.begin("waiting")
    taken.begin("forward")
    taken.drop()
    assert taken.take() == {}
    taken.begin("waiting")
    assert taken.take() == {"waiting": 1}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_they_are_of_the_device_and_told_a_step_later() -> None:
    device = torch.device("cuda")
    taken = Phases(device)
    x = torch.randn(4096, 4096, device=device)
    for expected in (set(), {"waiting", "forward"}):
        taken.begin("waiting")
        taken.begin("forward")
        for _ in range(50):
            x = (x @ x).clamp(-1, 1)
        found = taken.take()
        assert found.keys() == expected
    assert found["forward"] > found["waiting"] >= 0
