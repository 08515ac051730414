"""What an API server and the KubeRay operator would say to a manifest, without either.

For a custom resource: defaults, then JSON Schema without unknown fields, then the schema's CEL
rules (../shared/k8s-schemas), then what KubeRay v1.7 itself refuses. For a built-in kind:
kubernetes-validate. Each function returns the faults it finds, one line each.
"""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cel
import jsonschema
import kubernetes_validate

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT.parent / "shared" / "k8s-schemas"
KUBERNETES_VERSION = "1.32"

# The operator appends to these names, and Kubernetes ends at 63 characters.
NAME_LIMITS = {"RayCluster": 53, "RayJob": 47, "RayService": 47}
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
CLUSTER_FIELD = {"RayCluster": None, "RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}


def is_custom(document: Object) -> bool:
    group = document["apiVersion"].split("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def faults(document: Object) -> list[str]:
    if not is_custom(document):
        return builtin_faults(document)
    document = copy.deepcopy(document)
    schema = custom_schema(document)
    apply_defaults(schema, document)
    return [
        *metadata_faults(document),
        *schema_faults(schema, document),
        *cel_faults(schema, document),
        *operator_faults(document),
    ]


def builtin_faults(document: Object) -> list[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{error.json_path}: {error.message}"]
    return []


def metadata_faults(document: Object) -> list[str]:
    """A custom resource's schema leaves `metadata` open; it is the same in every kind."""
    return builtin_faults(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}
    )


@cache
def read_schema(file: str) -> Object:
    schema: Object = json.loads((SCHEMAS / file).read_text())
    return schema


def custom_schema(document: Object) -> Object:
    group, version = document["apiVersion"].split("/")
    return read_schema(f"{document['kind'].lower()}.{group}_{version}.json")


def children(schema: Object, value: Any) -> Iterator[tuple[Object, Any, str]]:
    """The parts of `value` that `schema` says something of, each with its schema and its path."""
    if isinstance(value, dict):
        for name, item in value.items():
            below = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(below, dict):
                yield below, item, f".{name}"
    elif isinstance(value, list) and "items" in schema:
        for position, item in enumerate(value):
            yield schema["items"], item, f"[{position}]"


def apply_defaults(schema: Object, value: Any) -> None:
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if "default" in below:
                value.setdefault(name, copy.deepcopy(below["default"]))
    for below, item, _ in children(schema, value):
        apply_defaults(below, item)


def closed(schema: Any) -> Any:
    """`schema` with every unknown field an error, as the API server has it under --strict."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(item) for key, item in schema.items()}
    is_object_schema = isinstance(schema.get("properties"), dict) and "type" in schema
    left_open = "x-kubernetes-preserve-unknown-fields" in schema or "additionalProperties" in schema
    if is_object_schema and not left_open:
        result["additionalProperties"] = False
    return result


def schema_faults(schema: Object, document: Object) -> list[str]:
    validator = jsonschema.Draft202012Validator(closed(schema))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def cel_faults(schema: Object, value: Any, path: str = "$") -> list[str]:
    found = []
    for rule in schema.get("x-kubernetes-validations", []):
        # Rules on `oldSelf` compare with the object before an update: there is none here.
        if "oldSelf" not in rule["rule"] and not cel.evaluate(rule["rule"], {"self": value}):
            found.append(f"{path}: {rule['message']}")
    for below, item, step in children(schema, value):
        found += cel_faults(below, item, path + step)
    return found


def operator_faults(document: Object) -> list[str]:
    """What KubeRay's own checks refuse and its schema lets through."""
    kind = document["kind"]
    if kind not in NAME_LIMITS:
        return []
    found = []
    name, spec = document["metadata"]["name"], document.get("spec", {})
    if len(name) > NAME_LIMITS[kind]:
        found.append(f"$.metadata.name: longer than {NAME_LIMITS[kind]} characters")
    if not DNS_1035.fullmatch(name):
        found.append(f"$.metadata.name: {name!r} is not a DNS-1035 label")
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        found.append("$.spec.ttlSecondsAfterFinished: needs shutdownAfterJobFinishes")
    field = CLUSTER_FIELD[kind]
    cluster = spec.get(field, {}) if field else spec
    auth = cluster.get("authOptions", {})
    if auth.get("mode") == "token" and not cluster.get("rayVersion"):
        found.append("authOptions.mode token needs rayVersion")
    if auth.get("enableK8sTokenAuth") and kind != "RayCluster":
        found.append(f"authOptions.enableK8sTokenAuth: not for a {kind}")
    return found
