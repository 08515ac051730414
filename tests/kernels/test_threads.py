"""Pieces dealt to threads: each once, evenly, in the caller's modes, and no thread count is left
behind."""

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
import torch
from hstu_kernels.threads import share_out
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@given(st.lists(st.integers(1, 50), max_size=12))
def test_each_piece_once_and_evenly(areas: list[int]) -> None:
    torch.set_num_threads(3)
    lists: list[list[int]] = []
    share_out(range(len(areas)), lambda piece: areas[piece], lists.append)
    assert sorted(piece for each in lists for piece in each) == list(range(len(areas)))
    assert len(lists) <= 3
    loads = [sum(areas[piece] for piece in each) for each in lists]
    if len(areas) >= 3:
        assert max(loads) - min(loads) <= max(areas)


def seen(piece: list[int], found: list[tuple[int, bool, bool, str]]) -> None:
    modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    found.append((torch.get_num_threads(), *modes, threading.current_thread().name))


@pytest.mark.parametrize("inference", [False, True])
def test_work_runs_single_threaded_in_the_callers_mode_without_gradients(inference: bool) -> None:
    found: list[tuple[int, bool, bool, str]] = []
    with torch.inference_mode(inference):
        share_out([1, 2, 3], lambda piece: piece, lambda pieces: seen(pieces, found))
    assert [facts[:3] for facts in found] == [(1, inference, False)] * 3
    assert len({name for *_, name in found}) > 1
    assert torch.get_num_threads() == 3


def test_a_fault_in_any_thread_is_raised_when_all_have_ended() -> None:
    ended: list[int] = []

    def work(pieces: list[int]) -> None:
        if 7 in pieces:
            raise ValueError("seven")
        ended.extend(pieces)

    for pieces in ([7, 1, 2], [9, 7, 2], [9, 8, 7]):
        ended.clear()
        with pytest.raises(ValueError, match="seven"):
            share_out(pieces, lambda piece: piece, work)
        assert sorted(ended) == sorted({*pieces} - {7})
        assert torch.get_num_threads() == 3


def forked(answer: "multiprocessing.Queue[int]") -> None:
    torch.set_num_threads(3)
    total: list[int] = []
    share_out([1, 2, 3], lambda piece: piece, total.extend)
    answer.put(sum(total))


def test_a_fork_has_threads_of_its_own() -> None:
    share_out([1, 2, 3], lambda piece: piece, lambda _: None)
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.Queue[int] = context.Queue()
    child = context.Process(target=forked, args=(answer,))
    child.start()
    assert answer.get(timeout=60) == 6
    child.join()
