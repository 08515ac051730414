"""The Dockerfile, as far as it can be checked without an engine to build it."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from locks import APART, TARGETS

from .objects import ROOT, Object

IMAGE = ROOT / "k8s" / "image"
DOCKERFILE = IMAGE / "Dockerfile"
IGNORED = "**/"  # Patterns for what lies anywhere below the copied folders.
SECRET = re.compile(r"(?i)key|token|secret|password|credential")


class Step(NamedTuple):
    name: str
    arguments: str


class Stage(NamedTuple):
    base: str
    steps: list[Step]

    def all(self, name: str) -> list[str]:
        """The arguments of each instruction of one kind."""
        return [step.arguments for step in self.steps if step.name == name]

    def variables(self) -> dict[str, str]:
        return dict(item.split("=", 1) for told in self.all("ENV") for item in shlex.split(told))


def read_steps(text: str) -> list[Step]:
    """Every instruction; continued lines are joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in filter(None, joined.splitlines())]


def read_stages(text: str) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    for step in read_steps(text):
        if step.name == "FROM":
            base, word, name = step.arguments.split()
            assert word == "AS"
            stages[name] = Stage(base, [])
        elif stages:
            stages[name].steps.append(step)
    return stages


STEPS = read_steps(DOCKERFILE.read_text())
STAGES = read_stages(DOCKERFILE.read_text())


def test_every_image_is_a_target_and_cpu_is_the_default() -> None:
    assert TARGETS.keys() <= STAGES.keys()
    assert list(STAGES)[-1] == "cpu"
    for name in TARGETS:
        assert STAGES[name].base == "runtime"


def test_base_is_pinned_and_may_be_by_digest() -> None:
    # Of the first stages: all others start from those.
    told = {stage.base for stage in STAGES.values()} - STAGES.keys() - {"scratch"}
    # One base: the virtual environment moves from the first stage to the second.
    assert told == {"${PYTHON_IMAGE}"}
    (default,) = [step.arguments for step in STEPS if step.arguments.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(
        r"PYTHON_IMAGE=python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", default
    )
    assert STEPS[0] == Step("ARG", default)


def test_its_python_is_the_one_that_is_tested() -> None:
    minor = re.search(r"python:(\d+)\.(\d+)", DOCKERFILE.read_text())
    assert minor is not None
    assert tuple(map(int, minor.groups())) == sys.version_info[:2]
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["python_version"] == ".".join(minor.groups())


def test_user_is_the_pods(manifests: list[Object]) -> None:
    (job,) = [m for m in manifests if m["kind"] == "RayCronJob"]
    submitter = job["spec"]["jobTemplate"]["submitterPodTemplate"]
    context = submitter["spec"]["securityContext"]
    last = STAGES["runtime"].steps[-1]
    assert last == Step("USER", f"{context['runAsUser']}:{context['runAsGroup']}")
    assert last.arguments == "10001:10001"
    # And stays so: no image becomes another user, or runs anything, after it.
    for name in TARGETS:
        assert {step.name for step in STAGES[name].steps} == {"COPY"}


def copied() -> list[str]:
    found = [
        source
        for stage in STAGES.values()
        for copy in stage.all("COPY")
        if not copy.startswith("--from=")
        for source in shlex.split(copy)[:-1]
    ]
    return list(dict.fromkeys(found))


def test_copied_files_exist() -> None:
    missing = [source for source in copied() if not (ROOT / source).exists()]
    assert not missing, f"the Dockerfile copies what the repository does not have: {missing}"
    for stage in STAGES.values():
        for copy in stage.all("COPY"):
            if copy.startswith("--from="):
                assert copy.split()[0].removeprefix("--from=") in STAGES


def test_what_is_copied_is_sent_and_nothing_else() -> None:
    ignore = (IMAGE / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith(("#", IGNORED))]
    locks = "k8s/image/*.lock"
    sent = [locks if Path(source).match(locks) else source for source in copied()]
    assert patterns[0] == "*"
    assert set(patterns[1:]) == {f"!{source}" for source in sent}


@pytest.mark.parametrize("target", TARGETS)
def test_packages_are_those_of_its_lock(target: str) -> None:
    packages = STAGES[f"packages-{target}"]
    assert packages.base == "build"
    locked, ours = packages.all("RUN")
    # Only torch's CPU build may come from an index beside pip's own; whose hash is known, too.
    index = '${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} '
    beside = "" if TARGETS[target].cuda else index
    commands = [f"pip install --require-hashes {beside}-r {target}.lock"]
    if not target.startswith("serving"):
        commands += [f"pip install --require-hashes --no-deps -r {APART}.lock"]
    assert locked == " && ".join(commands)
    # Rayrank itself: its build takes nothing from an index either.
    assert ours == "pip install --no-deps --no-build-isolation --no-index ."
    (locks,) = [copy.split()[:-1] for copy in packages.all("COPY") if ".lock" in copy]
    assert [Path(lock).stem for lock in locks] == re.findall(r"-r ([\w-]+)\.lock", locked)
    # The image takes this stage's environment and no other's.
    assert f"--from=packages-{target} /opt/venv /opt/venv" in STAGES[target].all("COPY")


def test_nothing_else_is_installed_by_pip() -> None:
    installs = [step.arguments for step in STEPS if "pip install" in step.arguments]
    assert len(installs) == 2 * len(TARGETS)
    assert STAGES["build"].variables()["PIP_ONLY_BINARY"] == ":all:"


def test_it_holds_no_secret_and_names_no_index() -> None:
    # The build says where from.
    assert "://" not in DOCKERFILE.read_text()
    assert STAGES["build"].all("ARG") == ['TORCH_INDEX_URL=""']
    assert sum(step.name == "ARG" for step in STEPS) == 2
    for stage in STAGES.values():
        assert not [name for name in stage.variables() if SECRET.search(name)]


def test_what_kuberay_and_ray_need() -> None:
    runtime = STAGES["runtime"]
    assert any("apt-get install" in run and " wget " in run for run in runtime.all("RUN"))
    assert runtime.all("WORKDIR") == ["/app"]
    variables = runtime.variables()
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert variables["PYTHONPATH"] == "/app"
    # As `make chaos-serve` tries it.
    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert variables["RAY_SERVE_HAPROXY_RETRY_ON"] == "conn-failure empty-response"
    # What is written outside /tmp, /dev/shm and /storage fails: tests/image/test_read_only_root.py.
    assert variables["HOME"] == "/tmp"
    assert "ln -s /tmp /app/runs" in runtime.all("RUN")


@pytest.mark.parametrize("target", TARGETS)
def test_the_library_comes_installed(target: str) -> None:
    """No second copy of its source to disagree with it; and serving has no jobs."""
    targets = [copy.split()[-1] for copy in STAGES[target].all("COPY")]
    jobs = [] if target.startswith("serving") else ["jobs"]
    assert targets == ["/opt/venv", *jobs, "serve_apps"]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: make test installs it")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
