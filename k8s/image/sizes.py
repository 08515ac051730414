"""How large each image will be: the files of its locked wheels, and the ten largest packages.

    make image-sizes

An estimate, since it needs no engine: every wheel is fetched (several GB for CUDA) and checked
against its lock, and what it unpacks to is added up. The base image, Debian's wget (some 4 MB with
what it needs) and compiled bytecode (a fifth of all this, but for CUDA's) come on top.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

from locks import ROOT, TARGETS, files_of, plain

WHEELS = ROOT / "build" / "wheels"
MB = 1e6
LARGEST = 10


def wheels(target: str, *options: str) -> list[Path]:
    """All of an image's wheels, fetched where they are not there yet."""
    folder = WHEELS / target
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    for lock in files_of(target):
        subprocess.run(
            [*pip, "--no-deps", "--require-hashes", "--dest", folder, "-r", lock, *options],
            check=True,
        )
    return sorted(folder.glob("*.whl"))


def unpacked_mb(wheel: Path) -> float:
    """What its files take, uncompressed."""
    with zipfile.ZipFile(wheel) as content:
        return sum(file.file_size for file in content.infolist()) / MB


def main() -> None:
    print("| image | packages | to pull, GB | on disk, GB | the ten largest, MB |")
    print("|---|---|---|---|---|")
    for target in TARGETS:
        found = wheels(target, *sys.argv[1:])
        size = {plain(wheel.name.split("-")[0]): unpacked_mb(wheel) for wheel in found}
        packed = sum(wheel.stat().st_size for wheel in found) / MB
        largest = sorted(size, key=lambda name: -size[name])[:LARGEST]
        told = ", ".join(f"{name} {size[name]:.0f}" for name in largest)
        total = f"{packed / 1000:.2f} | {sum(size.values()) / 1000:.2f}"
        print(f"| {target} | {len(found)} | {total} | {told} |", flush=True)


if __name__ == "__main__":
    main()
