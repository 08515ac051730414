"""Serving runs with what its lock holds, and needs nothing of training's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rayrank.versions import CURRENT, name_version

from ..clusters import API_KEY, KEY_VARIABLE, ROOT
from ..infer.bundles import trained, write
from ..serve.app_client import request

LOCKS = ROOT / "k8s" / "image"
CHILD = Path(__file__).with_name("serve_locked.py")
OF_TRAINING = {"torchrec", "fbgemm-gpu-cpu", "fbgemm-gpu", "lightgbm", "pandas", "scipy", "httpx"}
OF_TRAINING |= {"tensordict", "tensorboardx", "torchmetrics", "mlflow-skinny", "rich", "tqdm"}


def serve(lock: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process that can import what a lock holds."""
    bundles = folder / "bundles"
    name_version(bundles, CURRENT, write(bundles, trained("mtgr"), "mtgr").version)
    (folder / "request.json").write_text(json.dumps(request(1)))
    # Not this process's path, to which Ray has added by now what it brings along.
    paths = [str(ROOT), str(ROOT / "platform"), str(ROOT / "kernels")]
    return subprocess.run(
        [sys.executable, str(CHILD), str(lock), str(bundles), str(folder / "request.json")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), KEY_VARIABLE: API_KEY},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["serving", "serving-gpu"])
def test_a_bundle_is_served_with_the_locked_packages_alone(tmp_path: Path, name: str) -> None:
    done = serve(LOCKS / f"{name}.lock", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert len(told["scores"]["click"]) == len(request(1)["candidates"]["item"])
    assert {"torch", "ray", "pyarrow", "safetensors", "fastapi", "numba"} <= set(told["packages"])


def test_a_package_that_the_lock_lacks_is_missed(tmp_path: Path) -> None:
    lines = (LOCKS / "serving.lock").read_text().splitlines()
    lock = tmp_path / "short.lock"
    lock.write_text("\n".join(line for line in lines if not line.startswith("orjson==")))
    done = serve(lock, tmp_path)
    assert done.returncode != 0
    assert "No module named 'orjson'" in done.stderr


@pytest.mark.parametrize("name", ["serving", "serving-gpu"])
def test_nothing_of_trainings_is_in_it(name: str) -> None:
    lines = (LOCKS / f"{name}.lock").read_text().splitlines()
    held = {line.split("==")[0] for line in lines if not line.startswith("#")}
    assert not held & OF_TRAINING
    assert len(held) > 80
