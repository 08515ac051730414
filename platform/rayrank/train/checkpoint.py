"""Checkpoints that are complete or do not exist.

    checkpoints/step-00000200.000002/     step 200, written by attempt 2
        dense.safetensors        replicated weights
        optimizer.safetensors    AdamW's state
        tables-0.safetensors     what rank 0 holds of every table, with optimizer state; …
        random-0.safetensors     rank 0's random state; …
        state.json               position in the data, attempt, world size
        manifest.json            SHA-256 of every file above; written last

Each rank writes and hashes its own files, rank 0 the manifest. No two attempts share a folder, and
nothing is renamed: object stores cannot. Nothing is pickled.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch

from rayrank.embedding.tables import ShardRows
from rayrank.errors import CheckpointError
from rayrank.storage import AnyPath, files_in, remove_folder, sha256, write_whole
from rayrank.tensors import read_tensors, write_tensors

MANIFEST = "manifest.json"
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


def checkpoint_folder(folder: AnyPath, position: Position) -> AnyPath:
    """Where under `folder` the checkpoint of a position belongs."""
    return folder / f"step-{position.step:08d}.{position.attempt:06d}"


def complete(folder: AnyPath) -> list[AnyPath]:
    """The complete checkpoints, oldest first."""
    return [manifest.parent for manifest in files_in(folder, f"step-*/{MANIFEST}")]


def newest_sound(folder: AnyPath) -> tuple[AnyPath | None, list[str]]:
    """The newest complete checkpoint whose files are as they were written, or None; and what is
    wrong with each newer one."""
    faults = []
    for checkpoint in reversed(complete(folder)):
        try:
            verify(checkpoint)
        except CheckpointError as error:
            faults.append(str(error))
        else:
            return checkpoint, faults
    return None, faults


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Of this process: what it draws on its CPU, and on a GPU that it has."""
    gpu = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **gpu}


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Go on drawing from there."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def write_rank(
    checkpoint: AnyPath, rank: int, rows: dict[str, ShardRows], random: dict[str, torch.Tensor]
) -> Hashes:
    """One rank's files: its rows of every table and its random state."""
    tensors = {
        f"{name}/{field}": value
        for name, part in rows.items()
        for field, value in vars(part).items()
    }
    files = {
        f"tables-{rank}.safetensors": tensors,
        f"random-{rank}.safetensors": random,
    }
    return {name: write_tensors(checkpoint / name, content) for name, content in files.items()}


def publish(
    checkpoint: AnyPath,
    position: Position,
    dense: dict[str, torch.Tensor],
    optimizer: dict[str, torch.Tensor],
    ranks: Hashes,
    keep: int,
) -> None:
    """Rank 0, after all ranks have written: complete the checkpoint, and remove all but the newest
    `keep`, and what older attempts left unfinished."""
    hashes = ranks | {
        "dense.safetensors": write_tensors(checkpoint / "dense.safetensors", dense),
        "optimizer.safetensors": write_tensors(checkpoint / "optimizer.safetensors", optimizer),
    }
    state = checkpoint / "state.json"
    write_whole(state, json.dumps(asdict(position)))
    hashes[state.name] = sha256(state)
    write_whole(checkpoint / MANIFEST, json.dumps(hashes, indent=1))
    kept = complete(checkpoint.parent)[-keep:]
    for other in files_in(checkpoint.parent, "step-*"):
        if other.name not in {path.name for path in kept}:
            remove_folder(other)


def verify(checkpoint: AnyPath) -> None:
    """Raises CheckpointError, naming the file, unless every file is as it was written."""
    manifest = checkpoint / MANIFEST
    if not manifest.exists():
        raise CheckpointError(f"{checkpoint}: not a complete checkpoint: it has no {MANIFEST}")
    try:
        hashes: Hashes = json.loads(manifest.read_text())
    except ValueError as error:
        raise CheckpointError(f"{manifest}: not JSON: {error}") from None
    for name, digest in hashes.items():
        path = checkpoint / name
        if not path.exists():
            raise CheckpointError(f"{path}: missing, though {MANIFEST} lists it")
        if sha256(path) != digest:
            raise CheckpointError(f"{path}: its content is not what {MANIFEST} says")


def read_position(checkpoint: AnyPath) -> Position:
    """Where a checkpoint stands."""
    content: dict[str, Any] = json.loads((checkpoint / "state.json").read_text())
    return Position(**content)


def read_rows(checkpoint: AnyPath) -> dict[str, list[ShardRows]]:
    """Every table's rows, one part per rank that wrote the checkpoint."""
    rows: dict[str, list[ShardRows]] = {}
    for rank in range(read_position(checkpoint).world_size):
        parts: dict[str, dict[str, torch.Tensor]] = {}
        for full_name, tensor in read_tensors(checkpoint / f"tables-{rank}.safetensors").items():
            name, field = full_name.rsplit("/", 1)
            parts.setdefault(name, {})[field] = tensor
        for name, fields in parts.items():
            rows.setdefault(name, []).append(ShardRows(**fields))
    return rows


def read_dense(checkpoint: AnyPath) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The replicated weights, and AdamW's state."""
    return (
        read_tensors(checkpoint / "dense.safetensors"),
        read_tensors(checkpoint / "optimizer.safetensors"),
    )


def read_random(checkpoint: AnyPath, rank: int) -> dict[str, torch.Tensor]:
    """A rank's random state, as `set_random_state` takes it."""
    return read_tensors(checkpoint / f"random-{rank}.safetensors")
