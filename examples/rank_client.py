"""A client of the endpoint: typed, with a deadline, and patient where patience helps.

    RAYRANK_API_KEY=… python examples/rank_client.py http://127.0.0.1:8000 runs/demo/request.json

`/openapi.json` has the API for other languages. What to do on each status stands in `rank`.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

AGAIN = {408, 429, 502, 503, 504}
"""Statuses after which the same request may succeed; any other 4xx will be refused again."""


class Refused(Exception):
    """The request is at fault, or the endpoint could not answer it in time."""

    def __init__(self, answer: httpx.Response) -> None:
        try:
            told = answer.json()["error"]
        except (ValueError, KeyError, TypeError):  # of a proxy in between
            told = {"field": "(proxy)", "message": answer.text[:200]}
        super().__init__(f"{answer.status_code} {told['field']}: {told['message']}")
        self.status: int = answer.status_code
        self.field: str = told["field"]
        self.request_id: str = answer.headers.get("X-Request-ID", "")


@dataclass(frozen=True)
class Ranked:
    """What was scored by which version."""

    version: str
    items: list[int | str]
    scores: dict[str, list[float]]
    """Task -> of each item."""


class RankClient:
    """Connections are kept: use one for many requests, from as many threads as you like."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"})

    def rank(self, request: dict[str, Any], within_s: float = 1.0) -> Ranked:
        """Scores of a request, all tries together within so many seconds. Raises Refused."""
        body, deadline = json.dumps(request), time.monotonic() + within_s
        while True:
            left = max(deadline - time.monotonic(), 0.001)
            try:
                answer = self._http.post(
                    "/v1/rank",
                    content=body,
                    headers={"X-Timeout-Ms": str(max(1, int(1000 * left)))},
                    timeout=left,
                )
            except httpx.TransportError:  # a replica that went, or nobody there in time
                if time.monotonic() + 0.05 > deadline:
                    raise
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                told = answer.json()
                return Ranked(told["model"]["version"], told["items"], told["scores"])
            pause = float(answer.headers.get("Retry-After", 0.05))
            if answer.status_code not in AGAIN or time.monotonic() + pause > deadline:
                raise Refused(answer)
            time.sleep(pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.close()


def main(url: str, request: Path) -> None:
    with RankClient(url, os.environ["RAYRANK_API_KEY"]) as client:
        ranked = client.rank(json.loads(request.read_text()))
    best = {task: ranked.items[scores.index(max(scores))] for task, scores in ranked.scores.items()}
    print(f"version {ranked.version} scored {len(ranked.items)} items; best by task: {best}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
