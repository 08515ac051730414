"""What workers want and cannot have is said, on a real cluster of two CPUs."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from ray.util import placement_group, remove_placement_group
from rayrank.errors import TrainingError
from rayrank.train.config import TrainConfig
from rayrank.train.resources import beyond_reach, waited_for, wanted
from rayrank.train.run import train

from ..clusters import wait_until
from ..model.rows import SCHEMA, table
from .worlds import VALID, ranker_config

pytestmark = pytest.mark.usefixtures("ray_cluster")
TWO, THREE = TrainConfig(workers=2), TrainConfig(workers=3)
ON_GPUS = TrainConfig(workers=1, use_gpu=True)


def test_a_cluster_that_is_too_small_can_never_run_it() -> None:
    assert not beyond_reach(TrainConfig(workers=1))
    assert not beyond_reach(TWO)
    assert beyond_reach(THREE)
    assert beyond_reach(ON_GPUS)


def test_what_is_wanted_and_what_there_is() -> None:
    wait_until("nobody else is at work", lambda: ray.available_resources().get("CPU") == 2)
    assert wanted(THREE) == "3 workers want 3 CPUs, the cluster has 2, 2 of them free"
    assert wanted(ON_GPUS) == "1 workers want 1 GPUs, the cluster has 0, 0 of them free"


@pytest.fixture
def asked_for() -> Iterator[None]:
    """Places for three workers, as Ray Train asks for them: there are never so many."""
    places = placement_group([{"CPU": 1}] * 3, strategy="PACK")
    yield
    remove_placement_group(places)


def test_nothing_is_waited_for_before_ray_was_asked() -> None:
    assert waited_for(THREE) is None


def test_what_is_waited_for_is_told(asked_for: None) -> None:
    wait_until("Ray knows of it", lambda: waited_for(THREE) is not None, seconds=30)
    assert waited_for(THREE) == wanted(THREE)


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three places are asked for twice, and said to be missing."""
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "2")
    day = tmp_path / "rows" / "train" / "2022-04-16"
    day.mkdir(parents=True)
    pq.write_table(table(VALID), day / "part.parquet")
    config = ranker_config(workers=3, waits_s=4.0)
    with pytest.raises(TrainingError, match=r"in 4 s .*3 workers want 3 CPUs, the cluster has 2"):
        train(SCHEMA, config, tmp_path / "rows", tmp_path / "run", name="waits", say=print)


def test_nothing_is_waited_for_once_there_is_place() -> None:
    places = placement_group([{"CPU": 0.1}] * 2, strategy="PACK")
    try:
        assert places.wait(30)
        assert waited_for(TWO) is None
    finally:
        remove_placement_group(places)
