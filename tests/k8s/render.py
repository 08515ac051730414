"""Overlays as `kubectl apply -k` would send them, also with another storage or with options."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from .objects import ROOT, Object

K8S = ROOT / "k8s"
OVERLAYS = ("cpu", "gpu")
STORAGES = ("volume", "object-store")
OPTIONS = ("kueue", "volcano", "raycronjob", "incremental-upgrade")


@cache
def rendered(overlay: str, storage: str = "", options: tuple[str, ...] = ()) -> list[Object]:
    """Not to be changed: others get the same."""
    folder = K8S / "overlays" / overlay
    if not storage and not options:
        return kustomize(folder)
    with tempfile.TemporaryDirectory(prefix="overlay-") as place:
        changed = adapted(folder, Path(place), storage, options)
        (Path(place) / "kustomization.yaml").write_text(yaml.safe_dump(changed))
        return kustomize(Path(place))


def adapted(folder: Path, place: Path, storage: str, options: tuple[str, ...]) -> Any:
    """An overlay's kustomization as a person would change it, for another place."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    components = [folder / component for component in told.get("components", [])]
    if storage:
        components = [c.parent / storage if c.name in STORAGES else c for c in components]
    components += [K8S / "options" / option for option in options]
    told["components"] = [os.path.relpath(c.resolve(), place.resolve()) for c in components]
    told["resources"] = [
        os.path.relpath((folder / resource).resolve(), place.resolve())
        for resource in told["resources"]
    ]
    return told


def kustomize(folder: Path) -> list[Object]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the manifests cannot be rendered")
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
