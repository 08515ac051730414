"""Where the log comes from: simulated, KuaiRand's files, or Parquet as it is."""

from rayrank.data.config import DataConfig
from rayrank.data.kuairand import convert, source_files
from rayrank.data.log import Log
from rayrank.data.simulate import simulate
from rayrank.errors import DataError
from rayrank.schema import Schema, load_schema
from rayrank.storage import AnyPath, place, sha256
from rayrank.versions import MadeFrom, claim, require

SCHEMA = "schema.yaml"
"""Written last: a log with a schema is whole."""
FORMAT = 2
"""Of what the simulator and the reader of KuaiRand's files write; raised when that changes."""


def prepare_log(config: DataConfig, logs: AnyPath, *, new: bool) -> tuple[Log, Schema]:
    """Make the log generic Parquet, if it is not yet, in a version under `logs`; read its schema.

    Raises VersionError where `logs` holds the log of something else, unless `new`.
    """
    if config.source == "parquet":
        return _open(str(config.path), config.schema_path)
    version = claim(logs, _made_from(config), new=new, counts=SCHEMA)
    if not (version / SCHEMA).exists():
        if config.source == "simulate":
            simulate(config.simulate, version)
        else:
            convert(place(str(config.path)), version)
    return _open(str(version), None)


def open_log(config: DataConfig, logs: AnyPath) -> tuple[Log, Schema]:
    """The log and schema that `prepare_log` left."""
    if config.source == "parquet":
        return _open(str(config.path), config.schema_path)
    return _open(str(require(logs, _made_from(config), "run jobs/build_rows.py")), None)


def check_source(config: DataConfig) -> None:
    """Raises DataError, or ConfigError of its schema, for a log that is not there or cannot be
    read: before anything is started. Reads no table."""
    if config.source == "parquet":
        _open(str(config.path), config.schema_path)
    elif config.source == "kuairand":
        source_files(place(str(config.path)))


def _open(root: str, schema_path: str | None) -> tuple[Log, Schema]:
    if not place(root).exists():
        raise DataError(f"{root}: no such folder; expected Parquet tables and {SCHEMA}")
    return Log(root), load_schema(schema_path or f"{root}/{SCHEMA}")


def _made_from(config: DataConfig) -> MadeFrom:
    if config.source == "simulate":
        told = config.simulate.model_dump(mode="json")
        # Restaurants were there before there was a choice: what was made of them keeps its name.
        if told["world"] == "restaurants":
            del told["world"]
        return {"simulate": told, "format": FORMAT}
    files = source_files(place(str(config.path)))
    return {"kuairand": {file.name: sha256(file) for file in files}, "format": FORMAT}
