"""The night's RayJob is made once, from what the cluster has; over TLS, as a pod would."""

import copy
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from rayrank.run.rayjob import OF_TEMPLATE, main, rayjob

from ..clusters import ROOT

NAMESPACE = "ranking"
PLACE = f"/apis/ray.io/v1/namespaces/{NAMESPACE}"
TOKEN = "the pod's token"


def template() -> dict[str, Any]:
    """As the API server has it."""
    text = (ROOT / "k8s" / "base" / "raycronjob.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    found["metadata"] |= {"uid": "1234", "resourceVersion": "7", "namespace": NAMESPACE}
    return found


@dataclass
class Api:
    """An API server's memory: whose token it takes, what there is, what it is asked for."""

    account: Path
    port: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: str = ""

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path == f"{PLACE}/raycronjobs/rayrank-daily":
            return 200, template()
        if path == f"{PLACE}/rayjobs":
            key, _, value = query["labelSelector"][0].partition("=")
            items = [j for j in self.jobs.values() if j["metadata"]["labels"].get(key) == value]
            return 200, {"items": items}
        return 404, {"message": f"{path} not found"}

    def post(self, path: str, content: dict[str, Any]) -> tuple[int, Any]:
        assert path == f"{PLACE}/rayjobs"
        if self.refuses:
            return 403, {"message": self.refuses}
        name = content["metadata"]["name"]
        if name in self.jobs:
            return 409, {"message": "already exists"}
        self.jobs[name] = content
        return 201, content


def handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, content: Any) -> None:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, content = 401, {"message": "Unauthorized"}
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            self.answer(*api.get(asked.path, parse_qs(asked.query)))

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(*api.post(urlsplit(self.path).path, content))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
        -subj /CN=kubernetes -addext subjectAltName=IP:127.0.0.1 -keyout key -out ca.crt"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "namespace").write_text(NAMESPACE)
    api = Api(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(api))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.crt", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
    yield api
    server.shutdown()
    server.server_close()


def submit(api: Api, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    told = ["--template", "rayrank-daily", "--name", name, "--account", str(api.account)]
    monkeypatch.setattr("sys.argv", ["rayjob", *told])
    main()


def test_a_job_is_what_the_template_describes(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(api, monkeypatch, "rayrank-daily-1")
    made = api.jobs["rayrank-daily-1"]
    assert made == rayjob(template(), "rayrank-daily-1")
    assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", "RayJob")
    assert made["spec"] == template()["spec"]["jobTemplate"]
    labels = made["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/component": "training", OF_TEMPLATE: "rayrank-daily"}
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "name": "rayrank-daily", "uid": "1234"}
    ]
    assert capsys.readouterr().out == "RayJob rayrank-daily-1 is submitted\n"


def test_another_attempt_submits_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(api, monkeypatch, "rayrank-daily-1")
    before = copy.deepcopy(api.jobs)
    api.jobs["rayrank-daily-1"]["status"] = {"jobDeploymentStatus": "Running"}
    submit(api, monkeypatch, "rayrank-daily-1")
    assert api.jobs.keys() == before.keys()
    assert "RayJob rayrank-daily-1 is there already: Running" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        ("", True),
        ("Initializing", True),
        ("Running", True),
        ("Retrying", True),
        ("Complete", False),
        ("Failed", False),
        ("ValidationFailed", False),
    ],
)
def test_two_never_work_on_one_run(
    api: Api, monkeypatch: pytest.MonkeyPatch, status: str, waits: bool
) -> None:
    submit(api, monkeypatch, "rayrank-daily-1")
    api.jobs["rayrank-daily-1"]["status"] = {"jobDeploymentStatus": status}
    if waits:
        with pytest.raises(SystemExit, match=r"not submitted: rayrank-daily-1 \(\w+\) has not"):
            submit(api, monkeypatch, "rayrank-daily-2")
    else:
        submit(api, monkeypatch, "rayrank-daily-2")
    assert ("rayrank-daily-2" in api.jobs) is not waits


def test_what_the_server_refuses_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.refuses = "rayjobs.ray.io is forbidden"
    with pytest.raises(SystemExit, match=r"POST .*/rayjobs: 403, .*is forbidden"):
        submit(api, monkeypatch, "rayrank-daily-1")
    (api.account / "token").write_text("another's")
    with pytest.raises(SystemExit, match=r"GET .*: 401, .*Unauthorized"):
        submit(api, monkeypatch, "rayrank-daily-1")


def test_another_server_gets_no_token(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that those do not vouch for whom the pod is to trust."""
    other = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=other -keyout k -out ca.crt"
    )
    subprocess.run(other.split(), cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(SystemExit, match="CERTIFICATE_VERIFY_FAILED"):
        submit(api, monkeypatch, "rayrank-daily-1")
    assert not api.jobs
