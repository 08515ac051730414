"""The configuration of a run: where the data is, what to train on it, where results go."""

from collections.abc import Sequence
from typing import Annotated, Any

import yaml
from pydantic import Field

from rayrank.data.config import DataConfig
from rayrank.errors import ConfigError
from rayrank.evaluate.config import EvaluateConfig
from rayrank.run.daily_config import DailyConfig
from rayrank.storage import AnyPath, place
from rayrank.strict import Strict, Uri, parse, read_yaml
from rayrank.train.config import RankerConfig


class RunConfig(Strict):
    """Everything a run is told. `rankers` are trained in order; the first one is served."""

    run_dir: Uri
    """A folder, at a URI of any filesystem (`runs/x`, `s3://bucket/x`), that every node sees. Here
    and wherever else a place is named `$NAME` is a variable of the environment."""
    data: DataConfig
    rankers: Annotated[dict[str, RankerConfig], Field(min_length=1)]
    evaluate: EvaluateConfig = EvaluateConfig()
    daily: DailyConfig = DailyConfig()

    def ranker(self, name: str | None) -> tuple[str, RankerConfig]:
        """A ranker by name, or the first one; ConfigError for a name that is not there."""
        chosen = name or next(iter(self.rankers))
        if chosen not in self.rankers:
            raise ConfigError(f"no ranker {chosen!r}; there are {', '.join(self.rankers)}")
        return chosen, self.rankers[chosen]


def load_config(path: str | AnyPath, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run configuration and apply `dotted.key=value` overrides (values are YAML).

    Raises ConfigError naming the file or the override, the key and what was expected.

    >>> load_config("jobs/demo.yaml", ["run_dir=runs/mine"])  # doctest: +SKIP
    """
    return parse(RunConfig, load_tree(path, overrides), str(path))


def load_tree(path: str | AnyPath, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A YAML file with `dotted.key=value` overrides, not yet looked at. Raises ConfigError."""
    content = read_yaml(place(path))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override}: expected key=value, such as data.partitions=8")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{override}: the value is not YAML: {error}") from None
        _set(content, key.split("."), parsed, override)
    return content


def _set(content: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{override}: {key} is not a section")
    content[keys[-1]] = value
