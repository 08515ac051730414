"""What stands beside what is current: a canary that some users get, a shadow that scores along."""

import gc
import os
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from rayrank.infer.bundle import MANIFEST
from rayrank.serve import served
from rayrank.serve.served import Served, load_served, share_of
from rayrank.versions import (
    CANARY,
    CURRENT,
    SHADOW,
    Shared,
    end_name,
    name_canary,
    name_version,
)

from ..clusters import wait_until
from ..infer.bundles import USERS
from ..model.rows import table
from .following import OFTEN_S, SERVING, Following, expected, scores, spoil, write_versions

MANY = [f"user {number}" for number in range(4000)]
ROLES = pytest.mark.parametrize("role", [CANARY, SHADOW])


@pytest.fixture
def versions(tmp_path: Path) -> list[str]:
    """Three bundles in a folder; the first is current."""
    return write_versions(tmp_path)


def name(bundles: Path, role: str, version: str, share: float = 0.25) -> None:
    if role == CANARY:
        name_canary(bundles, Shared(version, share))
    else:
        name_version(bundles, role, version)


def told(follower: Following) -> dict[str, str]:
    """The version in each role."""
    return {role: of.manifest.version for role, of in follower.roles().items()}


def test_a_share_of_the_users_gets_the_canary(tmp_path: Path, versions: list[str]) -> None:
    follower = Following(tmp_path)
    assert {follower.of(user) for user in MANY} == {follower.now}
    name(tmp_path, CANARY, versions[1])
    follower.look()
    assert follower.canary is not None
    assert follower.canary.share == 0.25
    assert told(follower) == {CURRENT: versions[0], CANARY: versions[1]}
    assert (follower.faults, follower.switches) == ({}, [True])
    theirs = [user for user in MANY if follower.of(user) is follower.canary.served]
    assert len(theirs) == pytest.approx(1000, abs=100)
    assert {follower.of(user) for user in MANY} == {follower.now, follower.canary.served}
    np.testing.assert_allclose(scores(follower.canary.served), expected(1), atol=1e-7)

    canary = follower.canary.served
    name(tmp_path, CANARY, versions[1], share=0.5)
    follower.look()
    assert follower.canary.served is canary, "loaded once"
    more = [user for user in MANY if follower.of(user) is canary]
    assert len(more) == pytest.approx(2000, abs=130)
    assert set(theirs) < set(more)


def test_a_user_stands_at_one_place_in_every_process() -> None:
    """Whatever Python's own hash makes of it."""
    script = "from rayrank.serve.served import share_of; print(repr(share_of('user 7')))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) == share_of("user 7")
    places = np.array([share_of(user) for user in MANY])
    assert len(np.unique(places)) == len(MANY)
    np.testing.assert_allclose(np.histogram(places, 8, (0, 1))[0], 500, atol=80)


def test_a_shadow_answers_nobody(tmp_path: Path, versions: list[str]) -> None:
    name(tmp_path, SHADOW, versions[2])
    follower = Following(tmp_path)  # what is named before is there from the start
    assert told(follower) == {CURRENT: versions[0], SHADOW: versions[2]}
    assert follower.shadow is not None
    assert {follower.of(user) for user in MANY} == {follower.now}
    np.testing.assert_allclose(scores(follower.shadow), expected(2), atol=1e-7)


@ROLES
def test_what_is_ended_is_forgotten(tmp_path: Path, versions: list[str], role: str) -> None:
    follower = Following(tmp_path)
    name(tmp_path, role, versions[1])
    follower.look()
    scores(follower.roles()[role])
    ranker = weakref.ref(follower.roles()[role].engine.bundle.ranker)
    end_name(tmp_path, role)
    follower.look()
    assert told(follower) == {CURRENT: versions[0]}
    assert {follower.of(user) for user in MANY} == {follower.now}

    def gone() -> bool:
        gc.collect()
        return ranker() is None

    wait_until("its ranker is gone", gone, seconds=30)


@ROLES
def test_one_that_is_damaged_is_told_and_does_nothing(
    tmp_path: Path, versions: list[str], role: str
) -> None:
    """And does not keep what is current from being followed, nor the other."""
    follower = Following(tmp_path)
    name(tmp_path, role, versions[1])
    follower.look()
    path = spoil(tmp_path, versions[2])
    name(tmp_path, role, versions[2])
    name_version(tmp_path, CURRENT, versions[1])
    for _ in range(3):
        follower.look()
        assert follower.switches == [True, True, False], "tried once"
        assert told(follower) == {CURRENT: versions[1]}
        assert follower.faults == {role: f"{path}: its content is not what {MANIFEST} says"}
    assert {follower.of(user) for user in MANY} == {follower.now}
    end_name(tmp_path, role)
    follower.look()
    assert follower.faults == {}


@ROLES
def test_a_damaged_name_ends_what_it_stood_for(
    tmp_path: Path, versions: list[str], role: str
) -> None:
    follower = Following(tmp_path)
    for content in ("", '{"share": 0.5}'):
        name(tmp_path, role, versions[1])
        follower.look()
        assert told(follower) == {CURRENT: versions[0], role: versions[1]}
        assert follower.faults == {}
        (tmp_path / role).write_text(content)
        follower.look()
        assert told(follower) == {CURRENT: versions[0]}
        assert str(tmp_path / role) in follower.faults[role]


def test_a_version_in_several_roles_is_loaded_once(tmp_path: Path, versions: list[str]) -> None:
    follower = Following(tmp_path)
    name(tmp_path, CANARY, versions[0])
    name(tmp_path, SHADOW, versions[1])
    follower.look()
    assert follower.canary is not None
    assert follower.canary.served is follower.now
    shadow = follower.shadow
    # As a promotion does it: what was beside becomes current, and is no shadow any more.
    name_version(tmp_path, CURRENT, versions[1])
    end_name(tmp_path, SHADOW)
    follower.look()
    assert follower.now is shadow
    assert told(follower) == {CURRENT: versions[1], CANARY: versions[0]}


def test_a_pinned_version_has_nothing_beside_it(tmp_path: Path, versions: list[str]) -> None:
    name(tmp_path, CANARY, versions[1])
    name(tmp_path, SHADOW, versions[2])
    assert told(Following(tmp_path, versions[0])) == {CURRENT: versions[0]}


def test_storage_that_is_back_brings_the_canary(
    tmp_path: Path, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(folder: Path, *_: object) -> Served:
        raise OSError(folder.name)

    follower = Following(tmp_path, CURRENT, OFTEN_S)
    with monkeypatch.context() as outage:
        outage.setattr(served, "load_served", out_of_reach)
        name(tmp_path, CANARY, versions[1])
        fault = {CANARY: f"OSError: {versions[1]}"}
        wait_until("it is told", lambda: follower.faults == fault, seconds=30)
    wait_until("it is there", lambda: follower.canary is not None, seconds=30)
    wait_until("nothing is told any more", lambda: follower.faults == {}, seconds=30)


def test_a_bundle_is_as_old_as_its_manifest(tmp_path: Path, versions: list[str]) -> None:
    folder = tmp_path / versions[0]
    written = time.time() - 86_400
    os.utime(folder / MANIFEST, (written, written))
    assert load_served(folder, SERVING).age_s() == pytest.approx(86_400, abs=60)
    os.utime(folder / MANIFEST, (written + 2e6, written + 2e6))  # by a clock that is ahead
    assert load_served(folder, SERVING).age_s() == 0


def test_what_is_served_knows_its_drift(tmp_path: Path, versions: list[str]) -> None:
    """By what its own bundle recorded."""
    loaded = load_served(tmp_path / versions[0], SERVING)
    assert loaded.drift.now() == {}
    rows = table(USERS)
    for _ in range(200):
        loaded.drift.saw(rows, loaded.engine.submit(rows).result().scores)
    assert loaded.drift.now().keys() == {"score.click", "candidate.distance"}
