"""What an API server and the KubeRay operator would say to one manifest, without either.

For a custom resource: defaults, then JSON Schema without unknown fields, then the schema's CEL
rules (../shared/k8s-schemas), its pod templates as Pods, then what KubeRay v1.7 itself refuses. For
a built-in kind: kubernetes-validate. For both, what an API server checks beyond schemas. Each
function returns the faults it finds, one line each; what is behind the schemas is only looked at
once they are content.
"""

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import cel
import jsonschema
import kubernetes_validate

from .as_run import as_run
from .builtin_faults import CHECKS
from .kueue_faults import demand_faults
from .made_jobs import made_job
from .names import metadata_faults
from .objects import ROOT, Object, Pod, pods, spell, walk
from .operator_faults import operator_faults
from .pod_faults import pod_faults

SCHEMAS = ROOT.parent / "shared" / "k8s-schemas"
KUBERNETES_VERSION = "1.32"

# It reads its definitions, which are large, for each object anew.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

WITHOUT_SPEC = (
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "Role",
    "RoleBinding",
    "PriorityClass",
    "ResourceFlavor",
)
POD_AT = {
    "StatefulSet": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
# Of 64 bits, all others of 32.
LONG = {
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "startingDeadlineSeconds",
    "expirationSeconds",
    "tolerationSeconds",
}
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("int32")
def is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@FORMATS.checks("int64")
def is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def is_custom(document: Object) -> bool:
    group = document["apiVersion"].split("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def shape_faults(document: Object) -> list[str]:
    """The schemas of built-in kinds require none of these."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "name" not in metadata:
        return ["$.metadata.name: missing"]
    if document["kind"] not in WITHOUT_SPEC and "spec" not in document:
        return ["$.spec: missing"]
    place = document
    for step in POD_AT.get(document["kind"], ()):
        place = place.get(step, {}) if isinstance(place, dict) else {}
    if document["kind"] in POD_AT and (not isinstance(place, dict) or "containers" not in place):
        return ["$: no pod in it"]
    return []


def number_faults(document: Object) -> list[str]:
    """The schemas of built-in kinds do not bound numbers."""
    return [
        f"${spell(path)}: {value} is too large"
        for path, value in walk(document)
        if isinstance(value, int) and abs(value) >= 2 ** (63 if path[-1] in LONG else 31)
    ]


def faults(document: Object) -> list[str]:
    found = own_faults(document)
    if found or document["kind"] != "RayCronJob":
        return found
    return [f"its RayJob: {fault}" for fault in own_faults(made_job(document))]


def own_faults(document: Object) -> list[str]:
    if shape_faults(document):
        return shape_faults(document)
    if is_custom(document):
        document = copy.deepcopy(document)
        schema = custom_schema(document)
        apply_defaults(schema, document)
        found = [
            *builtin_schema_faults(bare(document["metadata"])),
            *schema_faults(document),
        ] or cel_faults(schema, document)
    else:
        found = builtin_schema_faults(document) + number_faults(document)
    if found:
        return found
    templates = list(pods(as_run(document), document["kind"]))
    for pod in templates if is_custom(document) else []:
        found += builtin_schema_faults(as_pod(pod))
    return found or [
        *metadata_faults(document["metadata"], "$.metadata"),
        *(fault for pod in templates for fault in template_faults(pod)),
        *CHECKS.get(document["kind"], lambda document: [])(document),
        *operator_faults(document),
        *demand_faults(document),
    ]


def template_faults(pod: Pod) -> list[str]:
    return [*metadata_faults({"labels": pod.labels}, pod.where), *pod_faults(pod)]


def builtin_schema_faults(document: Object) -> list[str]:
    return list(_builtin_schema_faults(json.dumps(document)))


@cache
def _builtin_schema_faults(text: str) -> tuple[str, ...]:
    """Of most manifests one pod in several changes: what was looked at is known."""
    document = json.loads(text)
    try:
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return (f"{error.json_path}: {error.message}",)
    except kubernetes_validate.SchemaNotFoundError:
        return (f"$: Kubernetes has no {document['apiVersion']} {document['kind']}",)
    return ()


def bare(metadata: Object) -> Object:
    """A custom resource's schema leaves `metadata` open; it is the same in every kind."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def as_pod(pod: Pod) -> Object:
    metadata = {"name": "a", "labels": pod.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod.spec}


@cache
def read_schema(file: str) -> Object:
    schema: Object = json.loads((SCHEMAS / file).read_text())
    return schema


def schema_file(document: Object) -> str:
    group, version = document["apiVersion"].split("/")
    return f"{document['kind'].lower()}.{group}_{version}.json"


def custom_schema(document: Object) -> Object:
    return read_schema(schema_file(document))


@cache
def validator(file: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(closed(read_schema(file)), format_checker=FORMATS)


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


def schema_faults(document: Object) -> list[str]:
    errors = validator(schema_file(document)).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


def cel_faults(schema: Object, value: Any, path: str = "$") -> list[str]:
    found = []
    for rule in schema.get("x-kubernetes-validations", []):
        # Rules on `oldSelf` compare with the object before an update: there is none here.
        if "oldSelf" not in rule["rule"] and not cel.evaluate(rule["rule"], {"self": value}):
            found.append(f"{path}: {rule['message']}")
    for below, item, step in children(schema, value):
        found += cel_faults(below, item, path + step)
    return found
