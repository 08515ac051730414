"""What may be a name, a label, a port's name; and the words of which one must be chosen."""

import re
from typing import Any

from .objects import Object, spell, walk

LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_1035 = re.compile(r"(?=.{1,63}$)[a-z]([-a-z0-9]*[a-z0-9])?")
_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_PART}(\.{_PART})*")
PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
KEY_OF_DATA = re.compile(r"(?=.{1,253}$)[-._a-zA-Z0-9]+")
IMAGE = re.compile(
    r"[a-z0-9]+([-._/:a-z0-9]*[a-z0-9])?(:[\w][-.\w]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_NAME = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?")

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
ONE_OF: dict[str, tuple[str, ...]] = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "preemptionPolicy": ("PreemptLowerPriority", "Never"),
    "protocol": ("TCP", "UDP", "SCTP"),
    "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    "mountPropagation": ("None", "HostToContainer", "Bidirectional"),
    "medium": ("", "Memory"),
    "volumeMode": ("Filesystem", "Block"),
    "concurrencyPolicy": ("Allow", "Forbid", "Replace"),
    "accessModes": ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"),
    "policyTypes": ("Ingress", "Egress"),
    "seccompProfile.type": ("RuntimeDefault", "Localhost", "Unconfined"),
    "appArmorProfile.type": ("RuntimeDefault", "Localhost", "Unconfined"),
    "httpGet.scheme": ("HTTP", "HTTPS"),
    "tolerations.effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    "tolerations.operator": ("Exists", "Equal"),
    "matchExpressions.operator": (*_OPERATORS, "Gt", "Lt"),
}


def choices(path: tuple[str | int, ...]) -> tuple[str, ...] | None:
    """The words of which one must stand at this place, where the schemas say `string` alone."""
    steps = [str(step) for step in path if not isinstance(step, int)]
    return ONE_OF.get(".".join(steps[-2:])) or (ONE_OF.get(steps[-1]) if steps else None)


def word_faults(value: Any, where: str) -> list[str]:
    return [
        f"{where}{spell(path)}: {word!r} is not one of {', '.join(known)}"
        for path, word in walk(value)
        if isinstance(word, str) and (known := choices(path)) and word not in known
    ]


def is_key(key: str) -> bool:
    """Of a label or an annotation: `name`, or `domain/name`."""
    domain, slash, name = key.rpartition("/")
    return bool(_NAME.fullmatch(name)) and (not slash or bool(SUBDOMAIN.fullmatch(domain)))


def label_faults(labels: dict[str, str], where: str) -> list[str]:
    keys = [f"{where}: {key!r} is not a label's key" for key in labels if not is_key(key)]
    return keys + [
        f"{where}.{key}: {value!r} is not a label's value"
        for key, value in labels.items()
        if value and not _NAME.fullmatch(value)
    ]


def selector_faults(selector: Object, where: str) -> list[str]:
    found = label_faults(selector.get("matchLabels", {}), f"{where}.matchLabels")
    for position, rule in enumerate(selector.get("matchExpressions", [])):
        place = f"{where}.matchExpressions[{position}]"
        if not is_key(rule["key"]):
            found.append(f"{place}.key: {rule['key']!r} is not a label's key")
        if rule["operator"] not in _OPERATORS:
            found.append(f"{place}.operator: {rule['operator']!r} is not for selectors")
        elif bool(rule.get("values")) is not (rule["operator"] in _OPERATORS[:2]):
            found.append(f"{place}.values: In and NotIn have some, the others none")
        found += [
            f"{place}.values: {value!r} is not a label's value"
            for value in rule.get("values", [])
            if not _NAME.fullmatch(value)
        ]
    return found


def metadata_faults(metadata: Object, where: str) -> list[str]:
    found = label_faults(metadata.get("labels", {}), f"{where}.labels")
    found += [
        f"{where}.annotations: {key!r} is not an annotation's key"
        for key in metadata.get("annotations", {})
        if not is_key(key)
    ]
    for field, form in (("name", SUBDOMAIN), ("namespace", LABEL)):
        if field in metadata and not form.fullmatch(metadata[field]):
            found.append(f"{where}.{field}: {metadata[field]!r} is not a name")
    return found


def form_faults(value: Any, form: re.Pattern[str], what: str, where: str) -> list[str]:
    return [] if form.fullmatch(str(value)) else [f"{where}: {value!r} is not {what}"]
