"""The HTTP application: FastAPI in front of the engine, on Ray Serve.

POST /v1/rank      score a request's candidates
GET  /v1/models    what is being served, and what a request for it holds
GET  /openapi.json the same for programs: OpenAPI, of the bundle that is served
GET  /healthz      alive and loaded; needs no key
"""

import asyncio
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import numpy as np
import ray
import torch
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from ray import serve
from ray.util.metrics import Counter, Histogram
from starlette.exceptions import HTTPException

from rayrank.errors import DeadlineError
from rayrank.infer.bundle import bundle_folder, verify_bundle
from rayrank.infer.engine import CACHE_BYTES, Engine, tokens_of
from rayrank.infer.ranges import outside
from rayrank.infer.scorer import Precision
from rayrank.serve.answers import (
    TIMEOUT_HEADER,
    id_of,
    refuse,
    refuse_fault,
    refuse_route,
)
from rayrank.serve.contract import contract
from rayrank.serve.errors import RequestError
from rayrank.serve.keys import Keys, key_of_environment
from rayrank.serve.limits import Limits
from rayrank.serve.openapi import document
from rayrank.serve.served import Follower, Serving
from rayrank.storage import absolute, place
from rayrank.strict import Positive, Strict
from rayrank.versions import CURRENT

logger = logging.getLogger("ray.serve")

PARSERS = 2
MILLISECONDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
"""What latencies are counted by."""


class RankingArgs(Strict):
    """What the application is told (`args` in its YAML, or key=value to `serve run`)."""

    bundles: str
    """The folder of bundles, at a URI of any filesystem."""
    version: str = CURRENT
    """`current`, which is followed, or a version, which is kept."""
    follow_s: Annotated[float, Field(gt=0)] = 10.0
    """How often to look whether another version is current."""
    threads: Positive | None = None
    """CPU threads of the engine: as many as its replica has CPUs, unless said."""
    precision: Precision | None = None
    """What products are computed in: float16 on GPUs and float32 on CPUs unless said. bfloat16 is
    faster on CPUs that have it, and keeps 8 bits of float32's 24."""
    cache_bytes: Annotated[int, Field(ge=0)] = CACHE_BYTES
    """Memory for users' prefixes, which are then not encoded anew at each request; 0 keeps none."""
    keys_file: str | None = None
    """A file of the replica's with a key on each line, any of which clients may send. It is read
    again when it changes: keys are exchanged without a restart. The environment's
    `RAYRANK_API_KEY` unless said."""
    limits: Limits = Limits()


api = FastAPI(title="rayrank", docs_url=None, redoc_url=None, openapi_url=None)


api.exception_handler(RequestError)(refuse)
api.exception_handler(HTTPException)(refuse_route)
api.exception_handler(Exception)(refuse_fault)


def keys_of(args: RankingArgs, key: str | None) -> Keys:
    """The key that is given, else those of a file, else the environment's. Raises RayrankError."""
    if key is None and args.keys_file is not None:
        return Keys(file=args.keys_file)
    return Keys([key or key_of_environment()])


@serve.deployment(
    max_ongoing_requests=128,
    max_queued_requests=256,
    graceful_shutdown_timeout_s=30,
)
@serve.ingress(api)
class RankingApp:
    """One replica, and what it serves."""

    def __init__(self, args: dict[str, Any], key: str | None) -> None:
        told = RankingArgs.model_validate(args)
        self.keys, self.limits = keys_of(told, key), told.limits
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        torch.set_num_threads(told.threads or max(1, int(cpus)))
        switches = Counter("rayrank_switches_total", "To another version, by success", ("ok",))
        self.follower = Follower(
            place(told.bundles),
            told.version,
            Serving(self.limits, told.cache_bytes, told.precision),
            told.follow_s,
            switched=lambda ok: switches.inc(tags={"ok": str(ok).lower()}),
        )
        self.answers = Counter("rayrank_requests_total", "Answers by status", ("status",))
        self.latency = Histogram(
            "rayrank_request_ms",
            "From a request's body to its answer",
            boundaries=MILLISECONDS,
        )
        self.phases = Histogram(
            "rayrank_phase_ms", "Where that time went", boundaries=MILLISECONDS, tag_keys=("phase",)
        )
        # A body is parsed beside the event loop, which meanwhile takes the next requests.
        self.parsers = ThreadPoolExecutor(PARSERS, thread_name_prefix="parse")
        self.scored = Counter("rayrank_candidates_total", "Candidates scored")
        self.ahead = Counter(
            "rayrank_ahead_total", "Behaviours known after their request, which count as known then"
        )
        self.clamped = Counter(
            "rayrank_clamped_total", "Numbers taken for the edge of what training saw", ("feature",)
        )

    @api.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """Answers once the bundle is loaded. No key needed."""
        return {"status": "ok"}

    @api.get("/v1/models")
    async def models(self, request: Request) -> JSONResponse:
        """What is being served."""
        self._authorize(request)
        served = self.follower.now
        told = {
            **served.model,
            "tasks": list(served.schema.tasks),
            "trained_steps": served.manifest.trained_steps,
            "made_from": served.manifest.made_from,
            "metrics": served.manifest.metrics,
            "request": contract(served.schema, served.manifest),
            "limits": self.limits.model_dump(mode="json"),
        }
        return JSONResponse({"models": [told], "fault": self.follower.fault})

    @api.get("/openapi.json")
    async def openapi(self, request: Request) -> JSONResponse:
        """The API as a document."""
        self._authorize(request)
        served = self.follower.now
        return JSONResponse(document(served.schema, served.manifest, self.limits))

    @api.post("/v1/rank")
    async def rank(self, request: Request) -> JSONResponse:
        """P(task) of every candidate, in the order in which they came."""
        try:
            ranked = await self._rank(request)
        except RequestError as error:
            self.answers.inc(tags={"status": str(error.status)})
            raise
        except DeadlineError as error:
            self.answers.inc(tags={"status": "504"})
            raise RequestError(504, TIMEOUT_HEADER, str(error), 1.0) from None
        except Exception:
            self.answers.inc(tags={"status": "500"})
            logger.exception("request %s", id_of(request))
            raise
        self.answers.inc(tags={"status": "200"})
        return JSONResponse(ranked)

    async def _rank(self, request: Request) -> dict[str, Any]:
        self._authorize(request)
        timeout_s = self._timeout_s(request)
        deadline = time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                body = await self._body(request)
        except TimeoutError:
            raise RequestError(408, "(body)", "did not arrive before the deadline") from None
        received = time.monotonic()
        served = self.follower.now
        loop = asyncio.get_running_loop()
        asked = await loop.run_in_executor(self.parsers, served.parser.parse, body)
        parsed = time.monotonic()
        self._admit(served.engine, tokens_of(asked.row), deadline)
        scored = await asyncio.wrap_future(served.engine.submit(asked.row, deadline))
        self.latency.observe(1000 * (time.monotonic() - received))
        for phase, ms in {"parse": 1000 * (parsed - received), **scored.ms._asdict()}.items():
            self.phases.observe(ms, tags={"phase": phase})
        self.scored.inc(len(asked.items))
        if asked.ahead:
            self.ahead.inc(asked.ahead)
        for feature, count in outside(asked.row, served.schema, served.manifest.ranges).items():
            self.clamped.inc(count, tags={"feature": feature})
        (scores_CK,) = scored.scores
        in_order = np.empty_like(scores_CK)
        in_order[asked.order] = scores_CK
        return {
            "model": served.model,
            "items": asked.items,
            "scores": {t: in_order[:, k].tolist() for k, t in enumerate(served.schema.tasks)},
        }

    def _timeout_s(self, request: Request) -> float:
        """How long the client waits: what it says, within the limit."""
        sent = request.headers.get(TIMEOUT_HEADER)
        if sent is None:
            return self.limits.timeout_ms / 1000
        if not re.fullmatch(r"[0-9]{1,9}", sent) or int(sent) == 0:
            raise RequestError(422, TIMEOUT_HEADER, "expected whole milliseconds, from 1")
        return min(int(sent), self.limits.timeout_ms) / 1000

    def _admit(self, engine: Engine, tokens: int, deadline: float) -> None:
        """Refuse at once what would only be late: others can be answered meanwhile."""
        takes, left = engine.expected_s(tokens), deadline - time.monotonic()
        if takes > left:
            told = f"would take {takes:.2f} s with what waits, and {max(left, 0.0):.2f} s are left"
            raise RequestError(503, "(load)", told, takes - left)

    def _authorize(self, request: Request) -> None:
        if not self.keys.allow(request.headers.get("authorization", "")):
            raise RequestError(401, "Authorization", "expected 'Bearer' and an API key")

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.limits.body_bytes:
                raise RequestError(413, "(body)", f"is larger than {self.limits.body_bytes} bytes")
        return bytes(body)


def build_app(args: RankingArgs, key: str | None = None) -> serve.Application:
    """The application, after the checks that need no replica: the key, every byte of the bundle.

    key: what clients must send; what `keys_file` or each replica's environment holds, unless given.
    Raises RayrankError or BundleError at once, before a replica that works is stopped for it.
    """
    if key is None and args.keys_file is None:
        key_of_environment()
    bundles = absolute(place(args.bundles))
    verify_bundle(bundle_folder(bundles, args.version))
    told = args.model_copy(update={"bundles": str(bundles)})
    return RankingApp.bind(told.model_dump(mode="json"), key)  # type: ignore[attr-defined]
