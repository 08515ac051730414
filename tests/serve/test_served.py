"""What a replica serves follows `current`, and what it serves already outlives a bad one."""

import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from rayrank.errors import BundleError
from rayrank.infer import bundle as bundle_module
from rayrank.infer.bundle import MANIFEST, TABLES
from rayrank.serve import served
from rayrank.serve.served import Served
from rayrank.tensors import read_tensors, write_tensors
from rayrank.versions import CURRENT, name_version

from ..clusters import wait_until
from ..infer.bundles import USERS
from ..model.rows import SCHEMA, table
from .following import OFTEN_S, Following, expected, scores, spoil, write_versions


@pytest.fixture
def versions(tmp_path: Path) -> list[str]:
    """Three bundles in a folder; the first is current."""
    return write_versions(tmp_path)


def test_it_takes_what_is_current_then_and_later(tmp_path: Path, versions: list[str]) -> None:
    follower = Following(tmp_path)
    assert (follower.version, follower.faults, follower.switches) == (versions[0], {}, [])
    follower.look()
    assert (follower.version, follower.switches) == (versions[0], [])
    # Forward, and back to an older one.
    for number, version in enumerate((versions[1], versions[2], versions[0]), 1):
        name_version(tmp_path, CURRENT, version)
        follower.look()
        assert (follower.version, follower.faults) == (version, {})
        assert follower.switches == [True] * number
        weights = versions.index(version)
        np.testing.assert_allclose(scores(follower.now), expected(weights), atol=1e-7)
        assert follower.now.model == {"name": "dlrm", "version": version, "schema": SCHEMA.name}


def test_a_damaged_version_is_passed_over(tmp_path: Path, versions: list[str]) -> None:
    follower = Following(tmp_path)
    before = follower.now
    path = spoil(tmp_path, versions[1])
    name_version(tmp_path, CURRENT, versions[1])
    for _ in range(3):  # tried once, and not again and again
        follower.look()
        assert follower.now is before
        assert follower.switches == [False]
        assert follower.faults == {CURRENT: f"{path}: its content is not what manifest.json says"}
    np.testing.assert_allclose(scores(follower.now), expected(0), atol=1e-7)

    name_version(tmp_path, CURRENT, versions[2])
    follower.look()
    assert (follower.version, follower.faults) == (versions[2], {})
    assert follower.switches == [False, True]


def test_going_back_after_a_damaged_version_ends_the_fault(
    tmp_path: Path, versions: list[str]
) -> None:
    follower = Following(tmp_path)
    spoil(tmp_path, versions[1])
    for version in (versions[1], versions[0]):
        name_version(tmp_path, CURRENT, version)
        follower.look()
    assert (follower.version, follower.faults) == (versions[0], {})


@pytest.mark.parametrize("content", ["", "{}", '{"version": "000000000000"}'])
def test_a_damaged_name_is_passed_over(tmp_path: Path, versions: list[str], content: str) -> None:
    follower = Following(tmp_path)
    before = follower.now
    (tmp_path / CURRENT).write_text(content)
    follower.look()
    assert follower.now is before
    assert follower.switches == [False]
    assert str(tmp_path) in follower.faults[CURRENT]
    name_version(tmp_path, CURRENT, versions[0])
    follower.look()
    assert (follower.now, follower.faults) == (before, {})


def test_requests_under_way_end_on_what_they_began_with(
    tmp_path: Path, versions: list[str]
) -> None:
    follower = Following(tmp_path)
    before = follower.now
    waiting = [before.engine.submit(table(USERS)) for _ in range(5)]
    name_version(tmp_path, CURRENT, versions[1])
    follower.look()
    assert follower.now is not before
    # One that was parsed for the old version, and reaches its engine only now.
    waiting.append(before.engine.submit(table(USERS)))
    for future in waiting:
        np.testing.assert_allclose(np.concatenate(future.result().scores), expected(0), atol=1e-7)
    np.testing.assert_allclose(scores(follower.now), expected(1), atol=1e-7)


def test_what_is_not_served_any_more_is_forgotten(tmp_path: Path, versions: list[str]) -> None:
    """Once nobody asks it, its weights go: a replica that switches daily does not grow."""
    follower = Following(tmp_path)
    scores(follower.now)
    ranker = weakref.ref(follower.now.engine.bundle.ranker)
    name_version(tmp_path, CURRENT, versions[1])
    follower.look()

    def gone() -> bool:
        gc.collect()
        return ranker() is None

    wait_until("the old ranker is gone", gone, seconds=30)


def test_it_looks_by_itself_but_not_where_a_version_was_named(
    tmp_path: Path, versions: list[str]
) -> None:
    pinned = Following(tmp_path, versions[1], OFTEN_S)
    before = pinned.now
    follower = Following(tmp_path, CURRENT, OFTEN_S)
    for version in (versions[2], versions[0], versions[2]):
        name_version(tmp_path, CURRENT, version)
        follower.until_version(version)
    assert follower.switches == [True] * 3
    assert pinned.now is before
    assert (pinned.version, pinned.switches, pinned.faults) == (versions[1], [], {})


def test_storage_that_is_back_is_followed_again(
    tmp_path: Path, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its faults are called: those of an object store are no OSError."""

    class Unreachable(Exception):
        pass

    def out_of_reach(folder: Path, *_: object) -> Served:
        raise faults[0](folder.name)

    faults: list[type[Exception]] = [OSError, Unreachable]
    follower = Following(tmp_path, CURRENT, OFTEN_S)
    with monkeypatch.context() as outage:
        outage.setattr(served, "load_served", out_of_reach)
        name_version(tmp_path, CURRENT, versions[1])
        for fault in (f"OSError: {versions[1]}", f"Unreachable: {versions[1]}"):
            follower.until_fault(fault)
            faults.reverse()
    follower.until_version(versions[1])
    assert follower.switches.pop() is True
    assert follower.switches
    assert not any(follower.switches)
    assert follower.faults == {}


def test_a_bundle_that_cannot_be_built_does_not_end_the_following(
    tmp_path: Path, versions: list[str]
) -> None:
    """One that is sound but for a table that was never written."""
    sound = tmp_path / versions[2]
    tensors = {name: part.clone() for name, part in read_tensors(sound / TABLES).items()}
    del tensors["item/keys"]
    content = json.loads((sound / MANIFEST).read_text())
    content["sha256"][TABLES] = write_tensors(sound / TABLES, tensors)
    odd = content["version"] = bundle_module._version(content)
    (sound / MANIFEST).write_text(json.dumps(content))
    sound.rename(tmp_path / odd)
    follower = Following(tmp_path, CURRENT, OFTEN_S)
    name_version(tmp_path, CURRENT, odd)
    follower.until_fault("KeyError: 'item/keys'")
    assert follower.version == versions[0]
    name_version(tmp_path, CURRENT, versions[1])
    follower.until_version(versions[1])


def test_nothing_to_begin_with_is_refused(tmp_path: Path, versions: list[str]) -> None:
    spoil(tmp_path, versions[0])
    with pytest.raises(BundleError, match=f"{TABLES}: its content is not what"):
        Following(tmp_path)
    with pytest.raises(BundleError, match="000000000000: not a bundle"):
        Following(tmp_path, "000000000000")
    (tmp_path / CURRENT).unlink()
    with pytest.raises(BundleError, match="no version is current"):
        Following(tmp_path)
