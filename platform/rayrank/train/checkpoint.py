"""Checkpoints that are complete or do not exist.

    checkpoints/step-00000200/
        dense.safetensors        replicated weights
        optimizer.safetensors    AdamW's state
        tables-0.safetensors     what rank 0 holds of every table, with optimizer state; …
        random-0.safetensors     rank 0's random state; …
        state.json               position in the data, attempt, world size
        manifest.json            SHA-256 of every file above; written last

All ranks write into one folder beside the final place; rank 0 hashes, writes the manifest and
renames. Nothing is pickled.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rayrank.data.whole import sha256
from rayrank.embedding.tables import ShardRows
from rayrank.errors import RayrankError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Position:
    """How far training has come: the next step to take, and who got there."""

    epoch: int
    batches: int
    """Packed batches of the epoch that are done, over all ranks."""
    step: int
    world_size: int
    attempt: int


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    complete = [path for path in folder.glob("step-*") if (path / MANIFEST).exists()]
    return max(complete, default=None, key=lambda path: path.name)


def write_rank(folder: Path, rank: int, rows: dict[str, ShardRows]) -> None:
    """One rank's files: its rows of every table and its random state."""
    tensors = {
        f"{name}/{field}": value.contiguous()
        for name, part in rows.items()
        for field, value in vars(part).items()
    }
    save_file(tensors, folder / f"tables-{rank}.safetensors")
    save_file({"cpu": torch.get_rng_state()}, folder / f"random-{rank}.safetensors")


def publish(
    writing: Path,
    position: Position,
    dense: dict[str, torch.Tensor],
    optimizer: dict[str, torch.Tensor],
    keep: int,
) -> Path:
    """Rank 0, after all ranks have written: complete the checkpoint and give it its name."""
    save_file(dense, writing / "dense.safetensors")
    save_file(optimizer, writing / "optimizer.safetensors")
    (writing / "state.json").write_text(json.dumps(asdict(position)))
    hashes = {path.name: sha256(path) for path in sorted(writing.iterdir())}
    (writing / MANIFEST).write_text(json.dumps(hashes, indent=1))
    final = writing.with_name(f"step-{position.step:08d}")
    shutil.rmtree(final, ignore_errors=True)
    writing.rename(final)
    for old in sorted(final.parent.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    for abandoned in final.parent.glob(".step-*"):  # by attempts that died while writing
        shutil.rmtree(abandoned, ignore_errors=True)
    return final


def verify(checkpoint: Path) -> None:
    """Raises RayrankError, naming the file, unless every file is as it was written."""
    manifest = checkpoint / MANIFEST
    if not manifest.exists():
        raise RayrankError(f"{checkpoint}: not a complete checkpoint: it has no {MANIFEST}")
    for name, digest in json.loads(manifest.read_text()).items():
        path = checkpoint / name
        if not path.exists():
            raise RayrankError(f"{path}: missing, though {MANIFEST} lists it")
        if sha256(path) != digest:
            raise RayrankError(f"{path}: its content is not what {MANIFEST} says")


def read_position(checkpoint: Path) -> Position:
    """Where a checkpoint stands."""
    content: dict[str, Any] = json.loads((checkpoint / "state.json").read_text())
    return Position(**content)


def read_rows(checkpoint: Path) -> dict[str, list[ShardRows]]:
    """Every table's rows, one part per rank that wrote the checkpoint."""
    rows: dict[str, list[ShardRows]] = {}
    for rank in range(read_position(checkpoint).world_size):
        parts: dict[str, dict[str, torch.Tensor]] = {}
        for full_name, tensor in load_file(checkpoint / f"tables-{rank}.safetensors").items():
            name, field = full_name.rsplit("/", 1)
            parts.setdefault(name, {})[field] = tensor
        for name, fields in parts.items():
            rows.setdefault(name, []).append(ShardRows(**fields))
    return rows


def read_dense(checkpoint: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The replicated weights, and AdamW's state."""
    return (
        load_file(checkpoint / "dense.safetensors"),
        load_file(checkpoint / "optimizer.safetensors"),
    )


def read_random(checkpoint: Path, rank: int) -> torch.Tensor:
    """A rank's random state, as `torch.set_rng_state` takes it."""
    return load_file(checkpoint / f"random-{rank}.safetensors")["cpu"]
