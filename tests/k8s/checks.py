"""All checks of the rendered manifests, by name. Each returns the faults it finds."""

from collections.abc import Callable, Iterable

from .house_faults import house_faults
from .k8s_validation import faults
from .kueue_faults import kueue_faults
from .objects import Object, title
from .path_faults import path_faults
from .port_faults import port_faults
from .ray_faults import ray_faults
from .reach_faults import reach_faults
from .serve_config import serve_config_faults
from .sum_faults import sum_faults


def server_faults(documents: list[Object]) -> list[str]:
    """What the API server and the operator say to each of them."""
    return [f"{title(d)}: {fault}" for d in documents for fault in faults(d)]


# Each may rely on what those before it found right: `server` and `serve`.
BEYOND: dict[str, Callable[[list[Object]], Iterable[str]]] = {
    "serve": serve_config_faults,
    "house": house_faults,
    "ray": ray_faults,
    "kueue": kueue_faults,
    "sums": sum_faults,
    "paths": path_faults,
    "ports": port_faults,
    "reach": reach_faults,
}


def caught(documents: list[Object], changed: list[Object]) -> dict[str, list[str]]:
    """Which checks find something, and what; all but `changed` is known to be accepted."""
    refused = server_faults(changed)
    if refused:
        return {"server": refused}
    refused = serve_config_faults(documents)
    if refused:
        return {"serve": refused}
    found = {name: list(check(documents)) for name, check in BEYOND.items()}
    return {name: lines for name, lines in found.items() if lines}


def catcher(documents: list[Object], changed: list[Object]) -> str | None:
    """The first check that finds something."""
    if server_faults(changed):
        return "server"
    checks = (name for name, check in BEYOND.items() if any(True for _ in check(documents)))
    return next(checks, None)
