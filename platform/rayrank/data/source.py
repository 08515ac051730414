"""Where the log comes from: simulated, KuaiRand's files, or Parquet as it is."""

import shutil
from pathlib import Path

from rayrank.config import DataConfig
from rayrank.data.kuairand import convert
from rayrank.data.log import Log
from rayrank.data.simulate import simulate
from rayrank.schema import Schema, load_schema

SCHEMA = "schema.yaml"


def prepare_log(config: DataConfig, run_dir: Path) -> tuple[Log, Schema]:
    """Make the log generic Parquet, if it is not yet, under `run_dir/log`, and read its schema."""
    out = run_dir / "log"
    if config.source == "parquet":
        return open_log(config, run_dir)
    shutil.rmtree(out, ignore_errors=True)
    if config.source == "simulate":
        simulate(config.simulate, out)
    else:
        convert(Path(str(config.path)), out)
    return open_log(config, run_dir)


def open_log(config: DataConfig, run_dir: Path) -> tuple[Log, Schema]:
    """The log and schema that `prepare_log` left."""
    root = str(config.path) if config.source == "parquet" else str(run_dir / "log")
    return Log(root), load_schema(Path(config.schema_path or f"{root}/{SCHEMA}"))
