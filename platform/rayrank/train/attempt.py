"""Attempts are numbered, so that a worker that was given up for dead cannot overwrite the work of
those that took over."""

from pathlib import Path

from rayrank.errors import RayrankError


def begin_attempt(folder: Path) -> int:
    """Take the next attempt number: atomic, because creating a folder is."""
    folder.mkdir(parents=True, exist_ok=True)
    number = newest_attempt(folder) + 1
    while True:
        try:
            (folder / f"{number:06d}").mkdir()
        except FileExistsError:
            number += 1
        else:
            return number


def newest_attempt(folder: Path) -> int:
    """The highest number taken; 0 if none was."""
    return max((int(path.name) for path in folder.iterdir()), default=0)


def ensure_newest(folder: Path, attempt: int) -> None:
    """Raises RayrankError when a later attempt has begun."""
    newest = newest_attempt(folder)
    if newest != attempt:
        raise RayrankError(f"{folder}: attempt {newest} has taken over from attempt {attempt}")
