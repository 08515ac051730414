"""A pod's root is read-only: Ray, HAProxy and the endpoint write to /tmp and /dev/shm alone.

Under bubblewrap, with the image's own environment, as the pods' user, in a network of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rayrank.versions import CURRENT, name_version

from ..clusters import API_KEY, ROOT
from ..infer.bundles import trained, write
from ..k8s.test_image import STAGES
from ..serve.app_client import request

CHILD = Path(__file__).with_name("serve_read_only.py")
USER = "10001"


def bubblewrap(*options: str) -> list[str]:
    """A command that runs another where the root is read-only."""
    return [
        "bwrap",
        *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        # They may lie under /tmp themselves.
        *(f for place in (str(ROOT), sys.prefix) for f in ("--ro-bind", place, place)),
        *("--unshare-all", "--uid", USER, "--gid", USER, "--die-with-parent"),
        *options,
    ]


def why_not() -> str | None:
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    done = subprocess.run([*bubblewrap(), "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() or None


def test_the_endpoint_runs_on_a_read_only_root(tmp_path: Path) -> None:
    if (why := why_not()) is not None:
        pytest.skip(f"no sandbox: {why}")
    bundles = tmp_path / "bundles"
    name_version(bundles, CURRENT, write(bundles, trained("mtgr"), "mtgr").version)
    (tmp_path / "request.json").write_text(json.dumps(request(1)))
    keys = tmp_path / "keys"
    keys.write_text(API_KEY.replace(" ", "-"))
    given = {name: value for name, value in os.environ.items() if not name.startswith("RAY")}
    # The image's, but for where its packages are.
    given |= STAGES["runtime"].variables()
    given |= {"PATH": os.environ["PATH"], "RAYRANK_API_KEY_FILE": str(keys)}
    given["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [
            # /storage, of which serving reads.
            *bubblewrap("--ro-bind", str(tmp_path), str(tmp_path), "--chdir", "/"),
            *(sys.executable, str(CHILD), str(bundles), str(tmp_path / "request.json")),
        ],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["writable"] == ["/tmp", "/dev/shm"]
    assert told["statuses"] == [200, 401]
    assert told["haproxy"] == 1
    assert told["uid"] == int(USER)
