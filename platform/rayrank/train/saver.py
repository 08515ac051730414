"""Checkpoints are written while training goes on, from a copy taken at once.

A store that fails costs a checkpoint, not the run: it is said, and the next one is tried.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist

from rayrank.embedding.sharded import TablesSnapshot
from rayrank.errors import TrainingError
from rayrank.storage import AnyPath
from rayrank.tensors import write_tensors
from rayrank.train import checkpoint as ckpt
from rayrank.train.attempt import ensure_newest
from rayrank.train.finished import ATTEMPTS, CHECKPOINTS

PAUSES_S = (1.0, 4.0)
"""Before a store is tried again that failed, and again."""
T = TypeVar("T")


class Snapshot(NamedTuple):
    """What a checkpoint holds of one rank, as it is, whatever happens to it."""

    position: ckpt.Position
    tables: TablesSnapshot
    random: dict[str, torch.Tensor]
    dense: dict[str, torch.Tensor]
    """This, and the optimizer's state, of rank 0 alone; the others have {}."""
    optimizer: dict[str, torch.Tensor]
    quality: float | None
    """Of an epoch that has just ended, on later data."""


class StoreError(Exception):
    """A store could not be written to, and says why."""


class Outcome(NamedTuple):
    """What became of a checkpoint, the same on every rank."""

    step: int
    fault: str | None
    """Why it was not written."""


class Saver:
    """Of one rank. Every method is collective."""

    def __init__(self, folder: AnyPath, keep: ckpt.Keep) -> None:
        """folder: the run's."""
        self.folder, self.keep = folder, keep
        # Of its own: the trainer's collectives go on at the same time.
        self._group = dist.new_group(backend="gloo")
        self._thread: threading.Thread | None = None
        self._outcome: Outcome | BaseException | None = None

    def save(self, snapshot: Snapshot) -> None:
        """Begin to write; `wait` for the last one first."""
        assert self._thread is None
        # A daemon: a rank that fails does not stay for what its peers will never finish.
        self._thread = threading.Thread(
            target=self._run, args=(snapshot,), name="saver", daemon=True
        )
        self._thread.start()

    def wait(self) -> Outcome | None:
        """For the last one, where one is under way. Raises what must end the run: TrainingError
        where a later attempt has taken over."""
        if self._thread is None:
            return None
        self._thread.join()
        self._thread, outcome = None, self._outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run(self, snapshot: Snapshot) -> None:
        try:
            self._outcome = Outcome(snapshot.position.step, self._write(snapshot))
        except BaseException as error:  # of the thread; raised where it is waited for
            self._outcome = error

    def _write(self, snapshot: Snapshot) -> str | None:
        position, rank = snapshot.position, dist.get_rank()
        checkpoint = ckpt.checkpoint_folder(self.folder / CHECKPOINTS, position)
        written: list[ckpt.Hashes | str] = [""] * position.world_size
        own: ckpt.Hashes | str
        try:
            own = _written(checkpoint, rank, snapshot)
        except StoreError as error:
            own = str(error)
        dist.all_gather_object(written, own, group=self._group)  # all ranks' files are there
        faults = [f"rank {of}: {told}" for of, told in enumerate(written) if isinstance(told, str)]
        if faults:
            return "; ".join(faults)
        published: list[str | TrainingError | None] = [None]
        if rank == 0:
            hashes = {k: v for of in written if isinstance(of, dict) for k, v in of.items()}
            published = [self._publish(checkpoint, snapshot, hashes)]
        dist.broadcast_object_list(published, 0, group=self._group)
        if isinstance(published[0], TrainingError):
            raise published[0]
        return published[0]

    def _publish(
        self, checkpoint: AnyPath, of: Snapshot, hashes: ckpt.Hashes
    ) -> str | TrainingError | None:
        def publish() -> None:
            ensure_newest(self.folder / ATTEMPTS, of.position.attempt)
            state = ckpt.State(of.position, of.quality, of.tables.steps)
            ckpt.publish(checkpoint, state, of.dense, of.optimizer, hashes, self.keep)

        try:
            tried(publish)
        except StoreError as error:
            return str(error)
        except TrainingError as error:
            return error
        return None


def _written(checkpoint: AnyPath, rank: int, of: Snapshot) -> ckpt.Hashes:
    """Write a rank's files, one after the other. Raises StoreError."""
    files = ckpt.rank_files(rank, of.tables.parts(), of.tables.aside, of.random)
    return {
        name: tried(partial(write_tensors, checkpoint / name, content)) for name, content in files
    }


def tried(write: Callable[[], T]) -> T:
    """What `write` returns. Raises StoreError where it still fails after the last pause.

    Stores fail in many ways, and few of them are an OSError."""
    for pause_s in (*PAUSES_S, None):
        try:
            return write()
        except TrainingError:
            raise
        except Exception as error:
            if pause_s is None:
                raise StoreError(f"{type(error).__name__}: {error}") from error
            time.sleep(pause_s)
    raise AssertionError
