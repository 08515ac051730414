"""Every mistake that the schemas know of, at every place: refused, or looked at and let be."""

import re
from collections.abc import Iterator

import pytest

from .checks import catcher
from .mutations import Mutation, mutations, schema_of, text_mutations
from .objects import RAY_KINDS, Object, find, of_kind
from .test_manifests import needs_schemas

KINDS = ("ServiceAccount", "PersistentVolumeClaim", "NetworkPolicy", *RAY_KINDS)

# What passes, looked at one by one, and why it does no harm.
SURVIVORS = {
    r"NetworkPolicy another: \.metadata\.name": "nothing refers to it",
    r"NetworkPolicy left out: .*\.ports\[\d\]\.protocol": "it is TCP unless said",
    r"Ray\w+ left out: .*\.rayStartParams": "there is none in it; the operator gives its own",
    r"Ray\w+ another: .*\.groupName": "a part of pods' names; nothing refers to it",
    r"RayJob another: .*\.(activeDeadlineSeconds|ttlSecondsAfterFinished)": "a second more",
    r"RayJob left out: .*\.backoffLimit": "it is 0 unless said",
    r"RayJob another: .*\.backoffLimit": "one more attempt, which resumes; checkpoints are fenced",
    r"RayJob another: .*\.job_name": "what the dashboard calls it",
    r"RayJob left out: .*\.submitterPodTemplate\.spec\.restartPolicy": "the operator says Never",
    r"RayService another: .*\.terminationGracePeriodSeconds": "a second more to stop in",
}


def cases(document: Object) -> Iterator[tuple[Mutation, Object]]:
    for mutation in mutations(document):
        yield mutation, mutation.of(document)
    if document["kind"] == "RayService":
        yield from text_mutations(document)


def survivors(manifests: list[Object], kind: str) -> tuple[set[str], int]:
    """Those that no check refuses, and of how many."""
    found, count = set(), 0
    for position, document in enumerate(manifests):
        if document["kind"] != kind:
            continue
        for mutation, changed in cases(document):
            count += 1
            documents = [*manifests[:position], changed, *manifests[position + 1 :]]
            if catcher(documents, [changed]) is None:
                found.add(f"{kind} {mutation.title}")
    return found, count


def test_every_kind_is_mutated(manifests: list[Object]) -> None:
    assert {document["kind"] for document in manifests} == set(KINDS)


@needs_schemas
@pytest.mark.parametrize(("kind", "least"), zip(KINDS, (15, 30, 600, 400, 650, 650), strict=True))
def test_mistakes_are_refused(manifests: list[Object], kind: str, least: int) -> None:
    found, count = survivors(manifests, kind)
    assert count >= least
    unseen = [s for s in found if not any(re.fullmatch(known, s) for known in SURVIVORS)]
    assert not unseen
    # And none is excused that is refused by now.
    ours = [known for known in SURVIVORS if re.match(known.split(" ")[0], kind)]
    assert not [known for known in ours if not any(re.fullmatch(known, s) for s in found)]


@needs_schemas
def test_the_kinds_of_mistakes(manifests: list[Object]) -> None:
    """At a few places, each of what the schema says: the generator itself is looked at."""
    made = {mutation.title for mutation in mutations(find(manifests, "RayJob"))}
    container = ".spec.rayClusterSpec.workerGroupSpecs[0].template.spec.containers[0]"
    for title in (
        "no such word: .spec.rayClusterSpec.authOptions.mode",
        "no such word: .spec.submitterPodTemplate.spec.restartPolicy",
        f"left out: {container}.name",
        f"misspelt: {container}.resources.limits.cpu",
        f"no quantity: {container}.resources.limits.memory",
        f"no name: {container}.volumeMounts[0].name",
        "too small: .spec.backoffLimit",
        "too large: .spec.ttlSecondsAfterFinished",
        "wrong type: .spec.shutdownAfterJobFinishes",
        "another: .spec.entrypoint",
    ):
        assert title in made


@needs_schemas
@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_found(manifests: list[Object], kind: str) -> None:
    """Else there would be no words and no misspelt keys to try."""
    assert "spec" in schema_of(of_kind(manifests, kind)[0])["properties"] or kind == KINDS[0]
