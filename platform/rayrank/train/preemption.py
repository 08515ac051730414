"""A node that is told to go (a spot instance that is taken back, `ray drain-node`) goes after a
checkpoint: the run stops at the step it has come to, while all its workers are there to save it.

Ray Train asks for such nodes every few seconds (RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S, 5 unless set)
and tells all workers of a run, each at its own moment. That every one knows, they learn from the
totals of a step, and so stop at the same.
"""

from datetime import UTC, datetime

from ray.train import PreemptionInfo
from ray.train.v2._internal.execution.context import get_train_context

from rayrank.errors import RayrankError

TOO_SOON = "and did before a checkpoint was complete"


class PreemptedError(RayrankError):
    """An attempt that ended because a worker's node will go, or went when it was told to."""


def told_to_go() -> PreemptionInfo | None:
    """Which nodes of this run are, as far as this worker was told; None where none is.

    A variable is read. Ray's public `ray.train.get_preemption_info` makes all workers meet at an
    actor each time, milliseconds of every step (measured: 3 to 5, against 1 us)."""
    try:
        context = get_train_context()
    except RuntimeError:  # in local mode (`train_here`) there is none, and nobody tells
        return None
    info: PreemptionInfo | None = context.preemption_context.preemption_info
    return info


def in_words(info: PreemptionInfo) -> str:
    """Whose nodes are told to go, and by when, where that is known."""
    ranks = ", ".join(map(str, info.preempted_ranks))
    one = len(info.preempted_node_ids) == 1
    told = f"the {'node' if one else 'nodes'} of rank {ranks} {'is' if one else 'are'} told to go"
    if info.deadline_ms is None:
        return told
    return f"{told} by {datetime.fromtimestamp(info.deadline_ms / 1000, UTC):%H:%M:%S} UTC"
