"""A small ranker that is trained day by day."""

import threading
from pathlib import Path

from rayrank.run.config import RunConfig
from rayrank.run.run import Run

NAME = "dlrm"
FIRST, SECOND, THIRD, FOURTH = (f"2026-03-{day:02d}" for day in (2, 3, 4, 5))


def config(folder: Path, *, day_gate: float = 0.05, harm: float = 1.0) -> dict[str, object]:
    """harm: by how much more a day is learned from than it should be."""
    return {
        "run_dir": str(folder / "run"),
        "data": {
            "source": "parquet",
            "path": str(folder / "log"),
            "split": {"test": 0},
            "partitions": 1,
        },
        "rankers": {
            NAME: {
                "model": {"kind": "dlrm", "hidden": [32], "embedding_std": 0.5},
                "train": {
                    "workers": 1,
                    "epochs": 4,
                    "max_cost": 512,
                    "learning_rate": 1e-2,
                    "table_learning_rate": 0.05,
                    "warmup_steps": 5,
                },
            }
        },
        "evaluate": {"workers": 1},
        "daily": {
            "held_out": 0.3,
            "rate": 0.5 * harm,
            "epochs": int(harm),
            "gates": {"quality": 0.04, "log_loss": 0.1, "samples": 50, "day": day_gate},
        },
    }


def run_in(folder: Path, *, day_gate: float = 0.05, harm: float = 1.0) -> Run:
    return Run(RunConfig.model_validate(config(folder, day_gate=day_gate, harm=harm)))


def wait_for(said: list[str], words: str) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if any(words in line for line in said):
            return
        pause.wait(0.1)
    raise AssertionError("\n".join(said[-30:]))
