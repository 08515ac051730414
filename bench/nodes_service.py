"""The Service in front of the pods, and a load on it: what of the requests was lost."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import httpx
from rayrank.strict import Strict

from bench.nodes_machines import Machine

PORT = 8000
PROBE_S = 5.0
"""KubeRay's readiness probe: so often, and one failure is enough."""
LAG_S = 2.0
"""What routers take to hear of an endpoint that is gone."""
CLIENTS, PAUSE_S, TIMEOUT_S = 8, 0.35, 9.0


class Lost(Strict):
    """What came of the requests while something was done."""

    requests: int
    lost: int
    """Whatever is not 200: another status, a connection that broke, no answer."""
    how: dict[str, int]
    longest_gap_s: float
    """Between two answers of 200."""
    seconds: float


class Service:
    """Sends each connection to a pod that is ready, as kube-proxy does."""

    def __init__(self) -> None:
        self._pods: dict[Machine, bool] = {}
        self._over = threading.Event()
        self._probe = threading.Thread(target=self._probe_all, daemon=True)
        self._probe.start()

    def add(self, *pods: Machine) -> None:
        """Those that a selector finds: ready once they answer their probe."""
        self._pods |= dict.fromkeys(pods, False)

    def remove(self, *pods: Machine) -> None:
        """Of pods that are marked for deletion: routers hear of it a little later."""
        threading.Timer(LAG_S, lambda: [self._pods.pop(pod, None) for pod in pods]).start()

    def ready(self) -> list[Machine]:
        """Those that are sent to now."""
        return [pod for pod, ready in list(self._pods.items()) if ready]

    def end(self) -> None:
        """No more probes."""
        self._over.set()
        self._probe.join()

    def _probe_all(self) -> None:
        while not self._over.wait(PROBE_S / 5):
            for pod in list(self._pods):
                try:
                    asked = httpx.get(f"http://{pod.address}:{PORT}/-/healthz", timeout=PROBE_S)
                    ready = asked.status_code == 200
                except httpx.HTTPError:
                    ready = False
                if pod in self._pods:
                    self._pods[pod] = ready


class Load:
    """Clients, half of which keep their connection; each asks some three times a second."""

    def __init__(self, service: Service, bodies: Sequence[bytes], key: str) -> None:
        self._service, self._bodies = service, bodies
        self._headers = {"Authorization": f"Bearer {key}"}
        self._over = threading.Event()
        self._told: list[tuple[float, str]] = []
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    def end(self) -> Lost:
        """Once what is under way has ended."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        how = Counter(kind for _, kind in self._told)
        good = sorted(at for at, kind in self._told if kind == "200")
        ends = [self._begun, *good, time.monotonic()]
        return Lost(
            requests=len(self._told),
            lost=len(self._told) - how["200"],
            how=dict(how),
            longest_gap_s=max(b - a for a, b in pairwise(ends)),
            seconds=time.monotonic() - self._begun,
        )

    def _ask(self, number: int) -> None:
        draw = random.Random(number)
        client, pod = httpx.Client(timeout=TIMEOUT_S), None
        while not self._over.is_set():
            ready = self._service.ready()
            if pod not in ready or number % 2:  # a new connection
                client.close()
                client, pod = httpx.Client(timeout=TIMEOUT_S), draw.choice(ready or [None])
            if pod is None:
                kind = "no pod is ready"
            else:
                kind = self._answer(client, pod, draw.choice(self._bodies))
            self._told.append((time.monotonic(), kind))
            self._over.wait(PAUSE_S * draw.uniform(0.5, 1.5))

    def _answer(self, client: httpx.Client, pod: Machine, body: bytes) -> str:
        try:
            url = f"http://{pod.address}:{PORT}/v1/rank"
            return str(client.post(url, content=body, headers=self._headers).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__


@contextmanager
def service() -> Iterator[Service]:
    """Ended on leaving."""
    made = Service()
    try:
        yield made
    finally:
        made.end()
