"""Writing that is whole or absent, on a disk and on an S3 server."""

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from rayrank.storage import (
    AnyPath,
    absolute,
    arrow_place,
    files_in,
    fingerprint,
    new_folder,
    place,
    read_parquet,
    read_whole,
    reading_file,
    remove_folder,
    sha256,
    write_whole,
    writing_file,
)
from upath import UPath


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> AnyPath:
    """A folder that is not there yet."""
    if request.param == "disk":
        return place(str(tmp_path / "deep" / "folder"))
    bucket = request.getfixturevalue("s3_bucket")
    return place(f"{bucket}/{uuid.uuid4().hex}/folder")


def everything(folder: AnyPath) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too, with its content."""
    if isinstance(folder, Path):
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}
    folder.fs.invalidate_cache()
    root = f"{folder.path}/"
    return {name.removeprefix(root): folder.fs.cat_file(name) for name in folder.fs.find(root)}


def test_a_path_is_local_or_a_uri(s3: None) -> None:
    for uri in ("runs/x", "/runs/x", "file:///runs/x"):
        assert place(uri) == Path(uri.removeprefix("file://"))
        assert isinstance(place(uri), Path)
    path = place("s3://bucket/run")
    assert isinstance(path, UPath)
    assert not isinstance(path, Path)
    assert str(path / "rows") == "s3://bucket/run/rows"
    assert place(path) is path
    assert absolute(path) is path
    assert absolute(Path("runs/x")) == Path.cwd() / "runs/x"


def test_a_file_is_written_over_and_read_back(folder: AnyPath) -> None:
    path = folder / "a" / "file.txt"
    for content in ("first", b"\x00second", "für alle"):
        write_whole(path, content)
        expected = content.encode() if isinstance(content, str) else content
        assert path.read_bytes() == expected
        assert sha256(path) == hashlib.sha256(expected).hexdigest()
        with reading_file(path) as local:
            assert isinstance(local, Path)
            assert local.read_bytes() == expected
    assert everything(folder) == {"a/file.txt": "für alle".encode()}


def test_a_copy_for_reading_is_gone_afterwards(folder: AnyPath) -> None:
    write_whole(folder / "file", "here")
    with reading_file(folder / "file") as local:
        assert local.name == "file"
    assert local.exists() == isinstance(folder, Path)


def test_a_file_is_put_when_it_is_left(folder: AnyPath) -> None:
    path = folder / "a" / "file.bin"
    for content in (b"first", b"second"):
        before = path.read_bytes() if path.exists() else None
        with writing_file(path) as writing:
            writing.write_bytes(content)
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
    assert everything(folder) == {"a/file.bin": b"second"}


class CutError(Exception):
    pass


def cut_while_writing(path: AnyPath, written: list[Path]) -> None:
    with writing_file(path) as writing:
        written.append(writing)
        writing.write_bytes(b"half of")
        raise CutError


def test_a_file_whose_writing_fails_is_as_it_was(folder: AnyPath) -> None:
    for there in ({}, {"file": b"as it was"}):
        for name, content in there.items():
            write_whole(folder / name, content)
        written: list[Path] = []
        with pytest.raises(CutError):
            cut_while_writing(folder / "file", written)
        assert everything(folder) == there
        assert not written[0].exists()


@pytest.mark.parametrize("write", [b"content", "content"])
def test_a_whole_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str | bytes
) -> None:
    """On a disk that is full; an object store takes an object in one piece or not at all."""
    write_whole(tmp_path / "file", "as it was")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:3])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "file", write)
    assert everything(tmp_path) == {"file": b"as it was"}


def fill(folder: Path) -> None:
    """Names before and after `done`, and one that ends alike."""
    (folder / "parts").mkdir()
    for name in ("a", "done", "parts/b", "parts/done", "z"):
        (folder / name).write_text(f"content of {name}")


def test_a_new_folder_appears_whole(folder: AnyPath) -> None:
    with new_folder(folder) as writing:
        fill(writing.path)
        assert not (folder / "made").exists()
        writing.publish(folder / "made", last="done")
    assert everything(folder) == {
        f"made/{name}": f"content of {name}".encode()
        for name in ("a", "done", "parts/b", "parts/done", "z")
    }
    assert not writing.path.exists()


def cut_while_filling(folder: AnyPath, written: list[Path]) -> None:
    with new_folder(folder) as writing:
        written.append(writing.path)
        fill(writing.path)
        raise CutError


def test_a_folder_that_is_not_published_leaves_nothing(folder: AnyPath) -> None:
    write_whole(folder / "before", "here")
    written: list[Path] = []
    with pytest.raises(CutError):
        cut_while_filling(folder, written)
    with new_folder(folder) as unused:
        fill(unused.path)
    assert everything(folder) == {"before": b"here"}
    assert not written[0].exists()
    assert not unused.path.exists()


def test_a_complete_folder_of_another_writer_stays(folder: AnyPath) -> None:
    write_whole(folder / "made" / "done", "theirs")
    with new_folder(folder) as writing:
        fill(writing.path)
        writing.publish(folder / "made", last="done")
    assert everything(folder) == {"made/done": b"theirs"}


def test_an_unfinished_folder_is_made_whole(folder: AnyPath) -> None:
    write_whole(folder / "made" / "a", "half of")
    with new_folder(folder) as writing:
        fill(writing.path)
        writing.publish(folder / "made", last="done")
    assert everything(folder)["made/a"] == b"content of a"
    assert everything(folder)["made/done"] == b"content of done"


@pytest.mark.parametrize("cut_at", range(5))
def test_the_last_file_comes_last(
    folder: AnyPath, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    """Wherever publishing is cut, the file that says that all are there is not."""
    put = 0

    def cutting(really: Callable[..., object]) -> Callable[..., object]:
        def put_or_fail(*args: object, **kwargs: object) -> object:
            nonlocal put
            if put == cut_at:
                raise CutError
            put += 1
            return really(*args, **kwargs)

        return put_or_fail

    with new_folder(folder) as writing:
        fill(writing.path)
        if isinstance(folder, Path):
            monkeypatch.setattr(Path, "replace", cutting(Path.replace))
        else:
            monkeypatch.setattr(folder.fs, "put_file", cutting(folder.fs.put_file))
        with pytest.raises(CutError):
            writing.publish(folder / "made", last="done")
    assert len(everything(folder)) == cut_at
    assert not (folder / "made" / "done").exists()


def test_files_are_listed_by_name(folder: AnyPath) -> None:
    assert files_in(folder, "*") == []
    for name in ("b-2.txt", "b-10.txt", "a.txt", "other", "deep/a.txt"):
        write_whole(folder / name, name)
    assert [path.name for path in files_in(folder, "*.txt")] == ["a.txt", "b-10.txt", "b-2.txt"]
    assert [path.read_text() for path in files_in(folder, "*/*.txt")] == ["deep/a.txt"]
    assert sorted(path.name for path in files_in(folder, "*")) == [
        "a.txt",
        "b-10.txt",
        "b-2.txt",
        "deep",
        "other",
    ]


WRITE = """
import sys
from rayrank.storage import place, remove_folder, write_whole
write_whole(place(sys.argv[1]) / "new", "from elsewhere")
remove_folder(place(sys.argv[1]) / "gone")
"""


def test_what_another_process_did_is_seen(folder: AnyPath) -> None:
    write_whole(folder / "gone" / "file", "here")
    assert [path.name for path in files_in(folder, "*")] == ["gone"]
    assert not (folder / "new").exists()
    subprocess.run([sys.executable, "-c", WRITE, str(folder)], check=True, env=os.environ)
    assert [path.name for path in files_in(folder, "*")] == ["new"]
    assert (folder / "new").read_text() == "from elsewhere"
    assert not (folder / "gone" / "file").exists()


def test_a_folder_is_removed_with_all_in_it(folder: AnyPath) -> None:
    for name in ("mine/a", "mine/deep/b", "mine-too/a"):
        write_whole(folder / name, name)
    remove_folder(folder / "mine")
    assert everything(folder) == {"mine-too/a": b"mine-too/a"}
    assert not (folder / "mine").exists()
    remove_folder(folder / "mine")  # where there is none, nothing happens
    remove_folder(folder / "never")


def test_parquet_is_read_and_found_by_arrow(folder: AnyPath) -> None:
    table = pa.table({"x": [1, 2, 3]})
    path = folder / "rows" / "part.parquet"
    with writing_file(path) as writing:
        pq.write_table(table, writing)
    assert read_parquet(path).equals(table)
    filesystem, name = arrow_place(path)
    assert filesystem.get_file_info(name).type == pafs.FileType.File
    with filesystem.open_input_file(name) as file:
        assert pq.read_table(file).equals(table)


def test_a_fingerprint_names_a_content() -> None:
    assert fingerprint({"a": 1, "b": [2, None]}) == fingerprint({"b": [2, None], "a": 1})
    assert len(fingerprint({})) == 12
    others = [{}, {"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {"a": [1]}, {"b": 1}, [], "a"]
    assert len({fingerprint(content) for content in others}) == len(others)
    text = b'{"a": 1, "b": {"c": "\\u00fc"}}'
    assert fingerprint({"b": {"c": "ü"}, "a": 1}) == hashlib.sha256(text).hexdigest()[:12], (
        "every version that was ever made has another name now"
    )


def test_a_file_is_read_whole_while_another_takes_its_place(folder: AnyPath) -> None:
    path = folder / "current"

    def rewrite() -> None:
        for number in range(200):
            write_whole(path, f"{number:03d}" * (number + 1))

    write_whole(path, "000")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(rewrite)
        while not writing.done():
            text = read_whole(path)
            assert text == text[:3] * (int(text[:3]) + 1)
