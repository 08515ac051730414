"""What a serving node does before it goes: it tells Ray, and answers until others can.

    python -m rayrank.serve.leave --within-s 240

A pod that is deleted (a drained machine, a smaller cluster) would otherwise end with its replica,
and with the requests that are under way. Told first, Serve starts another replica elsewhere, sends
nothing to this one once that is ready, and lets it end what it has. What is run before a pod of the
RayService stops (`preStop`); it needs what Ray's own commands do (RAY_AUTH_MODE and a token)."""

import argparse
import time
from collections.abc import Callable

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated import autoscaler_pb2
from ray.util.state import list_actors

REPLICA = "ServeReplica:"
"""How the classes of Serve's replicas begin, as Ray lists actors."""
ROUTERS_S = 20.0
"""For so long after a pod is marked for deletion, routers may still send to it."""
EVERY_S = 1.0


def leave(node: str | None, within_s: float, say: Callable[[str], None]) -> int:
    """Have the replicas of a node (this one) started elsewhere; returns once none is left there.
    How many are left after `within_s`: they have found no other place."""
    begun = time.monotonic()
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    node = node or ray.get_runtime_context().get_node_id()
    replicas = _replicas(node)
    say(f"node {node} goes: {len(replicas)} replicas of it are to move within {within_s:g} s")
    accepted, why = GcsClient(address=ray.get_runtime_context().gcs_address).drain_node(
        node,
        autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION,
        "its pod is to stop",
        time.time_ns() // 1_000_000 + int(1000 * within_s),
    )
    if not accepted:
        say(f"Ray does not let it go: {why}")
    while replicas and accepted and time.monotonic() - begun < within_s:
        time.sleep(EVERY_S)
        replicas = _replicas(node)
    say(f"{len(replicas)} replicas left there after {time.monotonic() - begun:.0f} s")
    return len(replicas)


def _replicas(node: str) -> list[str]:
    here = [("node_id", "=", node), ("state", "=", "ALIVE")]
    return [
        actor.actor_id
        for actor in list_actors(filters=here)
        if actor.class_name.startswith(REPLICA)
    ]


def main() -> None:
    """Never fails: a pod whose hook failed is stopped at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--within-s", type=float, required=True, help="then it goes all the same")
    parser.add_argument("--node", help="Ray's id of another node than this")
    told = parser.parse_args()
    begun = time.monotonic()
    try:
        leave(told.node, told.within_s, lambda line: print(line, flush=True))
    except Exception as error:  # no head, most likely: nobody is there who could take over
        print(f"Ray could not be told: {type(error).__name__}: {error}", flush=True)
    if told.node is None:
        time.sleep(max(0.0, begun + ROUTERS_S - time.monotonic()))


if __name__ == "__main__":
    main()
