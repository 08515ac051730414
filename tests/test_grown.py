"""A file that grows while others read it, on a disk and on an S3 server."""

import uuid
from pathlib import Path

import pytest
from rayrank.storage import AnyPath, place, write_grown


@pytest.fixture(params=["disk", "s3"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> AnyPath:
    """A file in a folder that is not there yet."""
    if request.param == "disk":
        return tmp_path / "deep" / "growing"
    return place(f"{request.getfixturevalue('s3_bucket')}/{uuid.uuid4().hex}/growing")


def test_what_is_new_is_added_and_again_does_no_harm(path: AnyPath) -> None:
    write_grown(path, b"one", 0)
    write_grown(path, b"one two", 3)
    write_grown(path, b"one two", 3)
    assert path.read_bytes() == b"one two"
    write_grown(path, b"new", 0)
    assert path.read_bytes() == b"new"


def test_who_has_it_open_reads_on(tmp_path: Path) -> None:
    write_grown(tmp_path / "growing", b"one", 0)
    with (tmp_path / "growing").open("rb") as reader:
        assert reader.read() == b"one"
        write_grown(tmp_path / "growing", b"one two", 3)
        assert reader.read() == b" two"
