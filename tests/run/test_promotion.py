"""What answers, wholly or in part, passed its check; and there is a way back."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rayrank.errors import BundleError, CheckError, VersionError
from rayrank.infer.bundle import DENSE
from rayrank.run.config import RunConfig
from rayrank.run.promotion import (
    end,
    promote,
    promote_back,
    promote_canary,
    promote_shadow,
)
from rayrank.run.run import Run
from rayrank.serve.check import Checked
from rayrank.storage import write_whole
from rayrank.versions import (
    CANARY,
    CURRENT,
    EXPORTED,
    PREVIOUS,
    SHADOW,
    Shared,
    name_version,
    named_canary,
    named_version,
)

from ..infer.bundles import trained, write
from ..jobs.podcasts import write_podcasts

JOB = Path(__file__).parents[2] / "jobs" / "promote.py"
NAMES = (CURRENT, PREVIOUS, CANARY, SHADOW)


def run_in(folder: Path) -> Run:
    content = {
        "run_dir": str(folder / "run"),
        "data": {"source": "parquet", "path": str(folder / "log")},
        "rankers": {"dlrm": {"model": {"kind": "dlrm"}}},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    return Run(RunConfig.model_validate(content))


def checked(run: Run, version: str, difference: float) -> None:
    """As the consistency check leaves what it found."""
    found = Checked(
        version=version,
        requests=1,
        candidates=1,
        max_abs_diff=difference,
        bound=0.006,
        latencies_ms=[1.0],
    )
    write_whole(run.folder.check(version), found.model_dump_json())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_in(tmp_path)


@pytest.fixture
def versions(run: Run) -> list[str]:
    """Three bundles that passed their check; the last one was exported last."""
    bundles = Path(str(run.folder.bundles))
    found = [write(bundles, trained("dlrm", weights), "dlrm").version for weights in range(3)]
    for version in found:
        checked(run, version, 0.0)
    name_version(bundles, EXPORTED, found[-1])
    return found


def names(run: Run) -> dict[str, str]:
    """The names that stand for a version."""
    found = {name: named_version(run.folder.bundles, name) for name in NAMES}
    return {name: version for name, version in found.items() if version is not None}


def damage(run: Run, version: str) -> None:
    path = Path(str(run.folder.bundles)) / version / DENSE
    weights = bytearray(path.read_bytes())
    weights[-1] ^= 1
    path.write_bytes(weights)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """In one line, however it was broken."""
    return " ".join(capsys.readouterr().err.split())


def test_the_bundle_exported_last_is_promoted_unless_one_is_named(
    run: Run, versions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    promote(run)
    assert names(run) == {CURRENT: versions[2]}
    assert f"{versions[2]} is current, nothing beside it" in said(capsys)
    promote(run, versions[0])
    assert names(run) == {CURRENT: versions[0], PREVIOUS: versions[2]}
    promote(run, versions[0])  # which is current already
    assert names(run) == {CURRENT: versions[0], PREVIOUS: versions[2]}


def test_no_bundle_is_promoted_before_there_is_one(run: Run) -> None:
    with pytest.raises(BundleError, match=r"no bundle yet; run jobs/export\.py"):
        promote(run)


def test_back_is_where_one_was_and_back_again(run: Run, versions: list[str]) -> None:
    promote(run, versions[0])
    with pytest.raises(VersionError, match="nothing was current before"):
        promote_back(run)
    promote(run, versions[1])
    promote_back(run)
    assert names(run) == {CURRENT: versions[0], PREVIOUS: versions[1]}
    promote_back(run)
    assert names(run) == {CURRENT: versions[1], PREVIOUS: versions[0]}


def test_a_canary_and_a_shadow_stand_beside_what_is_current(
    run: Run, versions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    promote(run, versions[0])
    promote_canary(run, 0.05, versions[1])
    promote_shadow(run)
    assert names(run) == {CURRENT: versions[0], CANARY: versions[1], SHADOW: versions[2]}
    assert named_canary(run.folder.bundles) == Shared(versions[1], 0.05)
    now = (
        f"{versions[0]} is current, {versions[1]} is canary, for 0.05 of the users, "
        f"{versions[2]} is shadow"
    )
    assert said(capsys).endswith(now)
    end(run, SHADOW)
    assert said(capsys).endswith(now.removesuffix(f", {versions[2]} is shadow"))
    end(run, CANARY)
    end(run, CANARY)  # none is there to end
    assert names(run) == {CURRENT: versions[0]}


@pytest.mark.parametrize("share", [0.0, 1.0, 5.0])
def test_a_share_that_is_none_changes_nothing(run: Run, versions: list[str], share: float) -> None:
    promote(run, versions[0])
    with pytest.raises(VersionError, match="expected a share between 0 and 1"):
        promote_canary(run, share)
    assert names(run) == {CURRENT: versions[0]}


BESIDE: dict[str, Callable[[Run, str], None]] = {
    CANARY: lambda run, version: promote_canary(run, 0.5, version),
    SHADOW: promote_shadow,
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_becomes_current_is_nothing_beside_it(
    run: Run, versions: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BundleError, match="no version is current"):
        BESIDE[name](run, versions[1])
    promote(run, versions[0])
    with pytest.raises(VersionError, match=f"{versions[0]} is current already"):
        BESIDE[name](run, versions[0])
    BESIDE[name](run, versions[1])
    promote(run, versions[2])  # another one: nothing ends
    assert names(run) == {CURRENT: versions[2], PREVIOUS: versions[0], name: versions[1]}
    promote(run, versions[1])
    assert names(run) == {CURRENT: versions[1], PREVIOUS: versions[2]}
    assert f"{versions[1]} is {name} no more" in said(capsys)
    BESIDE[name](run, versions[2])
    promote_back(run)
    assert names(run) == {CURRENT: versions[2], PREVIOUS: versions[1]}
    assert f"{versions[2]} is {name} no more" in said(capsys)


WAYS: dict[str, Callable[[Run, str], None]] = {"current": promote, **BESIDE}


@pytest.mark.parametrize("way", WAYS)
def test_only_what_passed_its_check_answers_in_any_way(
    run: Run, versions: list[str], way: str
) -> None:
    promote(run, versions[0])
    promote(run, versions[1])
    before, version = names(run), versions[2]
    run.folder.check(version).unlink()
    with pytest.raises(CheckError, match=rf"never checked; run jobs/check\.py --version {version}"):
        WAYS[way](run, version)
    for difference in (0.0061, float("nan")):
        checked(run, version, difference)
        with pytest.raises(CheckError, match="differs from the trainer's"):
            WAYS[way](run, version)
    checked(run, version, 0.0059)
    whole = Path(str(run.folder.bundles / version / DENSE))
    content = whole.read_bytes()
    damage(run, version)
    with pytest.raises(BundleError, match=DENSE):
        WAYS[way](run, version)
    assert names(run) == before
    whole.write_bytes(content)
    WAYS[way](run, version)
    assert names(run)[way] == version


def test_the_way_back_has_the_same_gates(run: Run, versions: list[str]) -> None:
    promote(run, versions[0])
    promote(run, versions[1])
    before = names(run)
    checked(run, versions[0], 0.01)
    with pytest.raises(CheckError, match="differs from the trainer's"):
        promote_back(run)
    checked(run, versions[0], 0.0)
    damage(run, versions[0])
    with pytest.raises(BundleError, match=DENSE):
        promote_back(run)
    assert names(run) == before


def test_a_damaged_name_is_told_before_anything_is_changed(run: Run, versions: list[str]) -> None:
    promote(run, versions[0])
    canary = Path(str(run.folder.bundles / CANARY))
    canary.write_text('{"version": "0123456789ab"}')
    with pytest.raises(VersionError, match=f"{canary}: expected"):
        promote(run, versions[1])
    canary.unlink()
    assert names(run) == {CURRENT: versions[0]}
    canary.write_text("{")
    end(run, CANARY)  # by which it is mended
    promote(run, versions[1])


def job(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    told = [str(JOB), "--config", str(folder / "run.yaml"), *arguments]
    monkeypatch.setattr(sys, "argv", told)
    runpy.run_path(str(JOB), run_name="__main__")


def test_the_job_does_one_thing_at_a_time(
    run: Run, versions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_podcasts(tmp_path / "log", listeners=2, days=1)
    first, second, last = versions
    for arguments, expected in (
        (["--version", first], {CURRENT: first}),
        ([], {CURRENT: last, PREVIOUS: first}),
        (["--back"], {CURRENT: first, PREVIOUS: last}),
        (["--canary", "0.05"], {CURRENT: first, PREVIOUS: last, CANARY: last}),
        (
            ["--shadow", "--version", second],
            {CURRENT: first, PREVIOUS: last, CANARY: last, SHADOW: second},
        ),
        (["--end", "canary"], {CURRENT: first, PREVIOUS: last, SHADOW: second}),
        (["--end", "shadow"], {CURRENT: first, PREVIOUS: last}),
    ):
        job(monkeypatch, tmp_path, *arguments)
        assert names(run) == expected, arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--canary", "0.05", "--shadow"], "not allowed with argument --canary"),
        (["--back", "--end", "canary"], "not allowed with argument --back"),
        (["--end", "current"], "invalid choice: 'current'"),
        (["--canary", "much"], "invalid float value: 'much'"),
        (["--canary", "5"], "expected a share between 0 and 1, found 5.0"),
        (["--back", "--version", "0123456789ab"], "--version: not with --end and --back"),
        (["--end", "shadow", "--version", "0123456789ab"], "--version: not with --end and --back"),
    ],
)
def test_the_job_refuses_what_goes_not_together(
    run: Run,
    versions: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    write_podcasts(tmp_path / "log", listeners=2, days=1)
    promote(run, versions[0])
    with pytest.raises(SystemExit) as ended:
        job(monkeypatch, tmp_path, *arguments)
    assert ended.value.code == 2
    assert message in said(capsys)
    assert names(run) == {CURRENT: versions[0]}
