"""The job that plans: every table, a line for every number of ranks, and nothing changed."""

import runpy
import sys
from pathlib import Path

import pytest
import yaml
from rayrank.run.config import load_config
from rayrank.run.plan import RANKS_HEAD, aligned
from rayrank.run.run import Run
from rayrank.run.stages import build

from ..clusters import ROOT
from ..jobs.podcasts import write_podcasts


@pytest.fixture(scope="module")
def config(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that has built its rows."""
    folder = tmp_path_factory.mktemp("planned")
    write_podcasts(folder / "log", listeners=6, days=3)
    content = {
        "run_dir": str(folder / "run"),
        "data": {"source": "parquet", "path": str(folder / "log"), "partitions": 2},
        "rankers": {
            "one": {"model": {"kind": "mtgr", "d_model": 32, "heads": 2}},
            "two": {"model": {"kind": "dlrm"}, "train": {"max_cost": 30}},
        },
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    build(Run(load_config(str(folder / "run.yaml"))))
    return folder / "run.yaml"


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *told: str) -> str:
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["plan.py", *told])
    runpy.run_path(str(ROOT / "jobs" / "plan.py"), run_name="__main__")
    return capsys.readouterr().err


def lines_of(text: str) -> dict[str, list[str]]:
    """First word -> the other words, of the lines that have as many as there are columns."""
    found = [line.split() for line in text.splitlines()]
    return {line[0]: line[1:] for line in found if len(line) == len(RANKS_HEAD)}


def test_the_job_says_what_ranks_would_hold_and_changes_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> dict[str, bytes]:
        return {str(of): of.read_bytes() for of in config.parent.rglob("*") if of.is_file()}

    before = files()
    text = said(monkeypatch, capsys, "--config", str(config))
    assert files() == before
    assert "an estimate, nothing ran on any H100" in text
    assert "share one physical table: listener, episode, topic (width 8)." in text
    assert "8  together     3,000" in text
    ranks = lines_of(text)
    assert [name for name in ranks if name.replace(",", "").isdigit()] == [
        f"{1 << power:,}" for power in range(11)
    ]
    # 3,000 rows of 78 bytes; nothing is sent by one rank, and nearly all by 1,024.
    assert ranks["1"][0] == "0.23"
    assert ranks["1"][4:6] == ["0.00", "0.00"]
    assert float(ranks["1,024"][5]) > 0
    assert "MFU 40% of 989 TFLOP/s" in " ".join(text.split())
    assert "train.precision is float32" in text


def test_another_ranker_on_another_device_with_rules(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "{evict: least_recent, budget: 100KB, only: {topic: {admit_after: 4, priority: 5}}}"
    told = ["--ranker", "two", "--device", "A100", "--config", str(config)]
    text = said(monkeypatch, capsys, *told, f"rankers.two.train.tables={rules}")
    assert "two on " in text
    assert "evict: least_recent, budget: 100KB" in text
    (topic,) = (line.split() for line in text.splitlines() if line.split()[1:2] == ["topic"])
    assert topic == ["8", "topic", "1,000", "4", "-", "5", "78", "0.08"]
    # 100,000 bytes of 78 a row, and two new ids for each of 30 tokens.
    (together,) = (line.split() for line in text.splitlines() if "together  " in line)
    assert together[2] == f"{100_000 // 78 + 60:,}"
    assert "80 GB of an A100" in text
    assert "312 TFLOP/s" in " ".join(text.split())


def test_tables_too_large_for_a_rank_are_said(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vast = "rankers.one.train.tables.only.topic.capacity=100000000000"
    text = said(monkeypatch, capsys, "--config", str(config), vast)
    ranks = lines_of(text)
    assert ranks["1"][:2] == ["-", "-"]
    assert ranks["1,024"][0] != "-"
    assert "-: more rows of a width on a rank than there may be" in text
    # 1.25 x 78 bytes of 10^11 over 1,024 are 9.5 GB; over 128 they are 76 GB, and maps 24 more.
    assert "80 GB of an H100 on 256 ranks or more" in " ".join(text.split())


def test_a_device_that_is_not_known(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        said(monkeypatch, capsys, "--config", str(config), "--device", "abacus")
    assert ended.value.code == 2


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    found = aligned([("a", "MB"), ("long", "")], [["1,000", "x"], ["2", "yy"]])
    assert found == ["    a  long", "   MB", "1,000     x", "    2    yy"]
