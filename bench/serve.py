"""What the endpoint costs around its engine, and what it does when more is asked than it can:
ratios of one run on this machine, in runs/bench/serve.json.

    python -m bench.serve [--size small] [--run-dir runs/demo] [--out runs/bench/serve.json]

- http_over_echo (at most 1.5): one request at a time of a run's own user (`make demo` makes one),
  the median of an answer's time less the engine's (Server-Timing: all but parsing), over the median
  of a Ray Serve echo of the same body, in turns; and the same of 500 candidates. Behind Ray's own
  proxy. Behind HAProxy, which the image takes, both are faster, the echo more so: haproxy_ms and
  haproxy_echo_ms are the times themselves, beside http_ms and echo_ms.
- arrow_over_json (at least 5): reading a request of 1,000 candidates as far as the body's form
  matters, until all columns are checked and Arrow's; and arrow_over_json_parse, the whole of
  parsing, most of which (encoding, sorting, the user row) is the same for both forms.
- Requests of 1,000 behaviours and 500 candidates of users who all differ, of a model so heavy that
  the engine is the limit; no prefixes are kept. Capacity is the goodput of an open loop far above
  it with a deadline of 9 s. Then open loops at 70, 100 and 300 % of it, in turns, with one
  deadline: goodput_300_over_100 (at least 0.9), p99_accepted_300_over_70 (at most 3), batch_fill
  (at least 0.6): tokens of a batch over `limits.batch_tokens`, at saturation; echo_holds_300: what
  share an echo of the same bodies answers at 300 %: near 1 where Ray's proxy is not the limit.
"""

import argparse
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
import ray
from benchmarks.cpu_measure import machine, versions
from rayrank.infer.bundle import bundle_folder, load_bundle
from rayrank.run.folder import RunFolder
from rayrank.serve.config import RankingArgs
from rayrank.serve.limits import Limits
from rayrank.serve.load import generator
from rayrank.serve.local import running_app
from rayrank.strict import Strict
from rayrank.versions import CURRENT

from bench.serve_echo import echo, http_over_echo
from bench.serve_forms import arrow_over_json
from bench.serve_overload import Endpoint, Loads, overload, saturate
from bench.serve_rows import heavy, heavy_tokens, of_candidates, random_bundles

Around = tuple[dict[str, Any], dict[str, Any]]
"""Of a run's own request, and of 500 candidates."""
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
BOUNDS = {
    "http_over_echo": "<= 1.5",
    "http_over_echo_500": "<= 1.5",
    "http_ms": "",
    "echo_ms": "",
    "haproxy_ms": "",
    "haproxy_echo_ms": "",
    "arrow_over_json": ">= 5",
    "arrow_over_json_parse": "",
    "goodput_300_over_100": ">= 0.9",
    "p99_accepted_300_over_70": "<= 3",
    "batch_fill": ">= 0.6",
    "echo_holds_300": "",
}


class Sizes(Strict):
    """How much is measured."""

    size: str = "small"
    history: int = 1000
    candidates: int = 500
    users: int = 64
    """Who differ, of the heavy requests; then again from the first."""
    batch_tokens: int = 8192
    requests: int = 300
    """One at a time."""
    seconds: float = 15.0
    rounds: int = 2
    timeout_requests: float = 6.0
    """The deadline of the loads at shares of the capacity, in requests one after the other: what
    few wait for at 70 %."""


@contextmanager
def application(bundles: Path, sizes: Sizes | None = None) -> Iterator[tuple[str, str, str]]:
    """One replica and an echo beside it: their URLs, and the key."""
    limits = Limits()
    if sizes is not None:
        limits = Limits(
            candidates=sizes.candidates,
            behaviours=sizes.history,
            batch_tokens=sizes.batch_tokens,
        )
    args = RankingArgs(bundles=str(bundles), threads=1, cache_bytes=0, limits=limits)
    key = secrets.token_hex(16)
    with (
        running_app(args, key, "bench", "/", shared=True) as url,
        echo(url) as echo_url,
    ):
        yield url, echo_url, key


def forms(run_dir: str, sizes: Sizes) -> dict[str, Any]:
    """Of a run's current bundle, and its request."""
    folder = RunFolder(run_dir)
    bundle = load_bundle(bundle_folder(folder.bundles, CURRENT))
    request = of_candidates(orjson.loads(folder.request.read_bytes()), 1000)
    return arrow_over_json(bundle.schema, bundle.manifest, request, sizes.requests)


def around_engine(run_dir: str, sizes: Sizes) -> Around:
    """Of the same, and of 500 candidates: what HTTP costs beside the engine, and beside an echo."""
    folder = RunFolder(run_dir)
    request = orjson.loads(folder.request.read_bytes())
    with application(Path(str(folder.bundles))) as told:
        own, longer = (
            http_over_echo(*told, orjson.dumps(of), sizes.requests)
            for of in (request, of_candidates(request, 500))
        )
    return own, longer


def _on_ray_of_its_own(run_dir: str, sizes: Sizes) -> Around:
    start_ray()
    return around_engine(run_dir, sizes)


def behind(haproxy: bool, run_dir: str, sizes: Sizes) -> Around:
    """`around_engine` in a process of its own: Ray reads once, when it is imported, which proxy
    there is to be."""
    os.environ[HAPROXY] = str(int(haproxy))
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(_on_ray_of_its_own, run_dir, sizes).result()
    finally:
        del os.environ[HAPROXY]


def side_by_side(around: Around, around_haproxy: Around) -> dict[str, Any]:
    """What `around_engine` found behind each proxy."""
    (own, longer), (own_haproxy, longer_haproxy) = around, around_haproxy
    return {
        "http_over_echo": own["http_over_echo"],
        "http_over_echo_500": longer["http_over_echo"],
        "http_ms": own["ms"]["around_engine"],
        "echo_ms": own["ms"]["echo"],
        "haproxy_ms": own_haproxy["ms"]["around_engine"],
        "haproxy_echo_ms": own_haproxy["ms"]["echo"],
        "http": own,
        "http_500": longer,
        "haproxy": own_haproxy,
        "haproxy_500": longer_haproxy,
    }


def start_ray() -> None:
    """A Ray for what is measured."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)


def under_load(sizes: Sizes) -> dict[str, Any]:
    """Of a bundle of random weights."""
    bodies = [heavy(user, sizes.history, sizes.candidates) for user in range(sizes.users)]
    with tempfile.TemporaryDirectory(prefix="rayrank-bench-") as folder:
        bundles = Path(folder) / "bundles"
        (version,) = random_bundles(bundles, sizes.size)
        tokens = heavy_tokens(sizes.history, sizes.candidates)
        with application(bundles, sizes) as (url, echo_url, key), generator() as pool:
            endpoint = Endpoint(url, echo_url, key, version, bodies)
            saturated, batch_tokens = saturate(pool, endpoint, sizes.seconds, tokens)
            timeout_ms = round(1000 * sizes.timeout_requests / saturated.goodput_per_s)
            loads = Loads(sizes.seconds, sizes.rounds, timeout_ms)
            found = overload(pool, endpoint, saturated.goodput_per_s, loads)
    return {
        **found,
        "batch_fill": batch_tokens / sizes.batch_tokens,
        "saturated": saturated.model_dump(),
    }


def measure(run_dir: str, sizes: Sizes) -> dict[str, Any]:
    """All figures."""
    before = os.getloadavg()
    around, around_haproxy = (behind(haproxy, run_dir, sizes) for haproxy in (False, True))
    start_ray()
    return {
        **side_by_side(around, around_haproxy),
        **forms(run_dir, sizes),
        **under_load(sizes),
        # What else ran: figures of a run that began on a busy machine say little.
        "load_average_before": before[0],
        "sizes": sizes.model_dump(),
        "machine": machine(),
        "versions": versions() | {"ray": ray.__version__},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="small")
    parser.add_argument("--run-dir", default="runs/demo")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/serve.json"))
    asked = parser.parse_args()
    result = measure(asked.run_dir, Sizes(size=asked.size))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """The figures beside what is asked of them, and the loads."""
    lines = [f"{name:26} {result[name]:8.3f}   {bound}" for name, bound in BOUNDS.items()]
    for share, of in result["loads"].items():
        ms = of["scored"]
        lines.append(
            f"{share:>4} %: offered {of['offered_per_s']:6.1f}/s, "
            f"goodput {of['goodput_per_s']:6.1f}/s, "
            f"p50 {ms['p50']:6.0f} ms, p99 {ms['p99']:6.0f} ms, {of['statuses']}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
