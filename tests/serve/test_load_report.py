"""`jobs/bench_serve.py` on a deployed application: what it tells, and what it says at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rayrank.serve.load import Loaded, Sent, scored_within
from rayrank.serve.load_report import AtRate, LoadReport

from ..clusters import API_KEY, KEY_VARIABLE, ROOT, free_port
from ..told_server import told_server
from .app_client import Client, request

NAN = float("nan")


def bench_serve(
    *options: str | Path, key: str | None = API_KEY
) -> subprocess.CompletedProcess[str]:
    environment = {name: of for name, of in os.environ.items() if name != KEY_VARIABLE}
    if key is not None:
        environment[KEY_VARIABLE] = key
    command = [sys.executable, ROOT / "jobs" / "bench_serve.py", *options]
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, check=False, timeout=120
    )


def refused(*options: str | Path, key: str | None = API_KEY) -> str:
    ended = bench_serve(*options, key=key)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def test_who_was_scored_in_time_counts_from_when_it_was_due() -> None:
    sent = [
        Sent(0.0, 0.0, 0.08, 200, 1.0),
        Sent(1.0, 1.05, 1.09, 200, 1.0),
        Sent(2.0, 2.0, 2.01, 503, NAN),
        Sent(3.0, 3.0, 3.02, 200, 1.0),
    ]
    assert scored_within(sent, 80.0) == [sent[0], sent[3]]


def test_a_rate_at_which_nothing_was_scored_has_its_line() -> None:
    refused = [Sent(0.0, 0.0, 0.08, 503, NAN), Sent(1.0, 1.0, 1.02, 0, NAN)]
    at = AtRate(per_s=2.0, within_80_ms=0.0, loaded=Loaded.of(refused, 1000))
    report = LoadReport(url="", model={}, requests="mix", seconds=1, timeout_ms=1000, rates=[at])
    *_, told = report.table().splitlines()
    assert told.split() == [
        *("2.0", "2.0", "0.0", "-", "-", "-", "-", "0.0%", "80.0", "0.0"),
        *("1", "of", "no", "answer,", "1", "of", "503"),
    ]


def test_a_mix_and_a_file_are_loaded_and_told(client: Client, tmp_path: Path) -> None:
    url, out = str(client.http.base_url), tmp_path / "out" / "load.json"
    ended = bench_serve("--url", url, "--rates", "4,8", "--seconds", "1", "--mix", "--out", out)
    assert ended.returncode == 0, ended.stderr
    report = LoadReport.model_validate_json(out.read_text())
    assert [at.per_s for at in report.rates] == [4.0, 8.0]
    assert report.requests == "mix"
    for at in report.rates:
        statuses = at.loaded.statuses
        assert sum(statuses.values()) == at.loaded.requests > 0
        assert statuses.keys() <= {200, 503, 504}, "the mix fits this bundle"
        assert 0 <= at.within_80_ms <= statuses.get(200, 0) / at.loaded.requests
    assert len(ended.stdout.splitlines()) == 2 + 2
    picture = ElementTree.fromstring(out.with_suffix(".svg").read_text())
    assert report.model["version"] in "".join(picture.itertext())

    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(json.dumps(request(seed)) for seed in range(3)) + "\n")
    ended = bench_serve("--url", url, "--rates", "5", "--seconds", "1", "--requests", file)
    assert ended.returncode == 0, ended.stderr
    assert "of 200" in ended.stdout


def test_what_is_wrong_is_said_before_any_load(client: Client, tmp_path: Path) -> None:
    url = str(client.http.base_url)
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert f"{nowhere}: nobody answers" in refused("--url", nowhere, "--mix")
    assert "nobody answers" in refused("--url", "no url", "--mix")
    assert "refuses the key (401)" in refused("--url", url, "--mix", key="x" * 20)
    assert f"set {KEY_VARIABLE}" in refused("--url", url, "--mix", key=None)
    missing, empty = tmp_path / "none.jsonl", tmp_path / "empty.jsonl"
    empty.write_text("\n")
    assert f"{missing}: cannot be read" in refused("--url", url, "--requests", missing)
    assert f"{empty}: holds no request" in refused("--url", url, "--requests", empty)
    assert f"{missing}: holds no key" in refused("--url", url, "--mix", "--key-file", missing)
    assert "expected rates such as" in refused("--url", url, "--mix", "--rates", "5,none")
    assert "no request is due" in refused(
        "--url", url, "--mix", "--rates", "0.001", "--seconds", "1"
    )


def test_another_server_is_none_of_ours() -> None:
    with told_server(lambda _: (200, {}, {})) as (url, _):
        assert "answers 501, not 200" in refused("--url", url, "--mix")


@pytest.mark.parametrize("rates", ["0", "-1", "", "1e9"])
def test_a_rate_is_a_rate(rates: str) -> None:
    assert "expected rates such as 5,10,20" in refused("--mix", f"--rates={rates}")
