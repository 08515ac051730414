"""Our own schema of serveConfigV2, strict: every key that is there, and what each must say.

Ray's defaults are for trying out. What is demanded here is what a service needs to stay up: two
replicas on two nodes, one more while they are exchanged, bounded queues, time to answer what is
under way, and a key.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from rayrank.serve.config import RankingArgs
from rayrank.serve.limits import REQUEST_TIMEOUT_S, Limits
from rayrank.strict import Strict
from rayrank.versions import CURRENT

KEYS_FILE = "/etc/rayrank/keys/api-key"
# The application answers or refuses by itself before the proxy cuts a request off.
assert Limits().timeout_ms < REQUEST_TIMEOUT_S * 1000


def _is_ours(args: RankingArgs) -> RankingArgs:
    if not args.authenticate:
        raise ValueError("authenticate: whoever reaches the port would be served")
    if args.keys_file != KEYS_FILE:
        raise ValueError(f"keys_file: not {KEYS_FILE}: keys are files, exchanged without a restart")
    if args.version != CURRENT:
        raise ValueError("version: a promotion would not be followed")
    if args.limits.timeout_ms >= REQUEST_TIMEOUT_S * 1000:
        raise ValueError("limits.timeout_ms: the proxy would cut off what is still being answered")
    return args


class Http(Strict):
    host: Literal["0.0.0.0"]
    """Ray's default is the loopback: no Service would reach it."""
    port: Literal[8000]
    """What policies open and Services name."""
    request_timeout_s: Annotated[float, Field(ge=REQUEST_TIMEOUT_S, le=REQUEST_TIMEOUT_S)]
    """Ray's default is none. The application's own limits are less, so that it says why."""


class ActorOptions(Strict):
    num_cpus: Annotated[float, Field(ge=1)]
    num_gpus: Literal[1] | None = None
    """A whole one: fractions are not kept apart."""


class Backpressure(Strict):
    retry_after_s: Annotated[float, Field(ge=1, le=10)]
    """Who is refused is told when to come again, rather than at once."""


class Deployment(Strict):
    name: Literal["RankingApp"]
    num_replicas: Annotated[int, Field(ge=2)]
    """With one, what kills it is an outage."""
    max_replicas_per_node: Literal[1]
    """One machine that fails takes one replica with it."""
    max_surge_percent: Annotated[float, Field(gt=0, le=100)]
    """0, Ray's default, stops a replica before another one has loaded its model."""
    max_ongoing_requests: Annotated[int, Field(ge=1024, le=65536)]
    """Ray's default is 5: requests would wait where they cannot be scored together."""
    max_queued_requests: Annotated[int, Field(ge=1024, le=65536)]
    """Ray's default is -1: a queue that only memory bounds."""
    backpressure_config: Backpressure
    graceful_shutdown_timeout_s: Annotated[float, Field(ge=REQUEST_TIMEOUT_S)]
    """At least what a request may take."""
    ray_actor_options: ActorOptions


class Application(Strict):
    name: Literal["ranking"]
    route_prefix: Literal["/"]
    import_path: Literal["serve_apps.ranking:build"]
    args: Annotated[RankingArgs, AfterValidator(_is_ours)]
    deployments: Annotated[list[Deployment], Field(min_length=1, max_length=1)]


class ServeConfig(Strict):
    http_options: Http
    applications: Annotated[list[Application], Field(min_length=1, max_length=1)]
    """One: a second would share its proxies, and its fate."""
