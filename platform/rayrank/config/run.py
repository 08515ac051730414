"""The configuration of a run: where the data is, what to train on it, where results go."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from rayrank.config.data import SimulateConfig, SplitConfig
from rayrank.config.train import TrainConfig
from rayrank.errors import ConfigError
from rayrank.model.build import AnyModelConfig
from rayrank.strict import Strict, parse, read_yaml


class DataConfig(Strict):
    """From a log to user rows."""

    source: Literal["simulate", "kuairand", "parquet"]
    path: str | None = None
    """Where the log is: KuaiRand's folder or file, or a folder (or URI) of generic Parquet."""
    schema_path: str | None = None
    """The schema of a Parquet log; `schema.yaml` beside its tables unless said."""
    simulate: SimulateConfig = SimulateConfig()
    split: SplitConfig = SplitConfig()
    partitions: Annotated[int, Field(gt=0)] = 4
    """Of users. Several per core; each must fit in a worker's memory."""
    max_history: Annotated[int, Field(gt=0)] = 3000
    """The most recent behaviours known before the window that a row keeps."""

    @model_validator(mode="after")
    def _has_its_path(self) -> "DataConfig":
        if (self.source == "simulate") != (self.path is None):
            raise ValueError("path belongs to sources kuairand and parquet, and they need it")
        if self.schema_path is not None and self.source != "parquet":
            raise ValueError("schema_path belongs to source parquet; the others write their own")
        return self


class RankerConfig(Strict):
    """A model and how it is trained."""

    model: AnyModelConfig
    train: TrainConfig = TrainConfig()


class EvaluateConfig(Strict):
    """Scoring the test rows."""

    max_tokens: Annotated[int, Field(gt=0)] = 16_384
    """Tokens per batch."""
    workers: Annotated[int, Field(gt=0)] = 2
    bootstrap_samples: Annotated[int, Field(gt=0)] = 200
    lightgbm_trees: Annotated[int, Field(gt=0)] = 200


class RunConfig(Strict):
    """Everything a run is told. `rankers` are trained in order; the first one is served."""

    run_dir: Path
    data: DataConfig
    rankers: Annotated[dict[str, RankerConfig], Field(min_length=1)]
    evaluate: EvaluateConfig = EvaluateConfig()

    def ranker(self, name: str | None) -> tuple[str, RankerConfig]:
        """A ranker by name, or the first one; ConfigError for a name that is not there."""
        chosen = name or next(iter(self.rankers))
        if chosen not in self.rankers:
            raise ConfigError(f"no ranker {chosen!r}; there are {', '.join(self.rankers)}")
        return chosen, self.rankers[chosen]


def load_config(path: Path, overrides: list[str]) -> RunConfig:
    """Read a run configuration and apply `dotted.key=value` overrides (values are YAML).

    Raises ConfigError naming the file or the override, the key and what was expected.
    """
    content = read_yaml(path)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override}: expected key=value, such as data.partitions=8")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{override}: the value is not YAML: {error}") from None
        _set(content, key.split("."), parsed, override)
    return parse(RunConfig, content, str(path))


def _set(content: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{override}: {key} is not a section")
    content[keys[-1]] = value
