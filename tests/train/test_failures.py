"""A lost worker is replaced; a fault that would come again ends the training, and is told."""

import pickle

import pytest
import torch.distributed as dist
from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.train import (
    ControllerError,
    PreemptionError,
    PreemptionInfo,
    TrainingFailedError,
    WorkerGroupError,
)
from rayrank.errors import CapacityError, DivergedError, RayrankError, TrainingError
from rayrank.train.failures import Failure, failure_of
from rayrank.train.preemption import PreemptedError, in_words

PEER_GONE = RuntimeError(
    "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer "
    "[127.0.0.1]:1234"
)
WAYS_TO_SAY_IT: list[Exception] = [
    PEER_GONE,
    RuntimeError("Connection closed by peer [127.0.0.1]:1234"),
    RuntimeError("[enforce fail at pair.cc:446] Read error [10.0.0.7]:31337: Connection reset"),
    RuntimeError("NCCL communicator was aborted on rank 1"),
    RuntimeError("Timed out waiting 1800000ms for recv operation to complete"),
    RuntimeError("writev [127.0.0.1]:5000: Broken pipe"),
    dist.DistNetworkError("The client socket has failed to connect to [head]:43210"),
    dist.DistStoreError("wait timeout after 300000ms, keys: /default_pg/0//worker_count"),
]


def failed(**failures: Exception) -> WorkerGroupError:
    """What Ray Train raises when workers failed."""
    by_rank = {int(rank[1:]): error for rank, error in failures.items()}
    error = WorkerGroupError("what Ray says of all of them", by_rank)
    told = sent(error)
    assert isinstance(told, WorkerGroupError)
    return told


def sent(error: TrainingFailedError) -> TrainingFailedError:
    """As it comes here from Ray's controller."""
    told: TrainingFailedError = pickle.loads(pickle.dumps(error))
    return told


def test_a_worker_that_died_is_lost() -> None:
    for gone in (ActorDiedError(), OutOfMemoryError("the node is out of memory")):
        assert failure_of(failed(r1=gone)) == Failure(True, "lost the worker of rank 1")


@pytest.mark.parametrize("said", WAYS_TO_SAY_IT, ids=lambda error: str(error)[:40])
def test_who_only_says_that_a_peer_has_gone_is_not_at_fault(said: Exception) -> None:
    lost = failure_of(failed(r0=said, r1=ActorDiedError()))
    assert lost == Failure(True, "lost the worker of rank 1")
    # Nobody else was heard of: those that were are named.
    assert failure_of(failed(r0=said, r2=said)) == Failure(True, "lost the worker of rank 0, 2")


@pytest.mark.parametrize(
    "fault",
    [
        AttributeError("'NoneType' object has no attribute 'keys'"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
        FloatingPointError("loss is NaN"),
        ConnectionError("connection refused"),  # of the user's own code: no RuntimeError
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_the_code_is_no_loss(fault: Exception) -> None:
    """Whichever rank has it, and whatever the others say."""
    for failures in ({"r0": fault}, {"r0": PEER_GONE, "r1": fault, "r2": ActorDiedError()}):
        lost, reason, *_ = failure_of(failed(**failures))
        assert not lost
        rank = len(failures) // 2
        assert reason.startswith(f"rank {rank}: {type(fault).__name__}: {fault}\n")
        assert "what Ray says of all of them" in reason


@pytest.mark.parametrize("kind", [CapacityError, TrainingError, DivergedError, RayrankError])
def test_a_fault_of_the_users_is_told_in_its_own_words(kind: type[RayrankError]) -> None:
    fault = kind("table 'item' has met 9 ids on one worker and holds 8 there")
    for failures in ({"r1": fault}, {"r0": PEER_GONE, "r1": fault}):
        assert failure_of(failed(**failures)) == Failure(False, str(fault), kind is DivergedError)


def test_a_fault_of_rays_controller_is_no_loss() -> None:
    lost, reason, *_ = failure_of(ControllerError(ValueError("the storage path cannot be written")))
    assert not lost
    assert "the storage path cannot be written" in reason


def test_a_node_that_was_told_to_go_is_no_failure() -> None:
    """Its run stopped in time, or at the node's end, by Ray's hand. What the others say of its
    workers then does not matter."""
    stopped = PreemptedError("the node of rank 1 is told to go: stopped at step 7")
    for failures in ({"r0": stopped, "r1": stopped}, {"r0": ActorDiedError(), "r1": stopped}):
        assert failure_of(failed(**failures)) == Failure(True, str(stopped), preempted=True)
    failure = failure_of(failed(r0=stopped, r1=ValueError("a shape")))
    assert not failure.lost
    assert not failure.preempted
    late = sent(PreemptionError(PreemptionInfo(None, {"a": [1]}), drain_timed_out=True))
    reason = "the node of rank 1 is told to go, and did before a checkpoint was complete"
    assert failure_of(late) == Failure(True, reason, preempted=True)


def test_nodes_that_are_told_to_go_are_told_by_their_ranks() -> None:
    soon_ms = 1_700_000_000_999
    assert in_words(PreemptionInfo(soon_ms, {"a": [2, 3]})) == (
        "the node of rank 2, 3 is told to go by 22:13:20 UTC"
    )
    assert in_words(PreemptionInfo(None, {"b": [2, 3], "a": [0]})) == (
        "the nodes of rank 0, 2, 3 are told to go"
    )
