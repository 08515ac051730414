"""The base as `kubectl apply -k` would send it."""

import shutil
import subprocess

import pytest
import yaml

from .objects import ROOT, Object

BASE = ROOT / "k8s" / "base"


@pytest.fixture(scope="session")
def manifests() -> list[Object]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the manifests cannot be rendered")
    command = ["kubectl", "kustomize", str(BASE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
