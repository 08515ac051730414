"""All checks of the rendered manifests, by name. Each returns the faults it finds."""

from collections.abc import Callable

from .house_faults import house_faults
from .k8s_validation import faults
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


# What is behind `server` may rely on what it found right.
BEYOND: dict[str, Callable[[list[Object]], list[str]]] = {
    "house": house_faults,
    "ray": ray_faults,
    "serve": serve_config_faults,
    "sums": sum_faults,
    "paths": path_faults,
    "ports": port_faults,
    "reach": reach_faults,
}


def caught(documents: list[Object], changed: Object | None = None) -> dict[str, list[str]]:
    """Which checks find something, and what. With `changed`, the rest is known to be accepted."""
    refused = server_faults(documents if changed is None else [changed])
    if refused:
        return {"server": refused}
    found = {name: check(documents) for name, check in BEYOND.items()}
    return {name: lines for name, lines in found.items() if lines}
