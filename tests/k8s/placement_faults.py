"""What an API server refuses of where a pod runs, and of what its volumes are made from."""

from typing import Any

from .names import KEY_OF_DATA, SUBDOMAIN, form_faults, is_key, label_faults, selector_faults
from .objects import Object

# Of a volume of the downward API; a variable may be made of more.
IN_FILES = ("metadata.name", "metadata.namespace", "metadata.uid")
IN_VARIABLES = (*IN_FILES, "spec.nodeName", "spec.serviceAccountName", "status.podIP")
SHORTEST_TOKEN_S = 600


def placement_faults(spec: Object, where: str) -> list[str]:
    found = label_faults(spec.get("nodeSelector", {}), f"{where}.nodeSelector")
    if "priorityClassName" in spec:
        found += form_faults(spec["priorityClassName"], SUBDOMAIN, "a name", f"{where}: priority")
    for toleration in spec.get("tolerations", []):
        found += [f"{where}.tolerations: {fault}" for fault in toleration_faults(toleration)]
    for rule in spec.get("topologySpreadConstraints", []):
        found += spread_faults(rule, f"{where}.topologySpreadConstraints")
    return found


def toleration_faults(toleration: Object) -> list[str]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "Equal")
    found = [] if not key or is_key(key) else [f"{key!r} is not a taint's key"]
    if not key and operator != "Exists":
        found.append("without a key its operator must be Exists")
    if operator == "Exists" and toleration.get("value"):
        found.append("Exists has no value")
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        found.append("tolerationSeconds are for NoExecute")
    return found


def spread_faults(rule: Object, where: str) -> list[str]:
    found = selector_faults(rule.get("labelSelector", {}), where)
    if rule["maxSkew"] < 1:
        found.append(f"{where}: maxSkew {rule['maxSkew']} is less than 1")
    if not is_key(rule["topologyKey"]):
        found.append(f"{where}: {rule['topologyKey']!r} is not a label's key")
    keys = rule.get("matchLabelKeys", [])
    found += [f"{where}: {key!r} is not a label's key" for key in keys if not is_key(key)]
    if keys and "labelSelector" not in rule:
        found.append(f"{where}: matchLabelKeys need a labelSelector")
    twice = set(keys) & rule.get("labelSelector", {}).get("matchLabels", {}).keys()
    return found + [f"{where}: {key!r} is in the labelSelector, too" for key in sorted(twice)]


def source_faults(volume: Object, where: str) -> list[str]:
    """Of a volume of secrets, settings, tokens, the downward API."""
    found = []
    if "secret" in volume:
        source = volume["secret"]
        found += form_faults(source.get("secretName", ""), SUBDOMAIN, "a secret's name", where)
        found += item_faults(source.get("items", []), where)
    if "configMap" in volume:
        found += form_faults(volume["configMap"].get("name", ""), SUBDOMAIN, "a name", where)
        found += item_faults(volume["configMap"].get("items", []), where)
    paths: list[str] = []
    for source in volume.get("projected", {}).get("sources", []):
        if len(source) != 1:
            found.append(f"{where}: each source is one")
            continue
        ((kind, what),) = source.items()
        if kind == "serviceAccountToken":
            paths.append(what.get("path", ""))
            if what.get("expirationSeconds", SHORTEST_TOKEN_S) < SHORTEST_TOKEN_S:
                found.append(f"{where}: a token for less than {SHORTEST_TOKEN_S} s")
        else:
            items = what.get("items", [])
            if kind == "downwardAPI" and any(len(item.keys() - {"mode"}) != 2 for item in items):
                found.append(f"{where}: each item is one field")
            paths += [item.get("path", "") for item in items]
            found += item_faults(items, where)
        if kind in ("configMap", "secret"):
            found += form_faults(what.get("name", ""), SUBDOMAIN, "a name", where)
    if len(paths) != len(set(paths)):
        found.append(f"{where}: two at one path")
    return found + [f"{where}: {path!r} is no path" for path in paths if not _is_within(path)]


def item_faults(items: list[Object], where: str) -> list[str]:
    found = []
    for item in items:
        if not _is_within(item.get("path", "")):
            found.append(f"{where}: {item.get('path')!r} is no path")
        if "key" in item:
            found += form_faults(item["key"], KEY_OF_DATA, "a key", where)
        if "fieldRef" in item:
            found += field_faults(item["fieldRef"], IN_FILES, where)
    return found


def field_faults(reference: Any, known: tuple[str, ...], where: str) -> list[str]:
    """`metadata.name`, or one label: `metadata.labels['a/b']`."""
    path = reference.get("fieldPath", "")
    for of in ("metadata.labels['", "metadata.annotations['"):
        if path.startswith(of) and path.endswith("']") and is_key(path[len(of) : -2]):
            return []
    return [] if path in known else [f"{where}: {path!r} is no field of a pod"]


def _is_within(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")
