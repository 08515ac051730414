"""A deployed application with a bundle of random weights, and a client that keeps account."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import ray
from prometheus_client.parser import text_string_to_metric_families
from rayrank.serve.limits import Limits

from ..clusters import API_KEY
from ..model.rows import SCHEMA, behaviour, candidate, features

LIMITS = Limits(body_bytes=40_000, candidates=6, behaviours=8, batch_tokens=512)
NOW = 1_600_084_800_000  # noon in UTC
Request = dict[str, Any]
Samples = dict[str, dict[str, float]]


def columns(elements: list[dict[str, Any]], token: Any) -> dict[str, Any]:
    names = SCHEMA.features_of(token)
    return {name: [element[name] for element in elements] for name in names}


def request(seed: int, shown: int = 6, past: int = 2) -> Request:
    """A user of some behaviours and candidates; the candidates' times are in no order."""
    behaviours = [behaviour(0, 50 * seed + i) for i in range(past)]
    candidates = [candidate(0, 50 * seed + 20 + i) for i in range(shown)]
    minutes = np.random.default_rng(seed).permutation(shown).tolist()
    return {
        "user": f"user {seed}",
        "time_ms": NOW,
        "profile": features(SCHEMA, "profile", seed),
        "sequences": {
            "views": {
                "time_ms": [NOW - 60_000 * (10 + past - i) for i in range(past)],
                **columns(behaviours, "views"),
            }
        },
        "candidates": {
            "item": [element["item_id"] for element in candidates],
            "time_ms": [NOW - 60_000 * m for m in minutes],
            **columns(candidates, "candidate"),
        },
    }


def alone(asked: Request, place: int) -> Request:
    """The same request with one of its candidates."""
    shown = {name: [values[place]] for name, values in asked["candidates"].items()}
    return asked | {"candidates": shown}


@dataclass
class Client:
    """Asks, and keeps account of what the application must have counted."""

    http: httpx.Client
    before: Samples
    """What the applications of earlier tests have counted on this cluster."""
    statuses: Counter[str] = field(default_factory=Counter)
    candidates: int = 0
    ranked: int = 0
    """Requests that were answered with scores."""
    slowest_s: float = 0.0
    """Of all answers, as seen from here."""

    def post(
        self, content: str | bytes, key: str = f"Bearer {API_KEY}", **headers: str
    ) -> httpx.Response:
        start = time.perf_counter()
        headers |= {"Authorization": key}
        answer = self.http.post("/v1/rank", content=content, headers=headers)
        self.slowest_s = max(self.slowest_s, time.perf_counter() - start)
        self.statuses[str(answer.status_code)] += 1
        self.ranked += answer.status_code == 200
        return answer

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        answer = self.http.get(path, headers=headers)
        self.statuses[str(answer.status_code)] += 1
        return answer

    def rank(self, asked: Request) -> np.ndarray:
        """scores_CK of a sound request."""
        answer = self.post(json.dumps(asked))
        assert answer.status_code == 200, answer.text
        content, items = answer.json(), asked["candidates"]["item"]
        assert content["items"] == items
        self.candidates += len(items)
        return np.array([content["scores"][task] for task in SCHEMA.tasks]).T


def scrape(before: Samples) -> Samples:
    """Counters by status, histograms by bucket, added up over processes, as Prometheus sees them,
    less what was counted before.

    Ray estimates a histogram's sum from its buckets: only they are exact.
    """
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    found: Samples = {}
    for family in text_string_to_metric_families(httpx.get(address).text):
        for sample in family.samples:
            label = sample.labels.get("status") or sample.labels.get("le") or ""
            values = found.setdefault(sample.name, {})
            already = 0.0 if label in values else before.get(sample.name, {}).get(label, 0.0)
            values[label] = values.get(label, -already) + sample.value
    return found
