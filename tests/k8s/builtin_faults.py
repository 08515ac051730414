"""What an API server refuses in the built-in kinds of ours beyond their schemas."""

import ipaddress
from typing import Any

from .names import LABEL, PORT_NAME, SUBDOMAIN, form_faults, selector_faults, word_faults
from .objects import Object
from .quantities import quantity, quantity_faults


def claim_faults(claim: Object) -> list[str]:
    spec, where = claim["spec"], "$.spec"
    requests = spec.get("resources", {}).get("requests", {})
    found = quantity_faults(requests, f"{where}.resources.requests")
    if set(requests) != {"storage"} or quantity(requests["storage"]) == 0:
        found.append(f"{where}.resources.requests: storage alone, and some")
    if not spec.get("accessModes"):
        found.append(f"{where}.accessModes: none")
    if "storageClassName" in spec:
        found += form_faults(spec["storageClassName"], SUBDOMAIN, "a name", f"{where}.storageClass")
    return found + word_faults(spec, where)


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
    return selector_faults(spec.get("selector", {}), "$.spec.selector")


CHECKS = {
    "PersistentVolumeClaim": claim_faults,
    "NetworkPolicy": policy_faults,
    "Service": service_faults,
    "PodDisruptionBudget": disruption_faults,
}
