"""The Dockerfile, as far as it can be checked without an engine to build it."""

import re
import shlex
from typing import NamedTuple

import pytest

from .objects import ROOT, Object

IMAGE = ROOT / "k8s" / "image"
IGNORED = "**/"  # Patterns for what lies anywhere below the copied folders.


class Step(NamedTuple):
    name: str
    arguments: str


def read_stages(text: str) -> list[list[Step]]:
    """The instructions of each stage, its FROM first; continued lines are joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[list[Step]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, arguments = line.split(maxsplit=1)
        if name == "FROM":
            stages.append([])
        stages[-1].append(Step(name, arguments))
    return stages


@pytest.fixture(scope="module")
def stages() -> list[list[Step]]:
    found = read_stages((IMAGE / "Dockerfile").read_text())
    assert len(found) == 2
    return found


def arguments(stage: list[Step], name: str) -> list[str]:
    return [step.arguments for step in stage if step.name == name]


def test_base_is_pinned(stages: list[list[Step]]) -> None:
    bases = {stage[0].arguments.split()[0] for stage in stages}
    # One base: the virtual environment moves from the first stage to the second.
    (base,) = bases
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base)


def test_user_is_the_pods(stages: list[list[Step]], manifests: list[Object]) -> None:
    (job,) = [m for m in manifests if m["kind"] == "RayJob"]
    context = job["spec"]["submitterPodTemplate"]["spec"]["securityContext"]
    last = stages[-1][-1]
    assert last == Step("USER", f"{context['runAsUser']}:{context['runAsGroup']}")
    assert last.arguments == "10001:10001"


def copied(stages: list[list[Step]]) -> list[str]:
    return [
        source
        for stage in stages
        for copy in arguments(stage, "COPY")
        if not copy.startswith("--from=")
        for source in shlex.split(copy)[:-1]
    ]


def test_copied_files_exist(stages: list[list[Step]]) -> None:
    missing = [source for source in copied(stages) if not (ROOT / source).exists()]
    assert not missing, f"the Dockerfile copies what the repository does not have: {missing}"


def test_what_is_copied_is_sent_and_nothing_else(stages: list[list[Step]]) -> None:
    ignore = (IMAGE / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith(("#", IGNORED))]
    assert patterns == ["*", *(f"!{source}" for source in copied(stages))]


def test_packages(stages: list[list[Step]]) -> None:
    installs = [run for run in arguments(stages[0], "RUN") if "pip install" in run]
    torch, ours = installs
    assert torch.endswith(" torch==2.13.0")
    assert ours == (
        "pip install -c constraints.txt '.[cpu]' && pip install --no-deps torchrec==1.8.0"
    )
    # The build says where from; the file names no package index.
    assert "://" not in (IMAGE / "Dockerfile").read_text()
    assert arguments(stages[0], "ARG") == ['TORCH_INDEX_URL=""']


def test_what_kuberay_and_ray_need(stages: list[list[Step]]) -> None:
    final = stages[-1]
    assert any("apt-get install" in run and " wget " in run for run in arguments(final, "RUN"))
    assert arguments(final, "WORKDIR") == ["/app"]
    (environment,) = arguments(final, "ENV")
    variables = dict(item.split("=", 1) for item in shlex.split(environment))
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert variables["PYTHONPATH"] == "/app"
    # As `make chaos-serve` tries it.
    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert variables["RAY_SERVE_HAPROXY_RETRY_ON"] == "conn-failure empty-response"
    # The library comes installed: no second copy of its source to disagree with it.
    targets = [copy.split()[-1] for copy in arguments(final, "COPY")]
    assert targets == ["/opt/venv", "jobs", "serve_apps"]
