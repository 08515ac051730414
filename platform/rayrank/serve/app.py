"""The HTTP application: FastAPI in front of the engine, on Ray Serve.

POST /v1/rank      score a request's candidates
GET  /v1/models    what is being served, and what a request for it holds
GET  /openapi.json the same for programs: OpenAPI, of the bundle that is served
GET  /healthz      alive and loaded; needs no key
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
import torch
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from ray import serve
from starlette.exceptions import HTTPException

from rayrank.errors import DeadlineError
from rayrank.infer.bundle import bundle_folder, verify_bundle
from rayrank.infer.engine import tokens_of
from rayrank.serve.accounts import Accounts, Answered
from rayrank.serve.admission import Bodies, admit, timeout_s
from rayrank.serve.answers import TIMEOUT_HEADER, id_of, refuse, refuse_fault, refuse_route
from rayrank.serve.body import Form, form_of, plain
from rayrank.serve.config import RankingArgs
from rayrank.serve.contract import contract
from rayrank.serve.errors import RequestError
from rayrank.serve.keys import Keys, key_of_environment, keys_file_of_environment
from rayrank.serve.metrics import VERSION, CountStatuses, Metrics
from rayrank.serve.openapi import document
from rayrank.serve.request import RankRequest
from rayrank.serve.scores import answer
from rayrank.serve.served import Follower, Served, Serving
from rayrank.serve.shadow import Shadow, alike
from rayrank.serve.tracing import trace_phases
from rayrank.storage import absolute, place

logger = logging.getLogger("ray.serve")

PARSERS = 2
STATE_EVERY_S = 1.0
HANGS_S = 60.0
"""No batch takes so long."""


api = FastAPI(title="rayrank", docs_url=None, redoc_url=None, openapi_url=None)
api.add_middleware(CountStatuses)
api.exception_handler(RequestError)(refuse)
api.exception_handler(HTTPException)(refuse_route)
api.exception_handler(Exception)(refuse_fault)


def keys_of(args: RankingArgs, key: str | None) -> Keys | None:
    """The key that is given, else those of a file, else the environment's; None where none is
    demanded. Raises RayrankError."""
    if not args.authenticate:
        return None
    file = args.keys_file or keys_file_of_environment()
    if key is None and file is not None:
        return Keys(file=file)
    return Keys([key or key_of_environment()])


@serve.deployment(
    num_replicas=2,
    max_surge_percent=100,  # new replicas are ready before old ones go
    # What is let in is decided by how long it would take (`admission`); these bound memory alone.
    max_ongoing_requests=4096,
    max_queued_requests=4096,
    graceful_shutdown_timeout_s=30,
)
@serve.ingress(api)
class RankingApp:
    """One replica, and what it serves."""

    def __init__(self, args: dict[str, Any], key: str | None) -> None:
        told = RankingArgs.model_validate(args)
        self.keys, self.limits = keys_of(told, key), told.limits
        if self.keys is None:
            logger.warning("authenticate is false: whoever reaches the port is answered")
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        torch.set_num_threads(told.threads or max(1, int(cpus)))
        self.metrics = Metrics()
        self.accounts = Accounts(self.metrics)
        self.follower = Follower(
            place(told.bundles),
            told.version,
            Serving(self.limits, told.cache_bytes, told.precision),
            told.follow_s,
            switched=self.metrics.switched,
        )
        self.shadow = Shadow(self.metrics.shadowed, self.metrics.unshadowed)
        self.bodies = Bodies(self.limits)
        # A body is parsed beside the event loop, which meanwhile takes the next requests.
        self.parsers = ThreadPoolExecutor(PARSERS, thread_name_prefix="parse")
        threading.Thread(target=self._tell_state, name="state", daemon=True).start()

    def check_health(self) -> None:
        """Asked by Ray Serve, beside all requests: a replica whose engine hangs is replaced."""
        for served in self.follower.roles().values():
            if (since_s := served.engine.busy_s()) > HANGS_S:
                version = served.manifest.version
                raise RuntimeError(f"version {version}: a batch runs for {since_s:.0f} s already")

    @api.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """Answers once the bundle is loaded. No key needed."""
        return {"status": "ok"}

    @api.get("/v1/models")
    async def models(self, request: Request) -> JSONResponse:
        """What is being served."""
        self._authorize(request)
        told = []
        for role, served in self.follower.roles().items():
            told.append(
                {
                    **served.model,
                    "role": role,
                    "tasks": list(served.schema.tasks),
                    "trained_steps": served.manifest.trained_steps,
                    "made_from": served.manifest.made_from,
                    "metrics": served.manifest.metrics,
                    "request": contract(served.schema, served.manifest),
                    "limits": self.limits.model_dump(mode="json"),
                }
            )
        return JSONResponse({"models": told, "faults": self.follower.faults})

    @api.get("/openapi.json")
    async def openapi(self, request: Request) -> JSONResponse:
        """The API as a document."""
        self._authorize(request)
        served = self.follower.now
        return JSONResponse(document(served.schema, served.manifest, self.limits))

    @api.post("/v1/rank")
    async def rank(self, request: Request) -> Response:
        """P(task) of every candidate, in the order in which they came, or as they rank."""
        try:
            return await self._rank(request)
        except RequestError:
            raise
        except DeadlineError as error:
            raise RequestError(504, TIMEOUT_HEADER, str(error), 1.0) from None
        except Exception:
            logger.exception("request %s", id_of(request))
            raise

    async def _rank(self, request: Request) -> Response:
        self._authorize(request)
        deadline = time.monotonic() + timeout_s(request.headers, self.limits)
        served = self.follower.now
        admit(served.engine, 0, deadline)
        body = await self.bodies.read(request, deadline)
        received = time.monotonic()
        try:
            content = plain(
                body, request.headers.get("Content-Encoding", ""), self.limits.body_bytes
            )
            form = form_of(request.headers.get("Content-Type", ""))
            served, asked = await self._parse(content, form)
        finally:
            self.bodies.release(body)
        request.scope[VERSION] = served.manifest.version
        parsed = time.monotonic()
        admit(served.engine, tokens_of(asked.rows), deadline)
        scored = await asyncio.wrap_future(served.engine.submit(asked.rows, deadline))
        answered = answer(asked, scored.scores, served.model, list(served.schema.tasks))
        phases = {"parse": 1000 * (parsed - received), **scored.ms._asdict()}
        trace_phases(phases)
        total_ms = 1000 * (time.monotonic() - received)
        self.accounts.add(Answered(served, asked, scored, phases, total_ms))
        if (shadow := self.follower.shadow) is not None and served is self.follower.now:
            self.shadow.compare(served, shadow, asked.rows, scored.scores)
        timing = ", ".join(f"{phase};dur={ms:.3f}" for phase, ms in phases.items())
        return Response(
            answered,
            media_type=form,
            headers={"Server-Timing": timing},
        )

    async def _parse(self, content: bytes, form: Form) -> tuple[Served, RankRequest]:
        """By what serves the request's (first) user."""
        loop, now = asyncio.get_running_loop(), self.follower.now
        asked = await loop.run_in_executor(self.parsers, now.parser.parse, content, form)
        chosen = self.follower.of(asked.rows["user"][0].as_py())
        if alike(chosen, now):
            return chosen, asked
        try:
            return chosen, await loop.run_in_executor(
                self.parsers, chosen.parser.parse, content, form
            )
        except RequestError:  # a canary of another schema must not refuse what is fine so far
            self.metrics.unfit()
            return now, asked

    def _tell_state(self) -> None:
        pause = threading.Event()
        while not pause.wait(STATE_EVERY_S):
            try:
                self.accounts.settle()
                for served in self.follower.roles().values():
                    self.metrics.state(served, served.drift.now())
            except Exception:  # what is told may fail, and must not end with it
                logger.exception("metrics")

    def _authorize(self, request: Request) -> None:
        sent = request.headers.get("Authorization", "")
        if self.keys is not None and not self.keys.allow(sent):
            raise RequestError(401, "Authorization", "expected 'Bearer' and an API key")


def build_app(
    args: RankingArgs, key: str | None = None, replicas: int | None = None
) -> serve.Application:
    """The application, after the checks that need no replica: the key, every byte of the bundle.

    key: what clients must send; what `keys_file` or each replica's environment holds, unless given.
    replicas: two, unless said here or where it is deployed.
    Raises RayrankError or BundleError at once, before a replica that works is stopped for it.
    """
    if args.authenticate and key is None and args.keys_file is None:
        key_of_environment()
    bundles = absolute(place(args.bundles))
    verify_bundle(bundle_folder(bundles, args.version))
    told = args.model_copy(update={"bundles": str(bundles)})
    deployment: Any = RankingApp
    if replicas is not None:
        deployment = deployment.options(num_replicas=replicas)
    app: serve.Application = deployment.bind(told.model_dump(mode="json"), key)
    return app
