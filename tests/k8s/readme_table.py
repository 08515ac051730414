"""README.md's table of what each overlay needs, and the sums that it must tell."""

from collections.abc import Iterator
from functools import cache

from .objects import RAY_KINDS, ROOT, Object, title
from .quantities import GI
from .ray_groups import GPU, is_on_gpus, needs

README = ROOT / "k8s" / "README.md"
TOLD = (*RAY_KINDS, "StatefulSet")


def needs_faults(documents: list[Object]) -> Iterator[str]:
    column = 3 if is_on_gpus(documents) else 2
    for document in documents:
        if document["kind"] not in TOLD:
            continue
        said = spelt(document)
        rows = [row for row in table() if row[0] == row_of(document)]
        if [row[column:][:1] for row in rows] != [[said]]:
            yield f"{title(document)}: needs {said}; README.md says otherwise"


def row_of(document: Object) -> str:
    """What is told of the CronJob is what its RayJobs need, as their template says."""
    kind = "CronJob" if document["kind"] == "RayCronJob" else document["kind"]
    return f"{kind} `{document['metadata']['name']}`"


def spelt(document: Object) -> str:
    """`3.2 CPUs, 9.5 GiB`, and GPUs where there are any: of all its pods, at the most."""
    wanted = needs(document)
    cpus, memory, gpus = wanted["cpu"], wanted["memory"] / GI, wanted[GPU]
    said = f"{float(cpus):g} CPUs, {float(memory):g} GiB"
    return f"{said}, {float(gpus):g} GPUs" if gpus else said


@cache
def table() -> list[list[str]]:
    lines = [line for line in README.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
