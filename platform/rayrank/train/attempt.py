"""Attempts are numbered, so that a worker that was given up for dead cannot overwrite the work of
those that took over."""

from pathlib import Path

from rayrank.errors import TrainingError
from rayrank.storage import AnyPath, files_in


def begin_attempt(folder: AnyPath) -> int:
    """Take the next attempt number: atomic, because creating a file that must be new is, on disks
    and in object stores."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    number = newest_attempt(folder) + 1
    while True:
        try:
            with (folder / f"{number:06d}").open("xb") as file:
                file.write(b"begun")
        except FileExistsError:
            number += 1
        else:
            return number


def newest_attempt(folder: AnyPath) -> int:
    """The highest number taken; 0 if none was."""
    return max((int(path.name) for path in files_in(folder, "*")), default=0)


def ensure_newest(folder: AnyPath, attempt: int) -> None:
    """Raises TrainingError when a later attempt has begun."""
    newest = newest_attempt(folder)
    if newest != attempt:
        raise TrainingError(f"{folder}: attempt {newest} has taken over from attempt {attempt}")
