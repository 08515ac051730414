"""A run whose node is told to go stops with a checkpoint, and goes on from it, bit for bit."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from ray._private.node import Node
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is compiled
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import TrainingError
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import CHECKPOINTS, JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.resources import waited_for
from rayrank.train.run import train
from rayrank.train.worker import WORKERS

from ..clusters import QUICK_TRAIN, wait_until
from ..model.rows import SCHEMA, table
from .test_resume import assert_same_state
from .worlds import VALID, ranker_config, user

GRACE_S = 300


class Said(list[str]):
    """What a run says, but of its rows: each is a batch of its own here."""

    def append(self, line: str) -> None:
        if "cost more than train.max_cost" not in line:
            super().append(line)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray of its own, for its nodes come and go: what else ran there would go with them. The
    head has place for one worker."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in QUICK_TRAIN.items():
            environment.setenv(name, value)
        environment.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "0.1")
        # Ray Train asks the dashboard's server how its actors are. The usual ports belong to
        # whatever other Ray runs on this machine.
        ports = {"dashboard_port": None, "dashboard_agent_listen_port": None}
        head = {"num_cpus": 1, "include_dashboard": False, **ports}
        started = Cluster(initialize_head=True, head_node_args=head)
        ray.init(address=started.address, log_to_driver=False)
        try:
            yield started
        finally:
            ray.shutdown()
            started.shutdown()


@pytest.fixture
def goes(cluster: Cluster) -> Iterator[Node]:
    """A node for the other worker."""
    yield cluster.add_node(num_cpus=1)
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    for split, users in (("train", [user(40 + n, 1 + n % 5) for n in range(64)]), ("valid", VALID)):
        day = tmp_path / "rows" / split / "2022-04-16"
        day.mkdir(parents=True)
        pq.write_table(table(users), day / "part.parquet")
    (tmp_path / "rows" / STATS).write_text(json.dumps(RowStats().to_json()))
    return tmp_path / "rows"


def drain(cluster: Cluster, node_id: str) -> None:
    """Tell a node to go, as `ray drain-node` does, and a cloud's autoscaler."""
    preempted = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int(1000 * (time.time() + GRACE_S))
    gcs = GcsClient(address=cluster.address)
    assert gcs.drain_node(node_id, preempted, "taken back", deadline_ms) == (True, "")


def test_a_node_that_is_told_to_go(
    cluster: Cluster, goes: Node, rows: Path, tmp_path: Path
) -> None:
    """No step is taken twice, and it is no loss: none is allowed here. By itself this run saves
    nothing before its end."""
    config = ranker_config(
        dropout=0.2,
        epochs=4,
        max_cost=1,
        checkpoint_every=10_000,
        max_failures=0,
        waits_s=60.0,
    )
    said = Said()

    def trained(folder: Path) -> Path:
        last = train(SCHEMA, config, rows, folder, name=folder.name, say=said.append)
        return Path(str(last))

    disturbed, whole = tmp_path / "goes", tmp_path / "whole"
    with ThreadPoolExecutor(1) as pool:
        ends = pool.submit(trained, disturbed)

        def tells(what: str, happened: Callable[[], bool]) -> None:
            wait_until(what, lambda: ends.done() or happened(), seconds=120)
            assert not ends.done(), ends.exception() or "it came too late to matter"

        tells("a step", lambda: read_story(disturbed / JOURNAL).steps != [])
        drain(cluster, goes.node_id)
        tells("it has stopped", lambda: said != [])

        # The node need not have gone: its time is not over by far.
        (saved,) = ckpt.complete(disturbed / CHECKPOINTS)
        ckpt.verify(saved)
        step = ckpt.read_state(saved).position.step
        story = read_story(disturbed / JOURNAL)
        assert [line.step for line in story.steps] == list(range(1, step + 1))
        (note,) = story.notes
        assert note.step == step
        told = re.fullmatch(
            r"(the node of rank [01] is told to go by \d\d:\d\d:\d\d UTC): "
            rf"stopping at step {step} with a checkpoint",
            note.text,
        )
        assert told, note.text

        # Nor is it asked again: one place is not enough, and a new node has the other.
        tells("what it waits for", lambda: waited_for(config.train) is not None)
        cluster.remove_node(goes)
        cluster.add_node(num_cpus=1)
        resumed = ends.result(timeout=120)
    assert said == [
        f"{told[1]}: stopped at step {step}: going on from its checkpoint (not counted as a loss)"
    ]

    undisturbed = trained(whole)
    assert len(said) == 1
    story, expected = read_story(disturbed / JOURNAL), read_story(whole / JOURNAL)
    assert [line.text for line in story.notes] == [
        note.text,
        f"attempt 2 goes on from step-{step:08d}.000001",
    ]
    assert [line.attempt for line in story.steps].count(1) == step < len(story.steps)
    assert [line.step for line in story.steps] == [line.step for line in expected.steps]
    assert [line.loss for line in story.steps] == [line.loss for line in expected.steps]
    assert story.epochs == expected.epochs
    assert_same_state(resumed, undisturbed)


def test_a_node_that_goes_before_a_checkpoint(
    cluster: Cluster, goes: Node, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker stands still while the other one is told; then it is killed with its node. That
    is no loss either; but this run has no other place, and does not wait for one."""
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "5")
    config = ranker_config(epochs=6, max_cost=1, max_failures=0, waits_s=5.0)
    said = Said()
    folder = tmp_path / "goes"
    (raylet,) = goes.all_processes["raylet"]

    def workers() -> list[int]:
        """Of the node that goes."""
        told = [json.loads(path.read_text()) for path in (folder / WORKERS).glob("*.json")]
        status = {of["pid"]: Path(f"/proc/{of['pid']}/status").read_text() for of in told}
        return [pid for pid, of in status.items() if f"\nPPid:\t{raylet.process.pid}\n" in of]

    def are_told() -> int:
        logs = Path(cluster.head_node.get_session_dir_path(), "logs", "train").glob("*sys-worker*")
        return sum("received preemption signal" in log.read_text() for log in logs)

    with ThreadPoolExecutor(1) as pool:
        ends = pool.submit(train, SCHEMA, config, rows, folder, name="goes", say=said.append)
        wait_until("a step", lambda: read_story(folder / JOURNAL).steps != [], seconds=120)
        (worker,) = workers()
        os.kill(worker, signal.SIGSTOP)
        before = are_told()
        drain(cluster, goes.node_id)
        wait_until("the other worker is told", lambda: are_told() > before, seconds=60)
        cluster.remove_node(goes, allow_graceful=False)
        with pytest.raises(TrainingError, match="no place for its workers in 5 s"):
            ends.result(timeout=120)
    (line,) = said
    assert re.fullmatch(
        r"the node of rank [01] is told to go by .* UTC, and did before a checkpoint was complete: "
        r"going on from its checkpoint \(not counted as a loss\)",
        line,
    )
