"""What is secret is in no log: neither Ray's, nor a job's, nor the endpoint's, nor in a run."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..clusters import wait_until
from .cluster import KEY, PLANTED, Endpoint, Trained

WRONG = "a wrong key, which may be a right one elsewhere"
TOLD = "what a job itself prints"


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for place, _, names in os.walk(folder):
            yield from (Path(place) / name for name in names)


def holding(text: str, *folders: Path) -> list[Path]:
    """Files that hold a text; sockets, and what is gone by now, hold none."""
    found = []
    for file in files(*folders):
        try:
            if file.is_file() and text.encode() in file.read_bytes():
                found.append(file)
        except FileNotFoundError:
            continue
    return found


def test_no_secret_is_in_a_log(trained: Trained, endpoint: Endpoint) -> None:
    """After the whole pipeline with its check, the endpoint's deployment, and requests."""
    good = json.dumps(endpoint.requests[0])
    assert endpoint.post(good).status_code == 200
    assert endpoint.post(good, key=WRONG).status_code == 401
    # Whatever a job says is found, and so would a secret be.
    trained.submit(["python", "-c", f"print({TOLD!r}[::-1])"])
    session = trained.head.targets.parent
    wait_until("the job's log is written", lambda: bool(holding(TOLD[::-1], session)), 60)
    secrets = {"key": KEY, "token": trained.head.token, "wrong key": WRONG} | PLANTED
    run = Path(str(trained.run.folder))
    nodes = [*session.parent.glob("ray*")]  # each has its own folder
    assert len(nodes) == 2
    assert len(list(files(session))) > 50
    leaks = {
        name: [file.name for file in holding(secret, *nodes, run)]
        for name, secret in secrets.items()
    }
    assert {name: found for name, found in leaks.items() if found} == {}
    for name, secret in secrets.items():
        assert secret not in trained.said, name
