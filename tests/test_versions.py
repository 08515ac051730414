"""Versions: what is made from the same is found again, and nothing else is taken for it."""

import json
import math
import uuid
from pathlib import Path
from typing import Any

import pytest
from rayrank.errors import VersionError
from rayrank.storage import AnyPath, fingerprint, place, write_whole
from rayrank.versions import (
    CANARY,
    CURRENT,
    EXPORTED,
    MADE_FROM,
    Shared,
    claim,
    differences,
    end_name,
    made_from,
    name_canary,
    name_version,
    named_canary,
    named_version,
    require,
    version_folder,
    versions,
)

from .changes import changed

FIRST: dict[str, Any] = {
    "log": {"a.parquet": "0123", "b.parquet": "4567"},
    "split": {"valid": 0.1, "test": 0.25},
    "max_history": 100,
    "kinds": ["x", "y"],
    "nothing": {},
}
OTHER = changed(FIRST, "split.test", 0.5)


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> AnyPath:
    """A folder that is not there yet."""
    if request.param == "disk":
        return tmp_path / "versions"
    return place(f"{request.getfixturevalue('s3_bucket')}/{uuid.uuid4().hex}")


def everything(folder: AnyPath) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path).removeprefix(f"{folder}/"): path.read_text() for path in files}


def test_the_first_claim_makes_a_version_and_the_same_finds_it(folder: AnyPath) -> None:
    version = claim(folder, FIRST, new=False)
    assert version == folder / fingerprint(FIRST) == version_folder(folder, FIRST)
    assert made_from(version) == FIRST
    assert versions(folder) == [version.name]
    there = everything(folder)
    in_another_order = dict(reversed(FIRST.items()))
    for new in (False, True):
        assert claim(folder, in_another_order, new=new) == version
    assert everything(folder) == there


def test_another_is_refused_and_nothing_changes(folder: AnyPath) -> None:
    version = claim(folder, FIRST, new=False)
    write_whole(version / "result", "of days of work")
    name_version(folder, CURRENT, version.name)
    there = everything(folder)
    with pytest.raises(VersionError) as refused:
        claim(folder, OTHER, new=False)
    assert str(refused.value) == (
        f"{folder}: holds version {version.name}, made from something else:\n"
        "  split.test: 0.25 -> 0.5\n"
        "Say --new to make a new version beside it, or name another run_dir"
    )
    assert everything(folder) == there


def test_a_new_one_lies_beside_the_old(folder: AnyPath) -> None:
    first = claim(folder, FIRST, new=False)
    write_whole(first / "result", "of days of work")
    there = everything(folder)
    second = claim(folder, OTHER, new=True)
    assert versions(folder) == sorted([first.name, second.name])
    assert made_from(second) == OTHER
    new = everything(folder)
    assert new.keys() - there.keys() == {f"{second.name}/{MADE_FROM}"}
    assert {name: new[name] for name in there} == there
    # Both are there now: neither is refused.
    assert claim(folder, FIRST, new=False) == first
    assert claim(folder, OTHER, new=False) == second


def test_only_versions_that_count_stand_in_the_way(folder: AnyPath) -> None:
    """One that was begun and never came to anything is no work of anybody's."""
    begun = claim(folder, FIRST, new=False, counts="stats.json")
    second = claim(folder, OTHER, new=False, counts="stats.json")
    assert versions(folder, "stats.json") == []
    assert versions(folder) == sorted([begun.name, second.name])
    write_whole(second / "stats.json", "{}")
    third = changed(FIRST, "max_history", 7)
    with pytest.raises(VersionError) as refused:
        claim(folder, third, new=False, counts="stats.json")
    assert f"holds version {second.name}, made from" in str(refused.value)
    assert begun.name not in str(refused.value)
    assert not version_folder(folder, third).exists()
    # It was begun: going on with it is no new version.
    assert claim(folder, FIRST, new=False, counts="stats.json") == begun


def test_the_difference_to_the_nearest_version_is_told(folder: AnyPath) -> None:
    far = changed(changed(FIRST, "max_history", 1), "kinds", ["z"])
    names = sorted(claim(folder, content, new=True).name for content in (FIRST, far))
    with pytest.raises(VersionError) as refused:
        claim(folder, changed(far, "split.valid", 0.3), new=False)
    lines = str(refused.value).splitlines()
    assert lines[0].endswith(f"holds versions {', '.join(names)}, all made from something else:")
    assert lines[1:-1] == ["  split.valid: 0.1 -> 0.3"]


def test_every_kind_of_difference_has_a_line() -> None:
    assert differences(FIRST, FIRST) == []
    assert differences(FIRST, OTHER) == ["  split.test: 0.25 -> 0.5"]
    gone = FIRST | {"log": {"a.parquet": "0123", "c.parquet": "4567"}}
    assert differences(FIRST, gone) == [
        "  log.b.parquet: 4567 -> (absent)",
        "  log.c.parquet: (absent) -> 4567",
    ]
    assert differences(FIRST, changed(FIRST, "kinds", ["x"])) == ['  kinds: ["x", "y"] -> ["x"]']
    assert differences(FIRST, changed(FIRST, "nothing", {"a": None})) == [
        "  nothing: {} -> (absent)",
        "  nothing.a: (absent) -> null",
    ]
    (line,) = differences({"a": "x" * 61}, {"a": "x" * 60})
    assert line == f"  a: {'x' * 57}... -> {'x' * 60}"


def test_many_differences_are_counted(folder: AnyPath) -> None:
    claim(folder, {f"key{n:02}": 1 for n in range(20)}, new=False)
    with pytest.raises(VersionError) as refused:
        claim(folder, {f"key{n:02}": 2 for n in range(20)}, new=False)
    lines = str(refused.value).splitlines()
    assert lines[1:-2] == [f"  key{n:02}: 1 -> 2" for n in range(12)]
    assert lines[-2] == "  and 8 more"


def test_a_version_that_must_be_there(folder: AnyPath) -> None:
    with pytest.raises(VersionError) as refused:
        require(folder, FIRST, "run jobs/train.py")
    assert str(refused.value) == f"{folder}: nothing there yet; run jobs/train.py"
    assert not folder.exists()

    version = claim(folder, FIRST, new=False)
    assert require(folder, FIRST, "run jobs/train.py") == version
    with pytest.raises(VersionError) as refused:
        require(folder, OTHER, "run jobs/train.py")
    assert str(refused.value) == (
        f"{folder}: holds version {version.name}, made from something else:\n"
        "  split.test: 0.25 -> 0.5\n"
        "run jobs/train.py"
    )
    assert versions(folder) == [version.name]


def test_a_name_stands_for_one_version_at_a_time(folder: AnyPath) -> None:
    assert named_version(folder, CURRENT) is None
    for version in ("0123456789ab", "ba9876543210", "0123456789ab"):
        name_version(folder, CURRENT, version)
        assert named_version(folder, CURRENT) == version
    assert named_version(folder, EXPORTED) is None
    name_version(folder, EXPORTED, "ba9876543210")
    assert named_version(folder, CURRENT) == "0123456789ab"
    assert everything(folder).keys() == {CURRENT, EXPORTED}
    # Whoever reads it with other tools finds JSON of one line.
    assert json.loads((folder / CURRENT).read_text()) == {"version": "0123456789ab"}
    # A named version need not have what a version has: `versions` does not count names.
    assert versions(folder) == []


@pytest.mark.parametrize(
    "content",
    ["", "0123456789ab", '{"version": ', "{}", "[]", "null", '{"version": 7}', '{"version": null}'],
)
def test_a_damaged_name_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / CURRENT).write_text(content)
    with pytest.raises(VersionError) as refused:
        named_version(tmp_path, CURRENT)
    assert str(refused.value) == f'{tmp_path / CURRENT}: expected {{"version": "…"}}'


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / CURRENT).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VersionError, match="expected"):
        named_version(tmp_path, CURRENT)


def test_a_canary_has_a_share_until_it_is_ended(folder: AnyPath) -> None:
    assert named_canary(folder) is None
    for canary in (Shared("0123456789ab", 0.05), Shared("ba9876543210", 0.5)):
        name_canary(folder, canary)
        assert named_canary(folder) == canary
        assert named_version(folder, CANARY) == canary.version
    told = json.loads((folder / CANARY).read_text())
    assert told == {"version": "ba9876543210", "share": 0.5}
    for _ in range(2):
        end_name(folder, CANARY)
        assert named_canary(folder) is None
        assert not (folder / CANARY).exists()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 5.0, math.nan])
def test_a_share_is_between_0_and_1(tmp_path: Path, share: float) -> None:
    with pytest.raises(VersionError, match=f"between 0 and 1, found {share}"):
        name_canary(tmp_path, Shared("0123456789ab", share))
    assert not (tmp_path / CANARY).exists()
    content = json.dumps({"version": "0123456789ab", "share": share})
    (tmp_path / CANARY).write_text(content)
    with pytest.raises(VersionError, match=f"{CANARY}: expected .* between 0 and 1"):
        named_canary(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[0.5]", '{"share": 0.5}', '{"version": "a"}', '{"version": "a", "share": "b"}']
)
def test_a_damaged_canary_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / CANARY).write_text(content)
    with pytest.raises(VersionError) as refused:
        named_canary(tmp_path)
    expected = '{"version": "…", "share": a number between 0 and 1}'
    assert str(refused.value) == f"{tmp_path / CANARY}: expected {expected}"
