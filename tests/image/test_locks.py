"""The images' locks: complete, of the versions that are tested, a hash for each wheel."""

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from locks import APART, HERE, TARGETS, constraints, plain, read
from packaging.requirements import Requirement

from ..clusters import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = sorted(HERE.glob("*.lock"))
CUDA_ALONE = re.compile(r"nvidia-.*|cuda-.*|fbgemm-gpu")
"""What a machine without a GPU is not tested with, so that constraints.txt has no version of it."""


def versions(target: str) -> dict[str, str]:
    return {one.name: one.version for one in read(target)}


def asked_for(extras: set[str]) -> list[Requirement]:
    """What pyproject.toml names for some of its extras, and for those they name in turn."""
    told = [Requirement(text) for text in PROJECT["dependencies"]]
    for extra in extras:
        for text in PROJECT["optional-dependencies"][extra]:
            one = Requirement(text)
            told += asked_for(one.extras) if one.name == "rayrank" else [one]
    return told


def test_every_image_has_its_lock() -> None:
    assert {lock.stem for lock in LOCKS} == {*TARGETS, APART}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_line_is_a_version_and_a_hash_and_nothing_else(lock: Path) -> None:
    """No address, above all: whoever installs says from where."""
    head, *lines = lock.read_text().splitlines()
    assert head.startswith("# Made by 'make locks'")
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+]+ --hash=sha256:[0-9a-f]{64}", line), line
    assert lines == sorted(lines)
    names = [line.split("==")[0] for line in lines]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("target", TARGETS)
def test_versions_are_those_that_are_tested(target: str) -> None:
    pins = constraints()
    # Of its CPU build; that for CUDA has the same version without the label.
    if TARGETS[target].cuda:
        pins["torch"] = pins["torch"].split("+")[0]
    held = versions(target)
    unknown = {name for name in held.keys() - pins.keys() if not CUDA_ALONE.fullmatch(name)}
    assert not unknown
    assert {name: held[name] for name in held.keys() & pins.keys()} == {
        name: pins[name] for name in held.keys() & pins.keys()
    }


@pytest.mark.parametrize("target", TARGETS)
def test_all_that_is_asked_for_is_there(target: str) -> None:
    held = versions(target)
    for one in asked_for(set(TARGETS[target].extras.split(","))):
        version = held.get(plain(one.name))
        assert version is not None, f"{target}.lock lacks {one}: make locks"
        assert one.specifier.contains(version, prereleases=True), f"{one}, locked {version}"


@pytest.mark.parametrize("target", ["cpu", "serving"])
def test_and_all_that_those_need_in_turn(target: str) -> None:
    """As the packages that are installed here tell it."""
    held = versions(target)
    for name in held.keys() - {APART}:
        for text in importlib.metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert plain(need.name) in held, f"{target}.lock: {name} needs {need}"


def test_what_is_tested_here_is_what_is_locked() -> None:
    """The environment of these tests, by the lock of the image that they speak for."""
    wrong = {}
    for name, version in versions("cpu").items():
        here = importlib.metadata.version(name)
        if here != version:
            wrong[name] = (here, version)
    assert not wrong


def test_another_file_under_a_name_is_refused(tmp_path: Path) -> None:
    """By pip itself: a wheel under its hash, and under one whose last digit differs."""
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    build_wheel(wheel)
    digest = digest_of(wheel)
    flipped = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    for sha256, accepted in ((digest, True), (flipped, False)):
        lock = tmp_path / "thing.lock"
        lock.write_text(f"thing==1.0 --hash=sha256:{sha256}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
        options = ["--dry-run", "--no-index", "--find-links", str(tmp_path), "--require-hashes"]
        done = subprocess.run(
            [*pip, *options, "-r", lock],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PIP_CONFIG_FILE": os.devnull},
        )
        assert (done.returncode == 0) == accepted, done.stderr
        assert accepted or "DO NOT MATCH THE HASHES" in done.stderr


def build_wheel(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as content:
        content.writestr("thing.py", "")
        info = "thing-1.0.dist-info"
        content.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        content.writestr(f"{info}/WHEEL", tags)
        content.writestr(f"{info}/RECORD", "")


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
