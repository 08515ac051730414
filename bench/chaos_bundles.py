"""Small requests, of which thousands are answered in a minute; and a bundle that is damaged."""

import shutil
from pathlib import Path

from rayrank.infer.bundle import TABLES

from bench.serve_rows import heavy

HISTORY, CANDIDATES, USERS = 10, 5, 200
DAMAGED = "damaged"


def small_bodies() -> list[bytes]:
    """Requests for `random_bundles`."""
    return [heavy(user, HISTORY, CANDIDATES) for user in range(USERS)]


def damaged_copy(bundles: Path, version: str) -> Path:
    """A copy of a version with a flipped bit, as DAMAGED: the file that has it."""
    shutil.copytree(bundles / version, bundles / DAMAGED, dirs_exist_ok=True)
    file = bundles / DAMAGED / TABLES
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return file
