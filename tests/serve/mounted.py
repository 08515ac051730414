"""A secret as Kubernetes mounts it: a link to a link to a folder, exchanged whole by one rename."""

import os
import shutil
from pathlib import Path


class Mounted:
    """`folder/name` -> `..data/name`, `..data` -> `..1/`, `..2/`, …"""

    def __init__(self, folder: Path, name: str, content: str) -> None:
        self.folder, self.name = folder, name
        self.file, self.link = folder / name, folder / "..data"
        self._version = 0
        folder.mkdir()
        self.exchange(content)
        self.file.symlink_to(f"..data/{name}")

    def exchange(self, content: str) -> None:
        """Another content. Times are alike, so that the link alone tells."""
        before, self._version = self._version, self._version + 1
        new = self.folder / f"..{self._version}"
        new.mkdir()
        (new / self.name).write_text(content)
        os.utime(new / self.name, (1000, 1000))
        link = self.folder / "..data_tmp"
        link.symlink_to(new.name)
        link.replace(self.link)
        shutil.rmtree(self.folder / f"..{before}", ignore_errors=True)
