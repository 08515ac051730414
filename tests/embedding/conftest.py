"""One world for the tests of sharded tables: its ranks take half a minute."""

import subprocess
import sys
from pathlib import Path

import pytest

from .sharded_worker import WORLDS


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the ranks left."""
    folder = tmp_path_factory.mktemp("ranks")
    worker = str(Path(__file__).with_name("sharded_worker.py"))
    ranks = [
        subprocess.Popen(
            [sys.executable, worker, str(rank), str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(max(WORLDS))
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=300)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()
    return folder
