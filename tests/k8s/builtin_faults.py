"""What an API server refuses in the built-in kinds of ours beyond their schemas."""

import ipaddress
import re
from typing import Any

from .names import (
    KEY_OF_DATA,
    LABEL,
    PORT_NAME,
    form_faults,
    selector_faults,
    word_faults,
)
from .objects import Object
from .rights_faults import binding_faults, role_faults
from .workload_faults import claim_faults, cron_job_faults, stateful_faults

HIGHEST = 10**9


def policy_faults(policy: Object) -> list[str]:
    spec = policy["spec"]
    found = selector_faults(spec["podSelector"], "$.spec.podSelector")
    found += word_faults(spec, "$.spec")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for position, rule in enumerate(spec.get(direction, [])):
            where = f"$.spec.{direction}[{position}]"
            for peer in rule.get(peers, []):
                found += peer_faults(peer, f"{where}.{peers}")
            for port in rule.get("ports", []):
                found += port_faults(port, f"{where}.ports")
    return found


def peer_faults(peer: Object, where: str) -> list[str]:
    if not peer or ("ipBlock" in peer and len(peer) > 1):
        return [f"{where}: selectors, or an ipBlock alone"]
    if "ipBlock" in peer:
        return block_faults(peer["ipBlock"], f"{where}.ipBlock")
    return [fault for key, value in peer.items() for fault in selector_faults(value, where + key)]


def block_faults(block: Object, where: str) -> list[str]:
    try:
        whole = ipaddress.ip_network(block["cidr"])
        parts = [ipaddress.ip_network(part) for part in block.get("except", [])]
    except ValueError as error:
        return [f"{where}: {error}"]
    return [
        f"{where}.except: {part} is not a part of {whole}"
        for part in parts
        if part.version != whole.version or part == whole or not _within(part, whole)
    ]


def _within(part: Any, whole: Any) -> bool:
    return whole.network_address <= part.network_address <= whole.broadcast_address


def port_faults(port: Object, where: str) -> list[str]:
    number = port.get("port")
    if isinstance(number, str):
        return form_faults(number, PORT_NAME, "a port's name", where)
    if number is not None and not 1 <= number <= 65535:
        return [f"{where}: {number} is not a port"]
    if "endPort" in port and not (number or 65536) <= port["endPort"] <= 65535:
        return [f"{where}: endPort {port['endPort']} is not at or behind port {number}"]
    return []


def service_faults(service: Object) -> list[str]:
    ports = service["spec"].get("ports", [])
    found = word_faults(service["spec"], "$.spec")
    address = service["spec"].get("clusterIP", "None")
    if address not in ("None", ""):
        found.append(f"$.spec.clusterIP: {address!r} is for the cluster to choose")
    if not ports and service["spec"].get("clusterIP") != "None":
        found.append("$.spec.ports: none")
    for position, port in enumerate(ports):
        where = f"$.spec.ports[{position}]"
        found += port_faults(port, where) + port_faults({"port": port.get("targetPort")}, where)
        if "name" in port or len(ports) > 1:
            found += form_faults(port.get("name"), LABEL, "a port's name", where)
    return found


def disruption_faults(budget: Object) -> list[str]:
    spec = budget["spec"]
    if ("minAvailable" in spec) is ("maxUnavailable" in spec):
        return ["$.spec: minAvailable or maxUnavailable, one of them"]
    ((field, number),) = [(f, spec[f]) for f in ("minAvailable", "maxUnavailable") if f in spec]
    found = selector_faults(spec.get("selector", {}), "$.spec.selector")
    if isinstance(number, int) and number < 0:
        found.append(f"$.spec.{field}: negative")
    if isinstance(number, str) and not re.fullmatch(r"\d+%", number):
        found.append(f"$.spec.{field}: {number!r} is neither a number nor a percentage")
    return found + word_faults(spec, "$.spec")


def priority_faults(priority: Object) -> list[str]:
    found = word_faults(priority, "$")
    if priority["metadata"]["name"].startswith("system-"):
        found.append("$.metadata.name: of Kubernetes itself")
    if not -HIGHEST <= priority.get("value", HIGHEST + 1) <= HIGHEST:
        found.append(f"$.value: {priority.get('value')} is more than {HIGHEST}, or none")
    return found


def data_faults(settings: Object) -> list[str]:
    return [
        fault
        for field in ("data", "binaryData")
        for key in settings.get(field, {})
        for fault in form_faults(key, KEY_OF_DATA, "a key", f"$.{field}")
    ]


CHECKS = {
    "PersistentVolumeClaim": claim_faults,
    "NetworkPolicy": policy_faults,
    "Service": service_faults,
    "PodDisruptionBudget": disruption_faults,
    "PriorityClass": priority_faults,
    "ConfigMap": data_faults,
    "CronJob": cron_job_faults,
    "StatefulSet": stateful_faults,
    "Role": role_faults,
    "RoleBinding": binding_faults,
}
