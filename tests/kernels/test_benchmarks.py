"""The benchmarks for GPUs: what one measurement does must not cost another, and without a GPU they
say so."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import gpu_checks, tune
from benchmarks.gpu_checks import check_queries, count_failed
from benchmarks.processes import run_in_processes
from benchmarks.records import Record, in_a_line, out_folder
from benchmarks.tune import PROBLEMS, Problem, keep_fastest, timed
from hstu_kernels import hstu_attention
from hstu_kernels.tuning import Config, default_config
from torch import Tensor

from .mortal_work import mortal_work

KERNELS = Path(__file__).parents[2] / "kernels"
DQ = Problem("dq", (256, 256))
SLOW, FAST = Config(64, 32, 4, 1), Config(64, 64, 8, 2, maxnreg=128)


def fail(*_: object) -> float:
    raise MemoryError("no room\nfor q\n" + 9999 * "ptx ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
@pytest.mark.parametrize("module", ["benchmarks.gpu_suite", "benchmarks.tune"])
def test_without_a_gpu(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | {"PYTHONPATH": str(KERNELS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("No GPU:")


def test_a_row_is_there_as_soon_as_it_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "gpu.csv"
    record = Record(path, {"gpu": "Test GPU"})

    def measure() -> float:
        assert len(rows(path)) == seen
        return 2e-3

    for seen in range(2):
        record.time(f"row {seen}", "2x256", "float16", measure)
        assert f"row {seen}" in capsys.readouterr().out
    assert [row["name"] for row in rows(path)] == ["row 0", "row 1"]
    # What another run adds has no second header.
    Record(path, {"gpu": "Test GPU"}).time("row 2", "2x256", "float16", lambda: 1.0)
    assert {row["gpu"] for row in rows(path)} == {"Test GPU"}
    assert record.failed == 0


def test_figures_of_a_row(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.csv", {})
    record.time("known", "", "", lambda: 2e-3, flops=1e12, least_s=1e-3, published_s=3e-3)
    record.time("unknown", "", "", lambda: 2e-3)
    known, unknown = (list(row.values())[3:] for row in rows(record.path))
    assert known == ["2000.0", "500.0", "0.5", "1.5", ""]
    assert unknown == ["2000.0", "", "", "", ""]


def test_measurements_go_on_after_one_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record(tmp_path / "gpu.csv", {})
    record.time("too large", "4x256", "float16", fail)
    with record.go_on("no input", "4x256", "float16"):
        fail()
    record.time("fits", "2x256", "float16", lambda: 1.0)
    large, none, fits = rows(record.path)
    for row in (large, none):
        assert row["failed"].startswith("MemoryError: no room for q ptx")
        assert not row["microseconds"]
    assert fits["microseconds"] == "1000000.0"
    assert record.failed == 2
    assert "MemoryError: no room for q" in capsys.readouterr().out


def test_an_error_is_told_in_a_line() -> None:
    with pytest.raises(MemoryError) as caught:
        fail()
    assert "\n" not in in_a_line(caught.value)
    assert len(in_a_line(caught.value)) <= 300


def test_the_folder_is_the_command_lines_then_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OUT", raising=False)
    assert out_folder(None, []) is None
    monkeypatch.setenv("OUT", "")
    assert out_folder(None, []) is None
    monkeypatch.setenv("OUT", "there")
    assert out_folder(None, []) == Path("there")
    assert out_folder(None, ["--out", "here"]) == Path("here")


def test_comparisons_go_on_and_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    checks: dict[str, Callable[[], object]] = {"a": fail, "b": lambda: None, "c": fail}
    assert count_failed(checks) == 2
    out = capsys.readouterr().out
    assert "FAILED a: MemoryError: no room" in out
    assert "FAILED c: MemoryError: no room" in out
    assert "1 of 3 comparisons" in out


@pytest.fixture
def checks_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "DEVICE", "cpu")
    monkeypatch.setattr(gpu_checks, "LENGTHS", [0, 1, 17, 129])


@pytest.mark.usefixtures("checks_on_a_cpu")
@pytest.mark.parametrize("pattern", ["mtgr", "window"])
def test_the_comparison_of_queries_apart_holds_on_a_cpu(pattern: str) -> None:
    check_queries(pattern, torch.float32, 16)


@pytest.mark.usefixtures("checks_on_a_cpu")
def test_the_comparison_of_queries_apart_sees_rows_of_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(*inputs: Any, **named: Any) -> Tensor:
        o = hstu_attention(*inputs, **named)
        return torch.cat([o[:-1], o[-1:] + 1])

    monkeypatch.setattr(gpu_checks, "hstu_attention", wrong)
    with pytest.raises(AssertionError, match="behind the last sequence"):
        check_queries("mtgr", torch.float32, 16)


@pytest.mark.parametrize("processes", [1, 2])
def test_jobs_go_on_after_one_that_kills_its_process(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(KERNELS.parent))  # where the processes find the work
    found = run_in_processes(mortal_work, [1, 2, 5, 7, 10, 11, 12], processes)
    died = "its process died"
    expected = {1: None, 2: None, 5: died, 7: "no sevens", 10: died, 11: None, 12: None}
    assert found == expected
    assert list(found) == list(expected)


def test_timing_goes_on_after_a_configuration_that_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = timed([SLOW, FAST], lambda config: 1.0 if config == FAST else fail(), "dq of a test")
    assert times == {FAST: 1.0}
    assert f"FAILED dq of a test {SLOW}: MemoryError: no room for q" in capsys.readouterr().out


def test_the_fastest_is_kept_where_anything_worked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "tuned.json", tmp_path / "out"
    monkeypatch.setattr(tune, "TUNED_FILE", file)
    file.write_text(json.dumps({"Other GPU": {"forward": {}}}))
    configs = [SLOW, FAST]
    seconds = {SLOW: 2.0, FAST: 1.0}
    problems: dict[Problem, Callable[[list[Config]], Any]] = {
        Problem("forward", (64, 64)): fail,
        Problem("forward", (128, 128)): lambda _: {},
        DQ: lambda configs: {config: seconds[config] for config in configs},
    }
    without = keep_fastest(
        "Test GPU", [(p, configs) for p in problems], lambda p, each: problems[p](each), out
    )
    assert without == 2
    tuned = json.loads(file.read_text())
    assert tuned["Other GPU"] == {"forward": {}}
    (choice,) = tuned["Test GPU"].values()
    assert Config(**choice) == FAST
    assert (out / "tuned.json").read_text() == file.read_text()
    told = capsys.readouterr().out
    assert "FAILED Problem(kernel='forward', dims=(64, 64)): MemoryError" in told
    assert told.count("nothing worked") == 2


def test_two_blocks_of_8_warps_may_share_an_sm() -> None:
    for problem in PROBLEMS:
        taken = [2 * c.maxnreg * 32 * c.num_warps for c in problem.candidates() if c.maxnreg]
        assert taken
        assert max(taken) <= 65_536


def test_what_serves_untuned_is_among_the_candidates() -> None:
    for problem in PROBLEMS:
        for shared_memory in (99 * 1024, 227 * 1024):
            default = partial(default_config, problem.kernel, torch.bfloat16, *problem.dims)
            sizes = {(c.block_m, c.block_n) for c in problem.candidates()}
            chosen = default(shared_memory)
            assert (chosen.block_m, chosen.block_n) in sizes


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
