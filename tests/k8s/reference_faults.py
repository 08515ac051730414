"""What one manifest names, another one is: accounts, claims, settings, priorities, secrets."""

from collections.abc import Iterator
from typing import Any

from .as_run import own_claims, run_pods
from .objects import Object, Pod, cluster_of, of_kind, ray_documents, walk

MADE_BY_KUBERNETES = {"ServiceAccount": {"default"}, "ConfigMap": {"kube-root-ca.crt"}}
# Made by hand, as README.md says: of each, the files in it.
SECRETS = {
    "rayrank-api-key": {"api-key"},
    "rayrank-redis": {"password"},
    "rayrank-object-store": {"credentials"},
}


def reference_faults(documents: list[Object]) -> list[str]:
    found = []
    for document in documents:
        for pod in run_pods(document):
            faults = pod_reference_faults(pod, documents, own_claims(document))
            found += [f"{pod.where}: {fault}" for fault in faults]
    for document in ray_documents(documents):
        options = cluster_of(document).get("gcsFaultToleranceOptions", {})
        found += secret_faults(options)
    used = {name for document in documents for pod in run_pods(document) for name in accounts(pod)}
    for account in of_kind(documents, "ServiceAccount"):
        if account["metadata"]["name"] not in used:
            found.append(f"no pod has the account {account['metadata']['name']!r}")
    return found


def accounts(pod: Pod) -> list[str]:
    return [pod.spec.get("serviceAccountName", "default")]


def pod_reference_faults(pod: Pod, documents: list[Object], claims: set[str]) -> Iterator[str]:
    wanted = [("ServiceAccount", name) for name in accounts(pod)]
    wanted += [("PriorityClass", pod.spec[k]) for k in ("priorityClassName",) if k in pod.spec]
    for path, value in walk(pod.spec):
        if path[-1] == "claimName" and value not in claims:
            wanted.append(("PersistentVolumeClaim", value))
        if path[-1] in ("configMapKeyRef", "configMapRef"):
            wanted.append(("ConfigMap", value["name"]))
        if path[-1] == "configMap":
            wanted.append(("ConfigMap", value["name"]))
            if value["name"] == "kube-root-ca.crt" and value.get("items") != ROOT_CA:
                yield f"of {value['name']} wants {value.get('items')}"
        if "optional" in path[-1:] and value:
            yield "what is optional may be missing without a word"
    for kind, name in wanted:
        known = {d["metadata"]["name"] for d in of_kind(documents, kind)}
        if name not in known | MADE_BY_KUBERNETES.get(kind, set()):
            yield f"there is no {kind} {name!r}"
    yield from secret_faults(pod.spec)


ROOT_CA = [{"key": "ca.crt", "path": "ca.crt"}]


def secret_faults(value: Any) -> Iterator[str]:
    for path, item in walk(value):
        if path[-1] == "secretName" and item not in SECRETS:
            yield f"nobody makes a secret {item!r}"
        if path[-1] == "secretKeyRef" and item.get("key") not in SECRETS.get(item.get("name"), ()):
            yield f"nobody makes a secret {item.get('name')!r} with the key {item.get('key')!r}"
