"""Serve a bundle behind HAProxy and ask it, where nearly everything is read-only.

    python serve_read_only.py BUNDLES REQUEST

Prints what came of it: statuses with and without the key, and where it could write.
"""

import json
import os
import sys
from pathlib import Path

import httpx
import ray
from ray import serve
from rayrank.serve.app import build_app
from rayrank.serve.config import RankingArgs
from rayrank.serve.keys import key_of_environment

PORT = 8000


def may_write(folder: Path) -> bool:
    try:
        (folder / "written").touch()
    except OSError:
        return False
    return True


bundles, request = sys.argv[1:]
places = [Path("/"), Path("/usr"), Path(sys.prefix), Path(bundles), Path("/tmp"), Path("/dev/shm")]
writable = [str(place) for place in places if may_write(place)]
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": PORT, "request_timeout_s": 30})
serve.run(build_app(RankingArgs(bundles=bundles), replicas=1))
url, body = f"http://127.0.0.1:{PORT}/v1/rank", Path(request).read_bytes()
key = {"Authorization": f"Bearer {key_of_environment()}"}
statuses = [
    httpx.post(url, content=body, headers=told, timeout=60).status_code for told in (key, {})
]
haproxy = list(Path("/tmp/haproxy-serve").rglob("haproxy.cfg"))
told = {"statuses": statuses, "writable": writable, "haproxy": len(haproxy), "uid": os.getuid()}
print(json.dumps(told), flush=True)
serve.shutdown()
ray.shutdown()
