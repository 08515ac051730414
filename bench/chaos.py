"""What is done to an endpoint while requests come, and how many of them failed for it: counts, in
runs/chaos/serve.json. Exit status 1 where one is not what it must be.

    python -m bench.chaos [--short] [--soak-minutes 10] [--out runs/chaos/serve.json]

Two replicas of a small bundle on a Ray of their own, under a steady load in an open loop (short:
about 150 requests for each scenario, under 90 s in all; else at least 2,000). A failure is any
status but 200, a refusal for load and no answer too: the load is light.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ray
from benchmarks.cpu_measure import machine, versions
from rayrank.storage import write_whole

from bench.chaos_changes import change_keys, redeploy, scale, switch
from bench.chaos_damage import damage
from bench.chaos_kill import kill
from bench.chaos_load import Steady
from bench.chaos_outcome import Outcome
from bench.chaos_siege import Besiegers, besiege
from bench.chaos_soak import soak
from bench.chaos_stage import Stage, stage

Scenario = Callable[[Stage], Outcome]
SHORT = Steady(per_s=40, requests=150, part_s=1.0)
LONG = Steady(per_s=50, requests=2000, part_s=8.0)


def scenarios(*, short: bool) -> dict[str, Scenario]:
    """By name; each sees to it that as many replicas run as it needs, few of them in this order."""
    steady, times = (SHORT, 1) if short else (LONG, 3)
    besiegers = Besiegers(slow=60, idle=100, large=2) if short else Besiegers()
    return {
        "kill": partial(kill, steady=steady, times=times),
        "switch": partial(switch, steady=steady, times=times),
        "damage_two_replicas": partial(damage, steady=steady, replicas=2),
        "change_keys": partial(change_keys, steady=steady),
        "scale": partial(scale, steady=steady, times=times),
        "redeploy": partial(redeploy, steady=steady, times=times),
        "siege": partial(besiege, steady=steady, besiegers=besiegers),
        "damage_one_replica": partial(damage, steady=steady, replicas=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--soak-minutes", type=float, default=0.0)
    parser.add_argument("--only", nargs="+", choices=scenarios(short=True), help="of the scenarios")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos/serve.json"))
    asked = parser.parse_args()
    chosen = scenarios(short=asked.short)
    if asked.only:
        chosen = {name: chosen[name] for name in asked.only}
    if asked.soak_minutes:
        chosen["soak"] = partial(soak, minutes=asked.soak_minutes)
    _allow_sockets()
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Outcome] = {}
    busy: dict[str, float] = {}
    with stage() as made:
        for name, scenario in chosen.items():
            begun = time.monotonic()
            found[name] = scenario(made)
            busy[name], *_ = os.getloadavg()
            print(line(name, found[name], time.monotonic() - begun), flush=True)
            told = {
                "steady": (SHORT if asked.short else LONG)._asdict(),
                "scenarios": {name: of.model_dump(mode="json") for name, of in found.items()},
                "faults": {name: of.faults() for name, of in found.items()},
                "load_average": busy,
                "machine": machine(),
                "versions": versions() | {"ray": ray.__version__},
            }
            write_whole(asked.out, json.dumps(told, indent=1) + "\n")
    print(f"in {asked.out}")
    sys.exit(any(of.faults() for of in found.values()))


def line(name: str, found: Outcome, seconds: float) -> str:
    """Of a table: requests, failures, what else it shows, and what is not as asked."""
    shown = found.model_dump(exclude={"asked"})
    rest = ", ".join(f"{field} {value}" for field, value in shown.items())
    told = "; ".join(found.faults()) or "as asked"
    return (
        f"{name:20} {found.asked.requests:6} requests {found.asked.failures:4} failures "
        f"{seconds:6.0f} s   {told}\n"
        f"{'':20} {rest}"
    )


def _allow_sockets() -> None:
    """As many as this user may open: Ray's proxy, which is our child, holds all connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
