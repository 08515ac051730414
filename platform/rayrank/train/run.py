"""A training run: pack the epochs, start the workers, come back when they are done."""

import json
import os
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from rayrank.config import RankerConfig
from rayrank.data.pack_epochs import pack_epochs
from rayrank.errors import RayrankError
from rayrank.schema import Schema
from rayrank.train.checkpoint import latest
from rayrank.train.worker import run_worker

TOLD = "trained-from.json"
MAY_CHANGE = ("workers", "use_gpu", "max_failures", "checkpoint_every", "keep_checkpoints")
"""Of the training config, what a resumed run may do otherwise."""


def train(schema: Schema, ranker: RankerConfig, rows: Path, folder: Path) -> Path:
    """Train a ranker on the user rows under `rows`; everything it makes goes under `folder`.

    A folder that holds an unfinished run of the same configuration is resumed. Returns the last
    checkpoint. Raises RayrankError when the workers failed more often than `max_failures` allows,
    or the folder holds another configuration's run.
    """
    folder = folder.resolve()
    told: dict[str, Any] = {
        "schema": schema.model_dump(mode="json"),
        "ranker": ranker.model_dump(mode="json"),
        "rows": str(rows.resolve()),
        "folder": str(folder),
    }
    _claim(folder, told)
    pack_epochs(rows / "train", ranker.train, folder / "packed")
    config = ranker.train
    cores = int(ray.cluster_resources().get("CPU", os.cpu_count() or 1))
    told["threads"] = max(1, cores // config.workers)
    trainer = TorchTrainer(
        run_worker,
        train_loop_config=told,
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=config.workers, use_gpu=config.use_gpu),
        run_config=RunConfig(
            name="ray-train",
            storage_path=str(folder),
            failure_config=FailureConfig(max_failures=config.max_failures),
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise RayrankError(f"training failed: {_root_cause(error)}") from error
    checkpoint = latest(folder / "checkpoints")
    assert checkpoint is not None
    return checkpoint


def _claim(folder: Path, told: dict[str, Any]) -> None:
    """Say whose folder this is; refuse one that holds something else's checkpoints."""
    kept = json.loads(json.dumps(told))
    for free in MAY_CHANGE:
        del kept["ranker"]["train"][free]
    folder.mkdir(parents=True, exist_ok=True)
    claim = folder / TOLD
    if claim.exists() and json.loads(claim.read_text()) != kept:
        raise RayrankError(
            f"{folder}: holds a run of another configuration or schema ({claim.name} tells which); "
            "give this one another run_dir or ranker name, or remove that folder"
        )
    claim.write_text(json.dumps(kept, indent=1))


def _root_cause(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
