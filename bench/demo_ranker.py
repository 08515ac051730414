"""The demo's ranker, for benchmarks that train it on another log."""

from typing import Any

RANKER: dict[str, Any] = {
    "model": {"kind": "mtgr", "attention_length": 64, "embedding_std": 1.0},
    "train": {
        "epochs": 2,
        "max_cost": 2048,
        "learning_rate": 3e-3,
        "table_learning_rate": 0.05,
    },
}
"""As a config has it under `rankers`."""
