"""A training run is finished or it is not: a cut one is never taken for the whole."""

import json

from rayrank.data.days import rows_name
from rayrank.errors import TrainingError
from rayrank.storage import AnyPath, sha256, write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train.journal import read_story

FINISHED = "finished.json"
BEGUN = "attempts/000001"
ATTEMPTS, BATCHES, CHECKPOINTS, JOURNAL = "attempts", "batches", "checkpoints", "journal"
EVENTS = "tensorboard"


def write_finished(folder: AnyPath, checkpoint: AnyPath) -> None:
    """Say that the training run in `folder` has ended with this checkpoint."""
    write_whole(folder / FINISHED, json.dumps({"checkpoint": checkpoint.name}))


def is_finished(folder: AnyPath) -> bool:
    """Whether the training run in `folder` has come to its end."""
    return (folder / FINISHED).exists()


def checkpoint_origin(rows: AnyPath, trained: AnyPath, checkpoint: AnyPath) -> dict[str, str]:
    """What is made from a finished checkpoint, scores and bundles alike, says of it: by this a
    bundle finds the trainer's scores of itself. rows and trained are versions' folders."""
    return {
        "rows": rows_name(rows),
        "ranker": trained.name,
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": sha256(checkpoint / ckpt.MANIFEST),
    }


def finished_checkpoint(folder: AnyPath) -> AnyPath:
    """The last checkpoint of a finished training run, verified.

    TrainingError says how far a run is that is not finished; CheckpointError names a damaged file.
    """
    if not is_finished(folder):
        steps = read_story(folder / JOURNAL).steps
        far = f"at {steps[-1].batches} of {steps[-1].of} batches" if steps else "not begun"
        raise TrainingError(f"{folder}: not finished ({far}); run jobs/train.py, which resumes it")
    name = json.loads((folder / FINISHED).read_text())["checkpoint"]
    checkpoint = folder / CHECKPOINTS / name
    ckpt.verify(checkpoint)
    return checkpoint
