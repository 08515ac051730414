"""Which failures are worth another attempt: lost workers are, and nodes that were told to go; a
fault that would come again is not."""

import re
from typing import NamedTuple

import torch.distributed as dist
from ray.train import ControllerError, PreemptionError, TrainingFailedError, WorkerGroupError

from rayrank.errors import DivergedError, RayrankError
from rayrank.train.preemption import TOO_SOON, PreemptedError, in_words

# How Gloo and NCCL tell a worker that another one is gone: plain RuntimeErrors, mostly.
PEER_GONE = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|socket|gloo|nccl|timed out",
    re.IGNORECASE,
)


class Failure(NamedTuple):
    """Why an attempt ended."""

    lost: bool
    """Workers were lost, and nothing else went wrong."""
    reason: str
    diverged: bool = False
    """Numbers were not finite any more."""
    preempted: bool = False
    """A node of theirs was told to go: nothing failed, and none of the losses that are counted."""


def failure_of(error: TrainingFailedError) -> Failure:
    """What a failed attempt died of: the fault of a worker's own, where there is one, since what
    the others say then is only that it has gone; a node that was told to go, where there is none.
    """
    if isinstance(error, PreemptionError):
        # Ray stops the workers at the node's deadline.
        return Failure(True, f"{in_words(error.preemption_info)}, {TOO_SOON}", preempted=True)
    if not isinstance(error, WorkerGroupError):
        return Failure(False, str(error))
    failures = error.worker_failures
    told = [e for e in failures.values() if isinstance(e, PreemptedError)]
    faults = {rank: e for rank, e in failures.items() if e not in told and not lost_by(e)}
    if told and not faults:
        return Failure(True, str(told[0]), preempted=True)
    if not faults:
        # The others only say that their peer has gone, unless nobody else was heard of.
        gone = [rank for rank, e in failures.items() if _of_ray(e)] or list(failures)
        return Failure(True, f"lost the worker of rank {', '.join(map(str, gone))}")
    rank, fault = next(iter(faults.items()))
    if isinstance(fault, RayrankError):
        return Failure(False, str(fault), isinstance(fault, DivergedError))
    return Failure(False, f"rank {rank}: {type(fault).__name__}: {fault}\n{error}")


def waited_in_vain(error: TrainingFailedError) -> bool:
    """Whether it ended because there was no place for its workers."""
    if not isinstance(error, ControllerError):
        return False
    # Ray Train does not export its class.
    return type(error.controller_failure).__name__ == "WorkerGroupStartupTimeoutError"


def _of_ray(error: BaseException) -> bool:
    # An actor that died, a health check or a barrier that failed for it.
    return type(error).__module__.split(".")[0] == "ray"


def lost_by(error: BaseException) -> bool:
    """Whether this is what a worker dies of, or one that has lost another."""
    if _of_ray(error) or isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and PEER_GONE.search(str(error)) is not None
