"""The labels of objects and pods, by which policies, monitors and commands find them."""

from collections.abc import Iterator

from .kueue_faults import QUEUE, VOLCANO
from .objects import Object, Pod, of_kind

COMPONENT, PART_OF = "app.kubernetes.io/component", "app.kubernetes.io/part-of"
OBJECT_LABELS = {"app.kubernetes.io/name": "rayrank", PART_OF: "rayrank"}
# By kind, or by kind and name; `platform` is what the rest stands on.
COMPONENTS = {
    "RayCluster": "workbench",
    "RayCronJob": "training",
    "CronJob": "training",
    "RayService": "serving",
    "StatefulSet": "redis",
    "Service": "redis",
    "PodMonitor": "monitoring",
    "PrometheusRule": "monitoring",
}
# By which Grafana's sidecar finds its dashboards.
DASHBOARD = {"grafana_dashboard": "1"}
# Of no Ray cluster: no policy for those lets it in.
OF_PODS = {"CronJob": "schedule"}
PRIORITY = "ray.io/priority-class-name"
SCHEDULING = (QUEUE, VOLCANO, PRIORITY)


def component(document: Object) -> str:
    if is_dashboard(document):
        return "monitoring"
    return COMPONENTS.get(document["kind"], "platform")


def is_dashboard(document: Object) -> bool:
    labels = document["metadata"].get("labels", {})
    return document["kind"] == "ConfigMap" and DASHBOARD.items() <= labels.items()


def object_label_faults(document: Object, documents: list[Object]) -> Iterator[str]:
    """README.md applies them by component, the platform first."""
    labels = dict(document["metadata"].get("labels", {}))
    scheduling = {key: labels.pop(key) for key in SCHEDULING if key in labels}
    wanted = {**OBJECT_LABELS, COMPONENT: component(document)}
    wanted |= DASHBOARD if is_dashboard(document) else {}
    if labels != wanted:
        yield f"labels are {labels}, not {wanted}"
    if scheduling and document["kind"] != "RayCronJob":
        yield f"{', '.join(scheduling)}: for the job's template"
    known = {d["metadata"]["name"] for d in of_kind(documents, "PriorityClass")}
    if scheduling.get(PRIORITY) not in {None, *known}:
        yield f"no priority class {scheduling[PRIORITY]!r}"
    if VOLCANO in scheduling and (PRIORITY not in scheduling or scheduling[VOLCANO] != "default"):
        yield "Volcano's own queue is `default`, and it wants to be told the priority"
    job = document.get("spec", {}).get("jobTemplate", {}).get("metadata", {})
    if document["kind"] == "CronJob" and job.get("labels") != {COMPONENT: component(document)}:
        yield f"labels of its Jobs are {job.get('labels')}"


def pod_label_faults(document: Object, pod: Pod) -> Iterator[str]:
    """No app.kubernetes.io/name: KubeRay's head Service selects its own value of it."""
    wanted = OF_PODS.get(document["kind"], component(document))
    if pod.labels != {PART_OF: "rayrank", COMPONENT: wanted}:
        yield f"labels are {pod.labels}"
