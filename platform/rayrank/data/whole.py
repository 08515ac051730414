"""Files and folders that are complete or do not exist: written beside their place, then renamed."""

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder to fill; on leaving it takes the place of `out`, and of what was there.

    After an error nothing of it is left, and `out` is as it was.
    """
    writing = out.with_name(f".{out.name}.writing-{uuid.uuid4().hex[:8]}")
    replaced = writing.with_name(writing.name.replace(".writing-", ".replaced-"))
    writing.mkdir(parents=True)
    try:
        yield writing
        if out.exists():
            out.rename(replaced)
        writing.rename(out)
    finally:
        if replaced.exists() and not out.exists():
            replaced.rename(out)
        shutil.rmtree(writing, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write; on leaving the file takes the place of `path`.

    After an error nothing of it is left, and `path` is as it was.
    """
    writing = path.with_name(f".{path.name}.writing-{uuid.uuid4().hex[:8]}")
    try:
        yield writing
        writing.replace(path)
    finally:
        writing.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
