"""What is done to the machines of the ranking service while requests come, and what is lost.

    make chaos-nodes

The RayService of k8s/base, each of its pods a network namespace of this machine with an address of
its own: the same Serve configuration, HAProxy, token, Redis and preStop. In front a Service as
Kubernetes has it: connections go to pods that are ready, and routers hear two seconds late of one
that is gone. Needs root (for the namespaces) and Debian's redis-server. Counts are in
runs/chaos/nodes.json.

    redeploy   other arguments: new replicas take the place of the old ones (surge)
    drain      a pod is deleted: its preStop has a replica started elsewhere first
    unprepared a pod is deleted, and its preStop only waits, as it did before
    upgrade    a second cluster is built beside the first, which then is deleted (NewCluster)
    head       the head is killed, and started again
    machine    a worker's machine fails
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from benchmarks import cpu_measure
from rayrank.storage import write_whole

from bench.chaos_bundles import small_bodies
from bench.nodes_cluster import ROOT, Cluster, manifest, until
from bench.nodes_machines import HOST, Machine, Machines, machines
from bench.nodes_service import Load, Lost, Service, service
from bench.serve_rows import random_bundles

BEFORE_S, AFTER_S = 5.0, 10.0
"""Of load before anything is done, and after."""
WAITS_S = 20.0
"""Of the preStop that only waited."""
DELETION_DELAY_S = 20.0
"""How long the old cluster of an upgrade stays (the manifest says longer)."""


class Stage:
    """A cluster, what is served of it, and who is asked."""

    def __init__(self, made: Machines, folder: Path, redis: str, password: str) -> None:
        self.made, self._redis, self._password = made, redis, password
        self.bodies, self.key = small_bodies(), secrets.token_hex(16)
        (folder / "keys").write_text(self.key)
        random_bundles(folder / "ranking" / "bundles", "tiny", count=1)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RAY")},
            "PYTHONPATH": f"{ROOT}:{ROOT}/platform:{ROOT}/kernels",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "RAYRANK_RUNS": str(folder),
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
            "WORK": str(folder),
        }
        self.config: dict[str, Any] = yaml.safe_load(manifest()["serveConfigV2"])
        (application,) = self.config["applications"]
        self.args: dict[str, Any] = application["args"]
        self.args |= {"keys_file": str(folder / "keys"), "threads": 1, "cache_bytes": 1 << 25}

    def cluster(self) -> Cluster:
        """Built as the operator does it: two workers, and the application on them."""
        built = Cluster(self.made, self.environment, self._redis, self._password)
        for _ in range(2):
            built.add_worker()
        built.deploy(self.config)
        return built

    def ready(self, cluster: Cluster, front: Service) -> None:
        """Once both replicas run, and the Service sends to both."""
        until("two replicas run", lambda: len(cluster.replicas()) == 2)
        until("their pods are ready", lambda: len(front.ready()) >= 2)


Scenario = Callable[[Stage, Cluster, Service], Cluster]
"""Does something; the cluster that serves then."""


def redeploy(stage: Stage, cluster: Cluster, front: Service) -> Cluster:
    old = set(cluster.replicas())
    front.add(cluster.add_worker())  # as the autoscaler does, for the replica more
    stage.args["cache_bytes"] += 1
    cluster.deploy(stage.config)
    until("two other replicas run", lambda: len(set(cluster.replicas()) - old) == 2)
    until("the old ones are gone", lambda: len(cluster.replicas()) == 2)
    return cluster


def drain(stage: Stage, cluster: Cluster, front: Service) -> Cluster:
    goes = _of_a_replica(cluster)
    _add_if_needed(cluster, front)
    front.remove(goes)
    told = cluster.leave(goes)
    assert told.wait() == 0
    goes.stop()
    return cluster


def unprepared(stage: Stage, cluster: Cluster, front: Service) -> Cluster:
    goes = _of_a_replica(cluster)
    _add_if_needed(cluster, front)
    front.remove(goes)
    time.sleep(WAITS_S)
    goes.stop()
    return cluster


def upgrade(stage: Stage, cluster: Cluster, front: Service) -> Cluster:
    other = stage.cluster()
    until("the new cluster's replicas run", lambda: len(other.replicas()) == 2)
    old, new = list(cluster.workers), list(other.workers)
    front.add(*new)
    until("the new cluster's pods are ready", lambda: set(new) <= set(front.ready()))
    front.remove(*old)
    time.sleep(DELETION_DELAY_S)
    for told in [cluster.leave(pod) for pod in old if pod.processes()]:
        told.wait()
    cluster.stop()
    return other


def head(stage: Stage, cluster: Cluster, front: Service) -> Cluster:
    before = cluster.replicas()
    cluster.head.stop()
    time.sleep(WAITS_S)
    cluster.start_head()
    until("the same replicas run", lambda: cluster.replicas() == before)
    return cluster


def fail(stage: Stage, cluster: Cluster, front: Service) -> Cluster:
    goes = _of_a_replica(cluster)
    _add_if_needed(cluster, front)
    goes.stop()
    front.remove(goes)
    return cluster


def _of_a_replica(cluster: Cluster) -> Machine:
    address = sorted(cluster.replicas().values())[0]
    return next(machine for machine in cluster.workers if machine.address == address)


def _add_if_needed(cluster: Cluster, front: Service) -> None:
    """As the autoscaler does, where every worker that runs has a replica."""
    used = set(cluster.replicas().values())
    if all(m.address in used for m in cluster.workers if m.processes()):
        front.add(cluster.add_worker())


SCENARIOS: dict[str, Scenario] = {
    "redeploy": redeploy,
    "drain": drain,
    "unprepared": unprepared,
    "head": head,
    "upgrade": upgrade,
    "machine": fail,
}


@contextmanager
def redis(password: str, folder: Path) -> Iterator[str]:
    """Where it is; ended on leaving."""
    port = 16379
    server = subprocess.Popen(
        ["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder
    )
    told = f"bind {HOST}\nport {port}\nrequirepass {password}\nappendonly yes\ndir {folder}\n"
    assert server.stdin is not None
    server.stdin.write(told.encode())
    server.stdin.close()
    try:
        yield f"{HOST}:{port}"
    finally:
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS)
    parser.add_argument("--out", type=Path, default=Path("runs/chaos/nodes.json"))
    told = parser.parse_args()
    missing = [name for name in ("ip", "redis-server") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (apt-get install iproute2 redis-server)")
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    found: dict[str, Lost] = {}
    with tempfile.TemporaryDirectory(prefix="rr-") as name, machines(Path(name)) as made:
        folder, password = Path(name), secrets.token_hex(16)
        with redis(password, folder) as store, service() as front:
            stage = Stage(made, folder, store, password)
            cluster = stage.cluster()
            front.add(*cluster.workers)
            for scenario in told.only or SCENARIOS:
                stage.ready(cluster, front)
                load = Load(front, stage.bodies, stage.key)
                time.sleep(BEFORE_S)
                cluster = SCENARIOS[scenario](stage, cluster, front)
                stage.ready(cluster, front)
                time.sleep(AFTER_S)
                found[scenario] = load.end()
                print(f"{scenario:10} {found[scenario].model_dump()}", flush=True)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "scenarios": {name: lost.model_dump() for name, lost in found.items()},
        "machine": cpu_measure.machine(),
        "versions": cpu_measure.versions(),
    }
    write_whole(told.out, json.dumps(content, indent=1) + "\n")
    print(f"in {told.out}")


if __name__ == "__main__":
    main()
