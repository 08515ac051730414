"""Write k8s/image/*.lock: for each image every package's version and its wheel's SHA-256.

    make locks [TORCH_INDEX=<url of PyTorch's CPU wheels>]

pip itself resolves pyproject.toml under constraints.txt, for the Python and the machine that this
runs on: the image's, Python 3.11 on Linux and x86-64. The lock says of each wheel what it is, not
where it came from: no index is named, and one with another file under a name is refused.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HEAD = "# Made by 'make locks' from pyproject.toml and constraints.txt: Python 3.11, Linux, x86-64."


class Target(NamedTuple):
    """What an image holds."""

    extras: str
    """Of pyproject.toml."""
    cuda: bool


TARGETS = {
    "cpu": Target("cpu,s3", cuda=False),
    "gpu": Target("gpu,s3", cuda=True),
    "serving": Target("serve,s3", cuda=False),
    "serving-gpu": Target("serve,triton,s3", cuda=True),
}
APART = "torchrec"
"""Has a lock of its own: installed last, without its dependencies, which name GPU packages."""


class Locked(NamedTuple):
    """A line of a lock."""

    name: str
    version: str
    sha256: str


def files_of(target: str) -> list[Path]:
    """The locks of an image."""
    apart = [APART] if not target.startswith("serving") else []
    return [HERE / f"{name}.lock" for name in (target, *apart)]


def read(target: str) -> list[Locked]:
    """What an image holds, rayrank itself aside."""
    found = []
    for file in files_of(target):
        for line in file.read_text().splitlines():
            if not line.startswith("#"):
                pin, digest = line.split(" --hash=sha256:")
                name, version = pin.split("==")
                found.append(Locked(name, version, digest))
    return found


def constraints() -> dict[str, str]:
    """Package -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {plain(name): version for name, version in pins}


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


def resolve(*told: str) -> list[dict[str, Any]]:
    """What pip would install into an empty environment: wheels only."""
    with tempfile.TemporaryDirectory() as folder:
        report = f"{folder}/report.json"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        options = [
            "--dry-run",
            "--ignore-installed",
            "--only-binary=:all:",
            "--report",
            str(report),
        ]
        subprocess.run([*pip, *options, *told], check=True, cwd=ROOT)
        installs: list[dict[str, Any]] = json.loads(Path(report).read_text())["install"]
    return installs


def lines_of(installs: list[dict[str, Any]]) -> list[str]:
    """A line for each package but rayrank itself, which has no wheel on an index."""
    lines = []
    for one in installs:
        name, version = plain(one["metadata"]["name"]), one["metadata"]["version"]
        if name != "rayrank":
            digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
            lines.append(f"{name}=={version} --hash=sha256:{digest}")
    return sorted(lines)


def lock(target: Target, index: Sequence[str]) -> list[str]:
    """The lines of one image. index: options of pip."""
    pins = constraints()
    # torch's builds for CPUs and for CUDA are versions of one name: 2.13.0+cpu, and 2.13.0 exactly.
    torch = pins.pop("torch")
    wanted = f"torch==={torch.split('+')[0]}" if target.cuda else f"torch=={torch}"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in pins.items())
        file.flush()
        found = resolve(*index, "-c", file.name, wanted, f".[{target.extras}]")
    return lines_of(found)


def write(name: str, lines: list[str]) -> None:
    (HERE / f"{name}.lock").write_text("\n".join([HEAD, *lines]) + "\n")
    print(f"k8s/image/{name}.lock: {len(lines)} packages")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--torch-index", help="where torch's CPU wheels are, beside pip's own index"
    )
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="all unless said")
    told = parser.parse_args()
    index = ["--extra-index-url", told.torch_index] if told.torch_index else []
    for name in told.targets or TARGETS:
        target = TARGETS[name]
        write(name, lock(target, [] if target.cuda else index))
    write(APART, lines_of(resolve("--no-deps", f"{APART}=={constraints()[APART]}")))


if __name__ == "__main__":
    main()
