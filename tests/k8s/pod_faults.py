"""What an API server refuses in a pod beyond its schema, and what a kubelet would not start."""

import itertools
import re
from collections.abc import Iterable
from typing import Any

from .names import (
    IMAGE,
    KEY_OF_DATA,
    LABEL,
    PORT_NAME,
    SUBDOMAIN,
    VARIABLE,
    form_faults,
    is_key,
    word_faults,
)
from .objects import Object, Pod, walk
from .placement_faults import IN_VARIABLES, field_faults, placement_faults, source_faults
from .quantities import quantity, quantity_faults

_OWN_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_AT_LEAST = {  # Wherever in a pod they stand.
    "initialDelaySeconds": 0,
    "periodSeconds": 1,
    "timeoutSeconds": 1,
    "successThreshold": 1,
    "failureThreshold": 1,
    "terminationGracePeriodSeconds": 0,
    "activeDeadlineSeconds": 1,
    "runAsUser": 0,
    "runAsGroup": 0,
    "fsGroup": 0,
}


def pod_faults(pod: Pod) -> list[str]:
    where, spec = pod.where, pod.spec
    found = word_faults(spec, where)
    for path, value in walk(spec):
        least = _AT_LEAST.get(str(path[-1]))
        if least is not None and isinstance(value, int) and value < least:
            found.append(f"{where}: {path[-1]} {value} is less than {least}")
    if not spec["containers"]:
        found.append(f"{where}: no container")
    if "serviceAccountName" in spec:
        found += form_faults(spec["serviceAccountName"], SUBDOMAIN, "a name", f"{where}: account")
    found += volume_faults(spec, where) + placement_faults(spec, where)
    found += twice((c["name"] for c in pod.containers), f"{where}: container")
    for container in pod.containers:
        found += container_faults(container, f"{where}/{container['name']}")
        found += mount_faults(container, spec, f"{where}/{container['name']}")
    return found + user_faults(spec, where)


def twice(names: Iterable[Any], where: str) -> list[str]:
    ordered = sorted(str(name) for name in names)
    return [f"{where} {a!r}: twice" for a, b in itertools.pairwise(ordered) if a == b]


def user_faults(spec: Object, where: str) -> list[str]:
    contexts = [spec, *spec["containers"], *spec.get("initContainers", [])]
    merged = [{**spec.get("securityContext", {}), **c.get("securityContext", {})} for c in contexts]
    if any(context.get("runAsNonRoot") and context.get("runAsUser") == 0 for context in merged):
        return [f"{where}: runAsNonRoot, and runAsUser 0"]
    return []


def volume_faults(spec: Object, where: str) -> list[str]:
    volumes = spec.get("volumes", [])
    found = twice((volume["name"] for volume in volumes), f"{where}: volume")
    for volume in volumes:
        place = f"{where}: volume {volume['name']!r}"
        found += form_faults(volume["name"], LABEL, "a label", place)
        if len(volume) != 2:
            found.append(f"{place}: exactly one source")
        found += source_faults(volume, place)
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            found += form_faults(claim["claimName"], SUBDOMAIN, "a claim's name", place)
        limit = volume.get("emptyDir", {}).get("sizeLimit", 0)
        if quantity(limit) is None:
            found.append(f"{place}: sizeLimit {limit!r} is not a quantity")
    return found


def mount_faults(container: Object, spec: Object, where: str) -> list[str]:
    mounts = container.get("volumeMounts", [])
    known = {volume["name"] for volume in spec.get("volumes", [])}
    found = twice((mount["mountPath"] for mount in mounts), f"{where}: mountPath")
    for mount in mounts:
        if mount["name"] not in known:
            found.append(f"{where}: mounts {mount['name']!r}, which is no volume of the pod")
        if not mount["mountPath"].startswith("/") or ":" in mount["mountPath"]:
            found.append(f"{where}: {mount['mountPath']!r} is not a place to mount at")
    return found


def container_faults(container: Object, where: str) -> list[str]:
    found = form_faults(container["name"], LABEL, "a label", where)
    found += form_faults(container.get("image", ""), IMAGE, "an image", where)
    found += resource_faults(container.get("resources", {}), where)
    found += port_faults(container.get("ports", []), where)
    found += variable_faults(container.get("env", []), where)
    found += reference_faults(container, where)
    for probe in _PROBES:
        if probe in container:
            found += action_faults(container[probe], container, f"{where}.{probe}")
            if probe != "readinessProbe" and container[probe].get("successThreshold", 1) != 1:
                found.append(f"{where}.{probe}: successThreshold must be 1")
    for moment, action in container.get("lifecycle", {}).items():
        found += action_faults(action, container, f"{where}.{moment}")
    return found


def resource_faults(resources: Object, where: str) -> list[str]:
    found = []
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for field, amounts in (("limits", limits), ("requests", requests)):
        found += quantity_faults(amounts, f"{where}.{field}")
        for name in amounts:
            if name not in _OWN_RESOURCES and not ("/" in name and is_key(name)):
                found.append(f"{where}.{field}: {name!r} is not a resource")
    for name in requests.keys() & limits.keys():
        wanted, most = quantity(requests[name]), quantity(limits[name])
        if wanted is not None and most is not None and wanted > most:
            found.append(f"{where}: requests {requests[name]} of {name}, limit {limits[name]}")
    for name, most in limits.items():
        if "/" in name and requests.get(name, most) != most:
            found.append(f"{where}: requests and limits of {name} must be the same")
    return found


def port_faults(ports: list[Object], where: str) -> list[str]:
    found = twice((port["name"] for port in ports if "name" in port), f"{where}: port")
    found += twice(
        (f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in ports), f"{where}: port"
    )
    for port in ports:
        if "name" in port:
            found += form_faults(port["name"], PORT_NAME, "a port's name", f"{where}: port")
        if not 1 <= port["containerPort"] <= 65535:
            found.append(f"{where}: {port['containerPort']} is not a port")
    return found


def variable_faults(variables: list[Object], where: str) -> list[str]:
    found = twice((variable["name"] for variable in variables), f"{where}: variable")
    for variable in variables:
        place = f"{where}: variable {variable['name']!r}"
        found += form_faults(variable["name"], VARIABLE, "a variable's name", place)
        source = variable.get("valueFrom")
        if source is None:
            continue
        if len(source) != 1 or variable.get("value"):
            found.append(f"{place}: exactly one source")
        if "fieldRef" in source:
            found += field_faults(source["fieldRef"], IN_VARIABLES, place)
        for reference in (source.get("secretKeyRef"), source.get("configMapKeyRef")):
            if reference is not None:
                found += form_faults(reference.get("name"), SUBDOMAIN, "a name", place)
                found += form_faults(reference["key"], KEY_OF_DATA, "a key", place)
    return found


def reference_faults(container: Object, where: str) -> list[str]:
    """Where variables come from, and what a command says of them: `$(NAME)` stays as it is if there
    is no such variable."""
    found = []
    for source in container.get("envFrom", []):
        chosen = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        if len(chosen) != 1:
            found.append(f"{where}: envFrom has exactly one source each")
        for kind in chosen:
            found += form_faults(source[kind].get("name", ""), SUBDOMAIN, "a name", where)
    known = {variable["name"] for variable in container.get("env", [])}
    for word in (*container.get("command", []), *container.get("args", [])):
        for name in set(re.findall(r"(?<!\$)\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)", word)) - known:
            # A shell's substitution looks the same: `$(cat FILE)` has a space in it, ours do.
            found.append(f"{where}: there is no variable {name!r}")
    return found


def action_faults(action: Object, container: Object, where: str) -> list[str]:
    """Of a probe, or of what is done at the start or the stop of a container."""
    chosen = [name for name in _ACTIONS if name in action]
    if len(chosen) != 1:
        return [f"{where}: exactly one of {', '.join(_ACTIONS)}"]
    port = action[chosen[0]].get("port", 1)
    if isinstance(port, str) and port not in {p.get("name") for p in container.get("ports", [])}:
        return [f"{where}: {port!r} is not a port of the container"]
    if isinstance(port, int) and not 1 <= port <= 65535:
        return [f"{where}: {port} is not a port"]
    if chosen[0] == "exec" and not action["exec"].get("command"):
        return [f"{where}: no command"]
    return []
