"""Remote files that processes of a host map into memory: one copy of each, and not all for ever."""

import os
import tempfile
from pathlib import Path

import pytest
import rayrank.storage as room
from rayrank.storage import copy_on_this_host, place


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"rayrank-{os.getuid()}"


def test_a_local_file_is_its_own_copy(host: Path, tmp_path: Path) -> None:
    file = tmp_path / "tables"
    file.write_bytes(b"here")
    assert copy_on_this_host(file, "abc") == file
    assert not host.exists()


def test_a_remote_file_is_fetched_once(host: Path, s3_bucket: str) -> None:
    remote = place(f"{s3_bucket}/bundle/tables")
    remote.write_bytes(b"far away")
    copy = copy_on_this_host(remote, "abc")
    assert (copy, copy.read_bytes()) == (host / "abc", b"far away")
    remote.unlink()
    assert copy_on_this_host(remote, "abc") == copy
    assert host.stat().st_mode & 0o77 == 0


def test_the_copies_that_were_asked_for_last_stay(
    host: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT_COPIES", 2)
    remote = place(f"{s3_bucket}/bundle/more")
    remote.write_bytes(b"far away")
    for age, digest in ((3, "old"), (2, "older, but used")):
        copy = copy_on_this_host(remote, digest)
        os.utime(copy, (1000 - age, 1000 - age))
    with copy_on_this_host(remote, "old").open("rb") as mapped:
        os.utime(host / "old", (0, 0))
        copy_on_this_host(remote, "older, but used")
        copy_on_this_host(remote, "new")
        assert sorted(path.name for path in host.iterdir()) == ["new", "older, but used"]
        assert mapped.read() == b"far away"
