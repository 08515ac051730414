"""Attempts at one training run are numbered, and only the newest may publish."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rayrank.errors import RayrankError
from rayrank.train.attempt import begin_attempt, ensure_newest, newest_attempt

RACERS = 8


def test_numbers_ascend(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "attempts"
    assert [begin_attempt(folder) for _ in range(11)] == list(range(1, 12))
    assert newest_attempt(folder) == 11


def test_a_stale_attempt_is_refused(tmp_path: Path) -> None:
    first = begin_attempt(tmp_path)
    ensure_newest(tmp_path, first)
    second = begin_attempt(tmp_path)
    with pytest.raises(RayrankError, match="attempt 2 has taken over from attempt 1"):
        ensure_newest(tmp_path, first)
    ensure_newest(tmp_path, second)


def test_racing_attempts_get_numbers_of_their_own(tmp_path: Path) -> None:
    """Threads that all begin at once, again and again in a folder of a new race."""
    start = threading.Barrier(RACERS)

    def begin(folder: Path) -> int:
        start.wait()
        return begin_attempt(folder)

    with ThreadPoolExecutor(RACERS) as pool:
        for race in range(20):
            folder = tmp_path / str(race)
            numbers = list(pool.map(begin, [folder] * RACERS))
            assert sorted(numbers) == list(range(1, RACERS + 1))
            for number in numbers:
                if number < RACERS:
                    with pytest.raises(RayrankError, match=f"attempt {RACERS} has taken over"):
                        ensure_newest(folder, number)
            ensure_newest(folder, RACERS)
