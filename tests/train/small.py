"""A small log, its user rows, and a ranker that trains on them in seconds."""

from pathlib import Path

from rayrank.data.build import build
from rayrank.data.config import DataConfig, SimulateConfig
from rayrank.data.source import prepare_log
from rayrank.run.config import RunConfig
from rayrank.run.folder import RunFolder
from rayrank.schema import Schema
from rayrank.train.config import RankerConfig

EPOCHS = 8
"""Over a hundred steps: a process that is to be killed must still be at it."""


def small_config(run_dir: Path, **train: object) -> RunConfig:
    """Simulated users, a two-layer MTGR with dropout, two workers."""
    return RunConfig(
        run_dir=str(run_dir),
        data=DataConfig(
            source="simulate",
            simulate=SimulateConfig(users=60, days=4, mean_length=20),
            partitions=2,
        ),
        rankers={
            "mtgr": RankerConfig.model_validate(
                {
                    "model": {"kind": "mtgr", "d_model": 32, "heads": 2, "dropout": 0.1},
                    "train": {
                        "workers": 2,
                        "epochs": EPOCHS,
                        "max_cost": 60,
                        "checkpoint_every": 10,
                        "warmup_steps": 2,
                        **train,
                    },
                }
            )
        },
    )


def build_small(config: RunConfig, rows: Path) -> Schema:
    """Make the log, and its user rows in a folder; the schema. Needs Ray."""
    log, schema = prepare_log(config.data, RunFolder(config.run_dir).log, new=False)
    build(log, schema, rows, config.data, lambda done, of: None)
    return schema
