"""Every mistake that the schemas know of, at every place: refused, or looked at and let be."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from .checks import catcher
from .mutations import Mutation, mutations, schema_of, text_mutations
from .objects import RAY_KINDS, Object, Path_, find, of_kind, title
from .render import rendered
from .survivors import ELSEWHERE, SURVIVORS
from .test_manifests import needs_schemas

# Of each kind of manifest, how many mistakes there are at the least.
KINDS = {
    "ServiceAccount": 40,
    "Role": 40,
    "RoleBinding": 30,
    "PriorityClass": 35,
    "ConfigMap": 10,
    "PersistentVolumeClaim": 30,
    "PodDisruptionBudget": 25,
    "Service": 35,
    "StatefulSet": 200,
    "NetworkPolicy": 800,
    "CronJob": 150,
    "RayCluster": 400,
    "RayCronJob": 650,
    "RayService": 800,
}
QUEUES = {"ResourceFlavor": 8, "ClusterQueue": 40, "LocalQueue": 10}

Documents = list[Object]


def cases(document: Object) -> Iterator[tuple[Mutation, Object]]:
    for mutation in mutations(document):
        yield mutation, mutation.of(document)
    if document["kind"] == "RayService":
        yield from text_mutations(document)


def survivors(manifests: Documents, kind: str, others: Documents) -> tuple[set[str], int]:
    """Those that no check refuses, and of how many. Not at places that `others` have, too: they are
    looked at there."""
    found, count = set(), 0
    known = {title(document): document for document in others}
    for position, document in enumerate(manifests):
        if document["kind"] != kind or document == known.get(title(document)):
            continue
        for mutation, changed in cases(document):
            if title(document) in known and is_there(known[title(document)], document, mutation):
                continue
            count += 1
            documents = [*manifests[:position], changed, *manifests[position + 1 :]]
            if catcher(documents, [changed]) is None:
                found.add(f"{kind} {mutation.title}")
    return found, count


def is_there(other: Object, document: Object, mutation: Mutation) -> bool:
    """Whether another manifest has the same at this place."""
    if mutation.path[0] == "serveConfigV2":
        return at(other, ("spec", "serveConfigV2")) == at(document, ("spec", "serveConfigV2"))
    return bool(at(other, mutation.path) == at(document, mutation.path))


def at(value: Any, path: Path_) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def unexplained(found: set[str]) -> list[str]:
    explained = (*SURVIVORS, *ELSEWHERE)
    return sorted(s for s in found if not any(re.fullmatch(known, s) for known in explained))


def test_every_kind_is_mutated() -> None:
    for overlay in ("cpu", "gpu"):
        assert {document["kind"] for document in rendered(overlay)} <= set(KINDS)


@needs_schemas
@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_are_refused(manifests: Documents, kind: str) -> None:
    found, count = survivors(manifests, kind, [])
    print(f"{kind}: {count} mistakes, {len(found)} survive")
    assert not unexplained(found)
    assert count >= KINDS[kind]
    # And none is excused that is refused by now.
    ours = [known for known in SURVIVORS if re.fullmatch(known.split(" ")[0], kind)]
    assert not [known for known in ours if not any(re.fullmatch(known, s) for s in found)]


@needs_schemas
@pytest.mark.parametrize("kind", ["ConfigMap", "RayCluster", "RayCronJob", "RayService"])
def test_mistakes_where_the_other_overlay_differs(manifests: Documents, kind: str) -> None:
    found, count = survivors(rendered("gpu"), kind, manifests)
    print(f"{kind} on GPUs: {count} mistakes, {len(found)} survive")
    assert count >= 8
    assert not unexplained(found)


@needs_schemas
@pytest.mark.parametrize("kind", QUEUES)
def test_mistakes_in_queues(kind: str) -> None:
    found, count = survivors(rendered("gpu", "", ("kueue",)), kind, [])
    print(f"{kind}: {count} mistakes, {len(found)} survive")
    assert count >= QUEUES[kind]
    assert not unexplained(found)


@needs_schemas
def test_the_kinds_of_mistakes(manifests: Documents) -> None:
    """At a few places, each of what the schema says: the generator itself is looked at."""
    made = {mutation.title for mutation in mutations(find(manifests, "RayCronJob"))}
    job = ".spec.jobTemplate"
    container = f"{job}.rayClusterSpec.workerGroupSpecs[0].template.spec.containers[0]"
    for mistake in (
        f"no such word: {job}.rayClusterSpec.authOptions.mode",
        f"no such word: {job}.submitterPodTemplate.spec.restartPolicy",
        f"left out: {container}.name",
        f"misspelt: {container}.resources.limits.cpu",
        f"no quantity: {container}.resources.limits.memory",
        f"no name: {container}.volumeMounts[0].name",
        f"too small: {job}.backoffLimit",
        f"too large: {job}.activeDeadlineSeconds",
        "wrong type: .spec.suspend",
        f"another: {job}.entrypoint",
    ):
        assert mistake in made


@needs_schemas
@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_found(manifests: Documents, kind: str) -> None:
    """Else there would be no words and no misspelt keys to try."""
    known = schema_of(of_kind(manifests, kind)[0])["properties"]
    assert "spec" in known or kind not in (*RAY_KINDS, "CronJob", "Service", "StatefulSet")
