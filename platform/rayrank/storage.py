"""Where things lie, at any URI that fsspec knows, and writing that is whole or absent.

A local path is a `pathlib.Path`; any other URI (`s3://bucket/run`) is a universal-pathlib `UPath`,
which answers the same calls. Object stores cannot rename, so nothing here needs them to: a file
is put in one piece, a folder is complete once the file that is written last is there.
"""

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from upath import UPath

AnyPath = Path | UPath


def place(uri: str | AnyPath) -> AnyPath:
    """The path of a URI, or of a local path."""
    if isinstance(uri, Path | UPath):
        return uri
    if "://" not in uri or uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    # Listings are asked for anew: other processes write to the same folders.
    return UPath(uri, use_listings_cache=False)


def absolute(path: AnyPath) -> AnyPath:
    """The same place, whatever the working folder of the process that is told."""
    return path.resolve() if isinstance(path, Path) else path


def arrow_place(path: AnyPath) -> tuple[pafs.FileSystem, str]:
    """The path as pyarrow and Ray take it: a filesystem, and a path on it."""
    if isinstance(path, Path):
        return pafs.LocalFileSystem(), str(path)
    return pafs.PyFileSystem(pafs.FSSpecHandler(path.fs)), path.path


def files_in(folder: AnyPath, pattern: str) -> list[AnyPath]:
    """The files (or folders) of a folder that match, by name; [] where there is no folder."""
    return sorted(folder.glob(pattern), key=str)


def read_parquet(path: AnyPath) -> pa.Table:
    """One Parquet file."""
    filesystem, name = arrow_place(path)
    return pq.read_table(name, filesystem=filesystem, partitioning=None)


def read_whole(path: AnyPath) -> str:
    """A text file in one piece, whole even while another process writes it anew: an object is asked
    for once, not range by range."""
    if isinstance(path, Path):
        return path.read_text()
    content: bytes = path.fs.cat_file(path.path)
    return content.decode()


def write_whole(path: AnyPath, content: str | bytes) -> None:
    """Write a file that appears whole, and takes the place of one that is there."""
    data = content.encode() if isinstance(content, str) else content
    if not isinstance(path, Path):
        path.write_bytes(data)  # an object is put whole or not at all
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f".{path.name}.writing-{uuid.uuid4().hex[:8]}")
    try:
        writing.write_bytes(data)
        writing.replace(path)
    finally:
        writing.unlink(missing_ok=True)


def write_grown(path: AnyPath, content: bytes, there: int) -> None:
    """Let a file hold `content`, of which it has the first `there` bytes: what is new is appended,
    so that who has it open reads on. An object cannot be appended to, and is put anew."""
    if not isinstance(path, Path):
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if there else "wb") as file:
        file.seek(there)
        file.write(content[there:])


@contextmanager
def writing_file(path: AnyPath) -> Iterator[Path]:
    """A local file to write; on leaving it takes the place of `path`, whole.

    After an error nothing of it is left, and `path` is as it was.
    """
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        writing = path.with_name(f".{path.name}.writing-{uuid.uuid4().hex[:8]}")
        try:
            yield writing
            writing.replace(path)
        finally:
            writing.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="rayrank-") as folder:
        yield Path(folder) / path.name
        path.fs.put_file(str(Path(folder) / path.name), path.path)


@contextmanager
def reading_file(path: AnyPath) -> Iterator[Path]:
    """A local file with the content of `path`: itself, or a copy that is gone on leaving."""
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="rayrank-") as folder:
        copy = Path(folder) / path.name
        path.fs.get_file(path.path, str(copy))
        yield copy


KEPT_COPIES = 8
"""Of remote files, on a host: two for each bundle."""


def copy_on_this_host(path: AnyPath, digest: str) -> Path:
    """A local file with the content of `path`: itself, or a copy that stays, for all processes of
    this user to map into memory, named by the SHA-256 that its content should have. Of copies those
    stay that were asked for last; one that is mapped outlives its name."""
    if isinstance(path, Path):
        return path
    folder = Path(tempfile.gettempdir()) / f"rayrank-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / digest
    if copy.exists():
        copy.touch()
        return copy
    with writing_file(copy) as writing:
        path.fs.get_file(path.path, str(writing))
    copies = [(file.stat().st_mtime, file) for file in folder.glob("[!.]*")]
    for _, old in sorted(copies)[:-KEPT_COPIES]:
        old.unlink(missing_ok=True)
    return copy


class NewFolder:
    """A local folder to fill, and then to publish whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def publish(self, out: AnyPath, last: str) -> None:
        """Put what was written at `out`; `last` is the file that says it is all there.

        An `out` that is complete already, as another writer left it, stays.
        """
        if (out / last).exists():
            return
        files = [path for path in sorted(self.path.rglob("*")) if path.is_file()]
        for path in sorted(files, key=lambda path: path == self.path / last):
            target = out.joinpath(*path.relative_to(self.path).parts)
            if isinstance(target, Path):
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
            else:
                target.fs.put_file(str(path), target.path)


@contextmanager
def new_folder(parent: AnyPath) -> Iterator[NewFolder]:
    """A folder to fill for a place under `parent`. What is not published is gone on leaving."""
    if isinstance(parent, Path):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
        folder.chmod(0o755)
    else:
        folder = Path(tempfile.mkdtemp(prefix="rayrank-"))
    try:
        yield NewFolder(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_folder(folder: AnyPath) -> None:
    """Remove a folder of ours and all in it; nothing happens where there is none."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.fs.rm(folder.path, recursive=True)


def sha256(path: AnyPath) -> str:
    """The hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def fingerprint(content: Any) -> str:
    """12 hex digits that name a content of JSON's types, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
