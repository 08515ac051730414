"""Checkpoints that are complete or do not exist.

    checkpoints/step-00000200.000002/     step 200, written by attempt 2
        dense.safetensors        dense weights, whole
        optimizer.safetensors    AdamW's state, whole
        tables-0-000000.safetensors    a part of what rank 0 holds of the tables, with optimizer
                                     state, at most 64 MiB of vectors; …
        ids-0.safetensors        ids of rank 0 without a row: those that wait, those that went; …
        random-0.safetensors     rank 0's random state; …
        state.json               position in the data, attempt, world size, quality
        manifest.json            SHA-256 of every file above; written last

Each rank writes and hashes its own files, rank 0 the manifest. No two attempts share a folder, and
nothing is renamed: object stores cannot. Nothing is pickled.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from rayrank.embedding.tables import ShardRows
from rayrank.errors import CheckpointError
from rayrank.storage import AnyPath, files_in, remove_folder, sha256, write_whole
from rayrank.tensors import read_tensors, write_tensors

MANIFEST = "manifest.json"
STATE = "state.json"
Hashes = dict[str, str]
"""File name -> SHA-256."""


@dataclass(frozen=True)
class Position:
    """How far training has come: the next step to take, and who got there."""

    epoch: int
    batches: int
    """Packed batches of the epoch that are done, over all ranks."""
    step: int
    world_size: int
    attempt: int


@dataclass(frozen=True)
class State:
    """What a checkpoint says of itself."""

    position: Position
    quality: float | None
    """On later data, where an epoch had just ended: more is better."""
    table_steps: int
    """That the tables had trained for, in this run and those that it began from."""


class Keep(NamedTuple):
    """Which checkpoints stay."""

    newest: int
    """So many."""
    best: bool = False
    """And the one of the best quality."""


def checkpoint_folder(folder: AnyPath, position: Position) -> AnyPath:
    """Where under `folder` the checkpoint of a position belongs."""
    return folder / f"step-{position.step:08d}.{position.attempt:06d}"


def complete(folder: AnyPath) -> list[AnyPath]:
    """The complete checkpoints, oldest first."""
    return [manifest.parent for manifest in files_in(folder, f"step-*/{MANIFEST}")]


def newest_sound(
    checkpoints: list[AnyPath], faults_of: Callable[[AnyPath], list[str]]
) -> tuple[AnyPath | None, list[str]]:
    """The last of them that has no fault, or None; and what is wrong with each after it."""
    faults: list[str] = []
    for checkpoint in reversed(checkpoints):
        found = faults_of(checkpoint)
        if not found:
            return checkpoint, faults
        faults += found
    return None, faults


def fault_of(checkpoint: AnyPath, rank: int, world_size: int) -> str | None:
    """What is wrong with what one rank reads of a checkpoint, if anything is."""
    try:
        verify(checkpoint, [STATE])
        before = read_state(checkpoint).position.world_size
        tables = [
            path.name
            for of in read_by(rank, world_size, before)
            for path in (*_parts_of(checkpoint, of), checkpoint / f"ids-{of}.safetensors")
        ]
        own = [f"random-{rank}.safetensors"] if before == world_size else []
        verify(checkpoint, ["dense.safetensors", "optimizer.safetensors", *tables, *own])
    except CheckpointError as error:
        return str(error)
    return None


def read_by(rank: int, world_size: int, before: int) -> list[int]:
    """Whose rows a rank reads: its own, or those of all that there were before, where they are
    dealt anew."""
    return [rank] if before == world_size else list(range(before))


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Of this process: what it draws on its CPU, and on a GPU that it has."""
    gpu = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **gpu}


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Go on drawing from there."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def rank_files(
    rank: int,
    parts: Iterable[Mapping[str, ShardRows]],
    aside: Mapping[str, torch.Tensor],
    random: Mapping[str, torch.Tensor],
) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """The names and contents of a rank's files, one after the other: its rows of all tables, in
    parts; what it keeps of ids without a row; its random state."""
    for number, part in enumerate(parts):
        yield (
            f"tables-{rank}-{number:06d}.safetensors",
            {
                f"{name}/{field}": value
                for name, rows in part.items()
                for field, value in vars(rows).items()
            },
        )
    yield f"ids-{rank}.safetensors", aside
    yield f"random-{rank}.safetensors", random


def publish(
    checkpoint: AnyPath,
    state: State,
    dense: dict[str, torch.Tensor],
    optimizer: dict[str, torch.Tensor],
    ranks: Hashes,
    keep: Keep,
) -> None:
    """Rank 0, after all ranks have written: complete the checkpoint, and then remove all but those
    to keep, and what older attempts left unfinished."""
    hashes = ranks | {
        "dense.safetensors": write_tensors(checkpoint / "dense.safetensors", dense),
        "optimizer.safetensors": write_tensors(checkpoint / "optimizer.safetensors", optimizer),
    }
    write_whole(checkpoint / STATE, json.dumps(asdict(state)))
    hashes[STATE] = sha256(checkpoint / STATE)
    write_whole(checkpoint / MANIFEST, json.dumps(hashes, indent=1))
    there = complete(checkpoint.parent)
    kept = {path.name for path in there[-keep.newest :]}
    if keep.best and (found := best(there)) is not None:
        kept.add(found.name)
    for other in files_in(checkpoint.parent, "step-*"):
        if other.name not in kept:
            remove_folder(other)


def best(checkpoints: list[AnyPath]) -> AnyPath | None:
    """That of the best quality, the first of several; None where none is known."""
    told = {path: read_state(path).quality for path in checkpoints}
    known = {path: quality for path, quality in told.items() if quality is not None}
    return max(known, key=lambda path: known[path], default=None)


def verify(checkpoint: AnyPath, files: list[str] | None = None) -> None:
    """Raises CheckpointError, naming the file, unless every file, or each of those, is as it was
    written."""
    manifest = checkpoint / MANIFEST
    if not manifest.exists():
        raise CheckpointError(f"{checkpoint}: not a complete checkpoint: it has no {MANIFEST}")
    try:
        hashes: Hashes = json.loads(manifest.read_text())
    except ValueError as error:
        raise CheckpointError(f"{manifest}: not JSON: {error}") from None
    for name in hashes if files is None else files:
        path = checkpoint / name
        if name not in hashes:
            raise CheckpointError(f"{manifest}: does not list {name}")
        if not path.exists():
            raise CheckpointError(f"{path}: missing, though {MANIFEST} lists it")
        if sha256(path) != hashes[name]:
            raise CheckpointError(f"{path}: its content is not what {MANIFEST} says")


def read_state(checkpoint: AnyPath) -> State:
    """Where a checkpoint stands, and how good it is."""
    content: dict[str, Any] = json.loads((checkpoint / STATE).read_text())
    if "table_steps" not in content:
        raise CheckpointError(
            f"{checkpoint}: was written by an older rayrank, whose tables were kept otherwise; "
            "train anew"
        )
    return State(Position(**content.pop("position")), **content)


def read_parts(
    checkpoint: AnyPath, ranks: Iterable[int] | None = None
) -> Iterator[dict[str, ShardRows]]:
    """Table -> rows, part by part, of every rank that wrote the checkpoint, or of `ranks`."""
    for rank in _ranks(checkpoint, ranks):
        for path in _parts_of(checkpoint, rank):
            part: dict[str, dict[str, torch.Tensor]] = {}
            for full_name, tensor in read_tensors(path).items():
                name, field = full_name.rsplit("/", 1)
                part.setdefault(name, {})[field] = tensor
            yield {name: ShardRows(**fields) for name, fields in part.items()}


def read_rows(checkpoint: AnyPath) -> dict[str, ShardRows]:
    """Every table's rows, whole; a table without any is not among them."""
    rows: dict[str, list[ShardRows]] = {}
    for part in read_parts(checkpoint):
        for name, held in part.items():
            rows.setdefault(name, []).append(held)
    return {name: ShardRows.joined(parts) for name, parts in rows.items()}


def read_aside(
    checkpoint: AnyPath, ranks: Iterable[int] | None = None
) -> Iterator[dict[str, torch.Tensor]]:
    """What each rank kept of ids without a row."""
    for rank in _ranks(checkpoint, ranks):
        yield read_tensors(checkpoint / f"ids-{rank}.safetensors")


def _ranks(checkpoint: AnyPath, ranks: Iterable[int] | None) -> Iterable[int]:
    return range(read_state(checkpoint).position.world_size) if ranks is None else ranks


def _parts_of(checkpoint: AnyPath, rank: int) -> list[AnyPath]:
    """A rank's, in their order, as the manifest has them."""
    names: Hashes = json.loads((checkpoint / MANIFEST).read_text())
    return [checkpoint / name for name in sorted(names) if name.startswith(f"tables-{rank}-")]


def read_dense(checkpoint: AnyPath) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The dense weights, and AdamW's state."""
    return (
        read_tensors(checkpoint / "dense.safetensors"),
        read_tensors(checkpoint / "optimizer.safetensors"),
    )


def read_random(checkpoint: AnyPath, rank: int) -> dict[str, torch.Tensor]:
    """A rank's random state, as `set_random_state` takes it."""
    return read_tensors(checkpoint / f"random-{rank}.safetensors")
