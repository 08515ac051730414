"""The endpoint against the trainer: replay logged requests over HTTP and compare scores."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from pydantic import ConfigDict

from rayrank.errors import CheckError
from rayrank.schema import Schema
from rayrank.serve.comparable import comparable
from rayrank.serve.replay import Request
from rayrank.strict import Strict
from rayrank.watch import Watch

MOST_DIFFERENT = 0.006
"""Between a served score, in half precision, and the trainer's in float32: what Meituan reports of
MTGR. Of a task that is a number, between their log(1 + x)."""


class Checked(Strict):
    """What a replay found."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a score that is no number is found

    version: str
    """Of the bundle that was served."""
    requests: int
    candidates: int
    max_abs_diff: float
    bound: float
    latencies_ms: list[float]
    """As the client saw them."""

    def latency_ms(self, quantile: float) -> float:
        """A quantile of the latencies."""
        return float(np.quantile(self.latencies_ms, quantile))

    def demand(self) -> None:
        """Raises CheckError unless the scores agreed."""
        if not self.max_abs_diff <= self.bound:  # NaN is no agreement
            raise CheckError(
                f"{self.version}: a served score differs from the trainer's by "
                f"{self.max_abs_diff:.2e}, more than {self.bound:.0e}"
            )


def check(
    url: str,
    key: str,
    requests: list[Request],
    trained: pa.Table,
    schema: Schema,
    version: str,
    watch: Watch,
    concurrency: int = 2,
) -> Checked:
    """Send every request and compare each score with the trainer's.

    trained: `evaluate.predict.predict`'s table. Raises CheckError for an answer other than 200 or
    of another version of the bundle, and for a candidate that the trainer never scored.
    """
    expected = _by_candidate(trained, schema)
    answers: list[dict[str, Any]] = []
    latencies: list[float] = []
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30
    ) as client:

        def send(request: Request) -> dict[str, Any]:
            body = json.dumps(request, default=float)
            start = time.perf_counter()
            answer = client.post("/v1/rank", content=body)
            latencies.append(1000 * (time.perf_counter() - start))
            if answer.status_code != 200:
                raise CheckError(
                    f"{url}: user {request['user']!r}: {answer.status_code} {answer.text}"
                )
            content: dict[str, Any] = answer.json()
            if content["model"]["version"] != version:
                raise CheckError(f"{url}: serves {content['model']}, expected version {version}")
            return content

        with ThreadPoolExecutor(concurrency) as pool:
            for answer in pool.map(send, requests):
                answers.append(answer)
                watch(len(answers), len(requests))

    largest, candidates = 0.0, 0
    for request, answer in zip(requests, answers, strict=True):
        shown = request["candidates"]
        for i, (item, at) in enumerate(zip(shown["item"], shown["time_ms"], strict=True)):
            key_of = (request["user"], item, at)
            if key_of not in expected:
                raise CheckError(f"the trainer has no score of (user, item, time) {key_of}")
            answered = [answer["scores"][task][i] for task in schema.tasks]
            scores = np.array(comparable(answered, schema))
            # One item shown twice at one moment has two rows: the nearer one is meant.
            nearest = min(float(np.abs(scores - other).max()) for other in expected[key_of])
            # Unlike max, numpy's maximum keeps a NaN: a score that is no number is near to none.
            largest, candidates = float(np.maximum(largest, nearest)), candidates + 1
    return Checked(
        version=version,
        requests=len(requests),
        candidates=candidates,
        max_abs_diff=largest,
        bound=MOST_DIFFERENT,
        latencies_ms=latencies,
    )


def _by_candidate(
    trained: pa.Table, schema: Schema
) -> dict[tuple[Any, Any, int], list[np.ndarray]]:
    keys = zip(
        trained["user"].to_pylist(),
        trained["item"].to_pylist(),
        trained["time"].to_pylist(),
        strict=True,
    )
    columns = [trained[f"p.{task}"].to_numpy() for task in schema.tasks]
    scores = np.column_stack(comparable(columns, schema))
    found: dict[tuple[Any, Any, int], list[np.ndarray]] = {}
    for key, score in zip(keys, scores, strict=True):
        found.setdefault(key, []).append(score)
    return found
